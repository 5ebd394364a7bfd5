#!/usr/bin/env bash
# Two peers behind two port-restricted NATs, a relay of their own, and in the middle UDP is cut, or one of the
# NATs forgets its host: how long do messages stall, is any lost or doubled, and when is the path direct again?
# Real iroh, in network namespaces that are gone afterwards.
#
#   tests/nat/failover.sh [DIRECTORY OF THE EXAMPLES]      needs root, ip and nft
#
# Each link takes 10 ms (FAILOVER_DELAY_MS) one way, so that it is 20 ms between the peers and 40 ms over the
# relay: carried by a small program (delay.py), where there is /dev/net/tun; otherwise links take no time.
# Prints one line for each case and fails if a promise is broken.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
bin=$(realpath "${1:-target/debug/examples}")
id=$$
work=$(mktemp -d)
delay=${FAILOVER_DELAY_MS:-10}
names=(world relay nat1 nat2 host join)
ns() { echo "p2p$id-$1"; }
run() { local where=$1; shift; ip netns exec "$(ns "$where")" "$@"; }

for tool in ip nft python3; do
  command -v "$tool" >/dev/null || { echo "failover: $tool is missing: apt-get install iproute2 nftables python3" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "failover: needs root, to make network namespaces" >&2; exit 2; }

