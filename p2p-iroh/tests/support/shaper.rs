//! A narrow link between two nodes on loopback: what goes to `exit` queues up, what comes back does
//! not. It counts on nothing finer than the runtime's timers: who needs exact times is a benchmark.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// 20 Mbit/s.
const NANOS_PER_BYTE: u64 = 400;
/// How long the queue may become; a packet that would make it longer is dropped.
const QUEUE: Duration = Duration::from_millis(100);
/// More than a packet of QUIC's over a path of a usual MTU.
const PACKET: usize = 2048;

/// The link. Dropping it ends it.
pub(crate) struct Shaper {
    entrance: SocketAddr,
    _directions: JoinSet<()>,
}

impl Shaper {
    /// A link to `exit`, an address of IPv6. Its entrance is one of IPv4, so that nodes of one family
    /// each cannot find a way around it.
    pub(crate) async fn start(exit: SocketAddr) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let far = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.expect("bound");
        far.connect(exit).await.expect("an address of IPv6");
        let entrance = near.local_addr().expect("bound");
        let (near, far, dialler) = (Arc::new(near), Arc::new(far), Arc::new(OnceLock::new()));
        let mut directions = JoinSet::new();
        directions.spawn(forth(near.clone(), far.clone(), dialler.clone()));
        directions.spawn(back(far, near, dialler));
        Self { entrance, _directions: directions }
    }

    /// Where to dial.
    pub(crate) const fn entrance(&self) -> SocketAddr {
        self.entrance
    }
}

async fn forth(near: Arc<UdpSocket>, far: Arc<UdpSocket>, dialler: Arc<OnceLock<SocketAddr>>) {
    let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut free_at = Instant::now();
    let mut buffer = [0; PACKET];
    loop {
        let due = queue.front().map(|(due, _)| *due);
        tokio::select! {
            received = near.recv_from(&mut buffer) => {
                // An error is about a packet that could not be delivered.
                let Ok((size, sender)) = received else { continue };
                dialler.get_or_init(|| sender);
                let now = Instant::now();
                let starts = free_at.max(now);
                if starts - now <= QUEUE {
                    free_at = starts + Duration::from_nanos(size as u64 * NANOS_PER_BYTE);
                    queue.push_back((free_at, buffer[..size].to_vec()));
                }
            }
            () = sleep_until(due.unwrap_or(free_at)), if due.is_some() => {
                if let Some((_, packet)) = queue.pop_front() {
                    // One that cannot be sent is lost, as packets are.
                    let _ = far.send(&packet).await;
                }
            }
        }
    }
}

async fn back(far: Arc<UdpSocket>, near: Arc<UdpSocket>, dialler: Arc<OnceLock<SocketAddr>>) {
    let mut buffer = [0; PACKET];
    loop {
        if let (Ok(size), Some(dialler)) = (far.recv(&mut buffer).await, dialler.get()) {
            let _ = near.send_to(&buffer[..size], dialler).await;
        }
    }
}
