//! A slow and distant link between two ends on loopback: UDP packets in, and out again later.
//!
//! The ends are on an IPv4 and an IPv6 socket (see [`Apart`](crate::stack::Apart)), and so are the two
//! sides of this. Each direction is a thread, because a packet is to leave within a fraction of a
//! millisecond of its time, and the runtime's timers lie on whole ones.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use p2p_benches::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

mod bottleneck;

use bottleneck::Bottleneck;
pub(crate) use bottleneck::Profile;

/// How long a thread waits at most before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);
/// The most packets of which it is remembered when they passed.
const PASSED: usize = 4096;

/// The link. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Shaper {
    entrance: SocketAddr,
    forth: Arc<Passed>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// When packets came, and when they were given on.
#[derive(Debug, Default)]
pub(crate) struct Passed(Mutex<VecDeque<(Instant, Instant)>>);

impl Shaper {
    /// A link to `exit` of which each direction is like that.
    pub(crate) fn start(exit: SocketAddr, profile: Profile) -> Result<Self> {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let far = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))?;
        far.connect(exit)?;
        let entrance = near.local_addr()?;
        for socket in [&near, &far] {
            socket.set_nonblocking(true)?;
        }
        let (stop, forth) = (Arc::new(AtomicBool::new(false)), Arc::new(Passed::default()));
        let (near_out, far_out) = (near.try_clone()?, far.try_clone()?);
        let direction = |from: UdpSocket, to: UdpSocket, passed: Arc<Passed>| {
            let bottleneck = Bottleneck::new(profile);
            let direction = Direction { from, to, bottleneck, waiting: VecDeque::new(), passed };
            let stop = stop.clone();
            #[expect(clippy::disallowed_methods, reason = "real packets; the head says why")]
            std::thread::spawn(move || direction.run(&stop))
        };
        let threads =
            vec![direction(near, far_out, forth.clone()), direction(far, near_out, Arc::default())];
        Ok(Self { entrance, forth, stop, threads })
    }

    /// Where to dial.
    pub(crate) const fn entrance(&self) -> SocketAddr {
        self.entrance
    }

    /// What has gone from the entrance to the exit.
    pub(crate) fn forth(&self) -> Arc<Passed> {
        self.forth.clone()
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It has nothing to tell; a panic has been printed.
            let _ = thread.join();
        }
    }
}

impl Passed {
    fn state(&self) -> MutexGuard<'_, VecDeque<(Instant, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, came: Instant, went: Instant) {
        let mut passed = self.state();
        if passed.len() == PASSED {
            passed.pop_front();
        }
        passed.push_back((came, went));
    }

    /// When the last packet came that had gone on by then.
    pub(crate) fn came_of_last(&self, by: Instant) -> Option<Instant> {
        let passed = self.state();
        passed.iter().rev().find(|(_, went)| *went <= by).map(|(came, _)| *came)
    }
}

struct Direction {
    from: UdpSocket,
    to: UdpSocket,
    bottleneck: Bottleneck,
    /// When each is due, when it came, and what it is.
    waiting: VecDeque<(Duration, Instant, Vec<u8>)>,
    passed: Arc<Passed>,
}

impl Direction {
    fn run(mut self, stop: &AtomicBool) {
        let start = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = start.elapsed();
            let wait = self.waiting.front().map_or(LOOK, |(due, ..)| due.saturating_sub(now));
            if self.give_on(now) {
                continue;
            }
            let Ok(timeout) = Timespec::try_from(wait.min(LOOK)) else { return };
            let mut readable = [PollFd::new(&self.from, PollFlags::IN)];
            // Interrupted, at worst: then it looks again.
            let _ = poll(&mut readable, Some(&timeout));
            self.take_in(start);
        }
    }

    /// Sends the next packet, if it is due.
    fn give_on(&mut self, now: Duration) -> bool {
        if self.waiting.front().is_none_or(|(due, ..)| *due > now) {
            return false;
        }
        let Some((_, came, packet)) = self.waiting.pop_front() else { return false };
        // Before, so that nobody has it earlier. A packet that cannot be sent is lost, as packets are.
        self.passed.add(came, Instant::now());
        let _ = self.to.send(&packet);
        true
    }

    fn take_in(&mut self, start: Instant) {
        let mut buffer = [0; 2048];
        loop {
            match self.from.recv_from(&mut buffer) {
                Ok((size, sender)) => {
                    if self.from.peer_addr().is_err() {
                        // The first from the dialler says where answers go.
                        let _ = self.from.connect(sender);
                    }
                    let came = Instant::now();
                    if let Some(due) = self.bottleneck.pass(came - start, size) {
                        self.waiting.push_back((due, came, buffer[..size].to_vec()));
                    }
                }
                // An end that is gone answers with an error; what others sent may be behind it.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    }
}