cleanup() {
  local pids
  pids=$(jobs -p)
  [ -z "$pids" ] || kill $pids 2>/dev/null || true
  for name in "${names[@]}"; do ip netns del "$(ns "$name")" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

wait_for() { # FILE PATTERN SECONDS
  for _ in $(seq $(($3 * 20))); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  echo "failover: no '$2' within $3 s; the output so far:" >&2
  cat "$1" >&2
  return 1
}

for name in "${names[@]}"; do
  ip netns add "$(ns "$name")"
  run "$name" ip link set lo up
done
# The world is a bridge: 10.7.0.0/24. Behind each NAT: 10.7.N.0/24.
if [ "$delay" != 0 ] && [ -c /dev/net/tun ]; then
  links=()
  for name in relay nat1 nat2; do links+=("$(ns world):$name=$(ns "$name"):world"); done
  python3 "$here/delay.py" "$delay" "${links[@]}" >"$work/delay" 2>&1 &
  wait_for "$work/delay" ready 10
else
  delay=0
  echo "links take no time: there is no /dev/net/tun, or none was asked for"
  for name in relay nat1 nat2; do
    ip link add "$name" netns "$(ns world)" type veth peer name world netns "$(ns "$name")"
  done
fi
run world ip link add bridge type bridge
run world ip link set bridge up
for name in relay nat1 nat2; do
  run world ip link set "$name" master bridge up
  run "$name" ip link set world up
done
run relay ip addr add 10.7.0.1/24 dev world
# What a NAT makes of addresses. Masquerading keeps ports where it can, and lets in only what was asked for:
# port-restricted. The zone tells the flows of one life of the NAT from those of another.
mappings() { # NAT ZONE PORTS
  run "nat$1" nft -f - <<RULES
flush chain ip raw pre
flush chain ip nat out
table ip raw {
  chain pre { meta l4proto udp ct zone set $2
  }
}
table ip nat {
  chain out {
    oifname "world" meta l4proto udp masquerade $3
    oifname "world" masquerade
  }
}
RULES
}
for n in 1 2; do
  inner=$([ "$n" = 1 ] && echo host || echo join)
  run "nat$n" ip addr add "10.7.0.1$n/24" dev world
  ip link add inner netns "$(ns "nat$n")" type veth peer name eth0 netns "$(ns "$inner")"
  run "nat$n" ip addr add "10.7.$n.1/24" dev inner
  run "nat$n" ip link set inner up
  run "$inner" ip addr add "10.7.$n.2/24" dev eth0
  run "$inner" ip link set eth0 up
  run "$inner" ip route add default via "10.7.$n.1"
  run "nat$n" sysctl -qw net.ipv4.ip_forward=1
  # What comes unasked is dropped before it counts as a flow of the NAT's own, which would take the port.
  run "nat$n" nft -f - <<'RULES'
table ip raw {
  chain pre { type filter hook prerouting priority raw; }
}
table ip nat {
  chain out { type nat hook postrouting priority srcnat; }
}
table ip filter {
  chain forward { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "inner" accept
  }
  chain input { type filter hook input priority filter; policy drop; iifname != "world" accept; }
}
RULES
  mappings "$n" 1 ""
done

run relay "$bin/relay" --host 10.7.0.1 --listen 10.7.0.1:3443 --cert-out "$work/relay.pem" --json >"$work/relay.log" 2>&1 &
wait_for "$work/relay.log" '"ready"' 20
relay=(--relay https://10.7.0.1:3443 --relay-ca "$work/relay.pem")

# The events, at the NAT of the side that dials.
udp_cut() { run nat2 nft insert rule ip filter forward meta l4proto udp drop; }
mend() {
  for handle in $(run nat2 nft -a list chain ip filter forward | sed -n 's/.*l4proto udp drop # handle //p'); do
    run nat2 nft delete rule ip filter forward handle "$handle"
  done
}
# It forgets all UDP flows, and gives out other ports from now on.
lives=1
rebind() {
  lives=$((lives + 1))
  mappings 2 "$lives" "to :$((20000 + lives * 1000))-$((20999 + lives * 1000))"
}

# One case: plays for some seconds, lets the event happen, and looks at the echoes.
play() { # NAME SECONDS EVENT LIMIT_MS DIRECT_WITHIN_MS FLAGS...
  local name=$1 seconds=$2 event=$3 limit=$4 direct=$5; shift 5
  run host "$bin/host" "${relay[@]}" --ticket-out "$work/$name.ticket" --json "$@" >"$work/$name.host" 2>&1 &
  local host=$!
  for _ in $(seq 400); do [ -s "$work/$name.ticket" ] && break; sleep 0.05; done
  run join "$bin/join" --ticket "$work/$name.ticket" "${relay[@]}" --every-ms 50 --seconds "$seconds" --json "$@" \
    >"$work/$name.join" 2>&1 &
  local join=$!
  wait_for "$work/$name.join" '"selected":"direct"' 20
  sleep 3
  local at code=0
  at=$(date +%s%3N)
  "$event"
  wait "$join" || code=$?
  mend
  kill "$host" 2>/dev/null || true
  wait "$host" 2>/dev/null || true
  python3 - "$name" "$code" "$work/$name.join" "$at" "$limit" "$direct" <<'REPORT'
import json, sys
name, code, path, at, limit, within = sys.argv[1], *map(lambda text: text, sys.argv[2:])
code, at, limit, within = int(code), int(at), float(limit), float(within)
lines = [json.loads(line) for line in open(path) if line.startswith("{")]
echoes = [line for line in lines if line.get("ev") == "echo"]
seqs = [line["seq"] for line in echoes]
whole = sorted(seqs) == list(range(len(seqs))) and all(line["ok"] for line in echoes)
# From the last echo before the event to the first after it that is longer away than any other.
times = [line["t"] for line in echoes]
after = [(b - a, b) for a, b in zip(times, times[1:]) if b >= at]
stall = max((gap for gap, _ in after), default=float("inf"))
paths = [(line["t"], line["selected"]) for line in lines if line.get("ev") == "path"]
again = next((t - at for t, kind in paths if t > at and kind == "direct"), None)
shown = " ".join(kind if t < at else f"{kind}@{t - at}" for t, kind in paths)
back = "not" if again is None else f"after {again} ms"
fine = code == 0 and whole and seqs == sorted(seqs) and stall <= limit
fine = fine and (within == 0 or again is not None and again <= within)
print(f"{name}: {len(seqs)} echoes, each once and in order of sending: {whole and seqs == sorted(seqs)}, "
      f"stall {stall} ms, direct again {back}, paths {shown}, exit {code}{'' if fine else '  <-- BROKEN'}", flush=True)
sys.exit(0 if fine else 1)
REPORT
}

failed=0
play redial-udp-cut 10 udp_cut 700 0 --lasting --failover redial || failed=1
play redial-rebind 10 rebind 700 3000 --lasting --failover redial || failed=1
play standby-udp-cut 10 udp_cut 450 0 --lasting --failover standby || failed=1
play standby-rebind 10 rebind 450 3000 --lasting --failover standby || failed=1
# For comparison: what iroh does by itself.
[ -z "${FAILOVER_COMPARE:-}" ] || play patient-udp-cut 25 udp_cut 1000000 0 || failed=1
[ -z "${FAILOVER_COMPARE:-}" ] || play patient-rebind 25 rebind 1000000 0 || failed=1
exit "$failed"
