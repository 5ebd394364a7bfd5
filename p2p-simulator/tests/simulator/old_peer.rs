//! A peer of version 1, which knew one lane, no resuming and no probes: its bytes, kept as they were.

use bytes::Bytes;
use p2p_core::transport::{Link, LinkClosed};
use p2p_core::{
    CloseCause, ClosedBy, ConnectionConfig, FailoverPolicy, ListenOptions, P2PConnection,
    P2PListener, P2PProvider, Priority, ReconnectPolicy, SendStream,
};
use p2p_simulator::{Simulation, SimulatorConnection};

use crate::protocol;
use crate::raw::{NORMAL, Raw, TAKEN, Words, count, frame, read};

/// A node of today with everything switched on.
fn today() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(p2p_core::Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
        .with_compress_from(10)
}

/// Both directions, several priorities, reports of what was read, and the close.
async fn talk_as_version_1<L: Link>(mut old: Raw<L>, today: SimulatorConnection) {
    assert_eq!(today.peer().version, 1);
    // Its messages: the stream's kind, then frames.
    let mut lane = old.open(&[NORMAL]).await.expect("a stream");
    for number in 0..600_usize {
        let message = [vec![number as u8; number], b"end".to_vec()].concat();
        lane.write_all(frame(&message).into()).await.expect("written");
        let got = today.recv_message().await.expect("received");
        assert_eq!((got.priority, &got.payload[..]), (Priority::Normal, &message[..]));
    }
    // It is told how far its lane was read, the kind's byte counted in.
    let mut reports = old.link.accept_uni().await.expect("a control stream");
    assert_eq!(read(&mut reports, 1).await, Ok(vec![0]), "the control stream is the first");
    let size = read(&mut reports, 1).await.expect("a length")[0];
    assert!(size < 0x40, "its length is one byte");
    let hello = read(&mut reports, size.into()).await.expect("a hello");
    assert_eq!(&hello[..2], [1, 2], "it speaks 1 and 2");
    let mut next = read(&mut reports, 2).await.expect("a frame");
    if next == [1, 1] {
        next = read(&mut reports, 2).await.expect("a frame");
    }
    assert_eq!(next, [9, 3], "how far was read, of the only lane");
    let offset = read(&mut reports, 8).await.expect("an offset");
    let offset = u64::from_be_bytes(offset.try_into().expect("8 bytes"));
    // 350 messages make a report due: so many frames, two bytes of length from 64 bytes on.
    let through = |messages: u64| -> u64 {
        1 + (0..messages).map(|n| n + 3 + if n + 3 < 64 { 1 } else { 2 }).sum::<u64>()
    };
    assert_eq!(offset, through(350));

    // Today's messages, of all priorities, come on the one lane that it knows, and unpacked.
    for priority in Priority::ALL {
        today.send_with(priority, Bytes::from(vec![7; 50])).await.expect("sent");
    }
    let mut lane_in = old.link.accept_uni().await.expect("a lane");
    assert_eq!(read(&mut lane_in, 1).await, Ok(vec![NORMAL]));
    for _ in Priority::ALL {
        assert_eq!(read(&mut lane_in, 51).await, Ok(frame(&[7; 50])));
    }
    // What it takes, it reports for that lane.
    old.say(&count(TAKEN, 4 * (50 + 64), NORMAL)).await;

    today.close(5, "so long").await;
    assert!(read(&mut lane_in, 1).await.is_ok_and(|rest| rest.is_empty()), "the lane is finished");
    let closed = old.link.closed().await;
    assert_eq!(closed, LinkClosed::Peer { code: 5, message: "so long".into() });
}

#[test]
fn a_dialler_of_version_1_is_served() {
    let run = Simulation::new(1).run(async |network| {
        let [old, new] = [network.host("old"), network.host("new")];
        let transport = old.transport(&ConnectionConfig::default()).expect("an endpoint");
        let node = new.provider(today()).expect("an endpoint");
        let listener = node.listen(ListenOptions::new(protocol())).await.expect("listening");
        let raw = Raw::dial(&transport, &node.local_addr(), &Words::old().encode()).await;
        talk_as_version_1(raw, listener.accept().await.expect("a connection")).await;
    });
    run.expect("a run");
}

#[test]
fn an_acceptor_of_version_1_is_spoken_to() {
    let run = Simulation::new(1).run(async |network| {
        let [old, new] = [network.host("old"), network.host("new")];
        let transport = old.transport(&ConnectionConfig::default()).expect("an endpoint");
        let node = new.provider(today()).expect("an endpoint");
        let serve = tokio::spawn(async move {
            let raw = Raw::accept(&transport, &Words::old().encode()).await;
            (raw, transport)
        });
        let options = p2p_core::ConnectOptions::new(protocol());
        let addr = p2p_core::PeerAddr::new(old.peer_id());
        let connection = node.connect(&addr, options).await.expect("a connection");
        let (raw, _transport) = serve.await.expect("no panic");
        talk_as_version_1(raw, connection).await;
    });
    run.expect("a run");
}

#[test]
fn a_peer_of_version_1_that_goes_is_not_waited_for() {
    let run = Simulation::new(1).run(async |network| {
        let [old, new] = [network.host("old"), network.host("new")];
        let transport = old.transport(&ConnectionConfig::default()).expect("an endpoint");
        let node = new.provider(today()).expect("an endpoint");
        let listener = node.listen(ListenOptions::new(protocol())).await.expect("listening");
        let raw = Raw::dial(&transport, &node.local_addr(), &Words::old().encode()).await;
        let connection = listener.accept().await.expect("a connection");
        raw.link.close(9, "");
        let end = connection.closed().await;
        assert_eq!((end.by, end.cause), (ClosedBy::Peer, CloseCause::Application(9)));
        drop(transport);
    });
    run.expect("a run");
}
