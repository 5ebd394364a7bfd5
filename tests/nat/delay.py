"""Ethernet links between network namespaces that take their time, for kernels without netem.

    delay.py MILLISECONDS NAMESPACE:INTERFACE=NAMESPACE:INTERFACE...

Makes each link as a pair of TAP devices and carries frames from one to the other, each after so long;
says "ready" when all are there, and goes on until it is killed, which takes the devices away.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import sys
import time

CLONE_NEWNET, TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x40000000, 0x400454CA, 2, 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def tap(place):
    """A TAP device in a namespace, which this process enters to make it."""
    namespace, name = place.split(":")
    with open(f"/run/netns/{namespace}") as where:
        if libc.setns(where.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f"delay: cannot enter {namespace}: {os.strerror(ctypes.get_errno())}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


delay = float(sys.argv[1]) / 1000
other = {}
for link in sys.argv[2:]:
    a, b = map(tap, link.split("="))
    other[a], other[b] = b, a
print("ready", flush=True)

poll = select.poll()
for device in other:
    poll.register(device, select.POLLIN)
waiting, count = [], 0
while True:
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, _, device, frame = heapq.heappop(waiting)
        try:
            os.write(device, frame)
        except OSError:
            pass  # It is down, or its queue is full: a frame is lost.
    timeout = max(0.0, waiting[0][0] - now) * 1000 if waiting else None
    for device, _ in poll.poll(timeout):
        # Some at a time, so that those that are due go in time.
        for _ in range(32):
            try:
                frame = os.read(device, 65536)
            except OSError:
                break
            count += 1
            heapq.heappush(waiting, (time.monotonic() + delay, count, other[device], frame))
