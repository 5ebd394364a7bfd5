//! Attacks below our engine: on QUIC itself, and on what it bears.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use iroh::{Endpoint, EndpointAddr};
use p2p_core::ConnectionConfig;
use p2p_core::conformance::malice::{Hostile, Siege};
use p2p_core::conformance::raw::{PROGRAM, Raw, Wire, Words};
use p2p_core::conformance::{Failure, Fixture, Outcome};
use p2p_core::transport::LinkClosed;
use tokio::time::timeout;

use super::stranger::{self, ALPN, Stranger};
use crate::{Field, OverLoopback};

/// Nothing here takes nearly as long, even on a busy machine.
const STEP: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> Outcome<T> {
    timeout(STEP, future).await.map_err(|_| Failure::new(format!("{what}: nothing happened")))
}

/// Writes so many pieces of this size to a program's stream that nobody reads, each in a packet of its
/// own, and returns how the connection has ended, if it has.
async fn pieces(
    field: &Field,
    siege: &Siege<'_, Field>,
    count: u64,
    size: usize,
) -> Outcome<Raw<Stranger>> {
    let wire = field.dial(0, siege.node()).await?;
    let hello = Words::new("conformance/1").encode();
    let raw = Raw::greet(wire, &hello).await.ok_or_else(|| Failure::new("refused"))?;
    let opened = within("a stream", raw.wire.open_both()).await?;
    let (mut out, _from) = opened.ok_or_else(|| Failure::new("no stream"))?;
    Stranger::write(&mut out, &mut Bytes::from_static(&[PROGRAM])).await;
    let sent = || raw.wire.0.stats().udp_tx.datagrams;
    let pouring = async {
        for _ in 0..count {
            let before = sent();
            if !Stranger::write(&mut out, &mut Bytes::from(vec![7; size])).await {
                break;
            }
            // For the piece to leave before the next.
            while sent() == before && raw.wire.end().is_none() {
                tokio::task::yield_now().await;
            }
        }
    };
    within("to write", pouring).await?;
    Ok(raw)
}

/// More than about two thousand packets that fill themselves well, of one stream that no program
/// reads, are more than a QUIC receiver bears: it ends that connection, and no other.
#[test]
fn small_pieces_that_nobody_reads_end_the_attackers_connection_alone() -> Outcome {
    OverLoopback.run(async |field: Field| {
        let siege = Siege::lay(&field).await?;
        let raw = pieces(&field, &siege, 4000, 200).await?;
        let end = within("the end of the attacker's connection", raw.wire.ended()).await?;
        let LinkClosed::Transport { message } = end else {
            return Err(Failure::new(format!("it ended so: {end}")));
        };
        if !message.contains("too many gaps") {
            return Err(Failure::new(format!("it ended so: {message}")));
        }
        siege.withstood().await
    })
}

/// Pieces of a byte are put together where they wait.
#[test]
fn pieces_of_a_byte_that_nobody_reads_wait() -> Outcome {
    OverLoopback.run(async |field: Field| {
        let siege = Siege::lay(&field).await?;
        let raw = pieces(&field, &siege, 4000, 1).await?;
        siege.lets_in().await?;
        if let Some(end) = raw.wire.end() {
            return Err(Failure::new(format!("it ended so: {end}")));
        }
        siege.withstood().await
    })
}

#[test]
fn who_speaks_another_protocol_is_refused_before_anything_is_said() -> Outcome {
    OverLoopback.run(async |field: Field| {
        let siege = Siege::lay(&field).await?;
        let endpoint = stranger::bind().await;
        let refused = endpoint.connect(stranger::addr_of(siege.node()), b"other/1").await;
        let error = refused.err().ok_or_else(|| Failure::new("it was let in"))?;
        if !format!("{error:#}").contains("120") && !format!("{error:#?}").contains("120") {
            return Err(Failure::new(format!("{error:#?}")));
        }
        siege.withstood().await
    })
}

/// A way to the node for one datagram: what comes back, or comes later, is dropped. Each has an
/// address with the same, foreign host.
async fn one_way(node: SocketAddr, sockets: &mut Vec<Arc<tokio::net::UdpSocket>>) -> SocketAddr {
    let listen = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let out = tokio::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).await.expect("a port");
    let out = Arc::new(out);
    sockets.push(out.clone());
    let at = listen.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut packet = [0; 2000];
        if let Ok((size, _)) = listen.recv_from(&mut packet).await {
            let _ = out.send_to(&packet[..size], node).await;
        }
        // Kept, so that nothing says that nobody is there.
        std::future::pending::<()>().await;
    });
    at
}

/// The first datagram of a dial, as it is on the wire.
async fn first_datagram(siege: &Siege<'_, Field>) -> Vec<u8> {
    let listen = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let at = listen.local_addr().expect("bound");
    let key = stranger::addr_of(siege.node()).id;
    let endpoint = stranger::bind().await;
    let dialling = tokio::spawn(async move {
        let _ = endpoint.connect(EndpointAddr::new(key).with_ip_addr(at), ALPN).await;
    });
    let mut packet = vec![0; 2000];
    let (size, _) = listen.recv_from(&mut packet).await.expect("a datagram");
    dialling.abort();
    packet.truncate(size);
    packet
}

fn node_address(siege: &Siege<'_, Field>) -> SocketAddr {
    siege.node().addresses().next().expect("it is on loopback")
}

/// As many as would take all places twice over, and more, from one address.
#[test]
fn handshakes_that_are_never_finished_leave_room_for_other_addresses() -> Outcome {
    OverLoopback.run(async |field: Field| {
        // Longer than anybody waits to be let in: room has to be there, not to come about.
        let config = ConnectionConfig::default()
            .with_handshake_timeout(Duration::from_secs(600))
            .with_max_handshakes(8, 4, 4);
        let siege = Siege::with(&field, config).await?;
        let node = node_address(&siege);
        let key = stranger::addr_of(siege.node()).id;
        let (mut dialling, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let at = one_way(node, &mut sockets).await;
            let endpoint: Endpoint = stranger::bind().await;
            dialling.push(tokio::spawn(async move {
                let _ = endpoint.connect(EndpointAddr::new(key).with_ip_addr(at), ALPN).await;
            }));
        }
        // The node answers each: those over the bound with a refusal, which is shorter than a
        // handshake's first flight.
        let mut refused = 0;
        for socket in &sockets {
            let mut packet = [0; 2000];
            let size = within("the node's answer", socket.recv(&mut packet)).await?;
            refused += usize::from(size.expect("received") < 200);
        }
        siege.lets_in().await?;
        for task in dialling {
            task.abort();
        }
        if refused != 16 {
            return Err(Failure::new(format!("{refused} of 20 were refused, 4 are allowed")));
        }
        siege.withstood().await
    })
}

#[test]
fn what_is_no_quic_is_ignored() -> Outcome {
    OverLoopback.run(async |field: Field| {
        let siege = Siege::lay(&field).await?;
        let (node, first) = (node_address(&siege), first_datagram(&siege).await);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let send = |packet: &[u8]| drop(socket.send_to(packet, node));
        send(&[]);
        for size in 1..first.len() {
            // Truncated at every byte; with every byte changed; and what only begins like it.
            send(&first[..size]);
            let mut changed = first.clone();
            changed[size] ^= 0xff;
            send(&changed);
        }
        for number in 0..500_usize {
            send(&vec![number as u8; 1 + number * 2]);
        }
        // The same again and again is one dial.
        for _ in 0..500 {
            send(&first);
        }
        siege.withstood().await
    })
}
