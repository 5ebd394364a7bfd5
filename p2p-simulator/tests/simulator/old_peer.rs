//! A peer of version 1, which knew one lane, no resuming and no probes: its bytes, kept as they were.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::conformance::raw::{NORMAL, Raw, TAKEN, Words, count, frame, read};
use p2p_core::transport::{Incoming, Link, LinkClosed, Transport};
use p2p_core::{
    CloseCause, ClosedBy, ConnectionConfig, FailoverPolicy, Limited, Limits, ListenOptions,
    P2PConnection, P2PListener, P2PProvider, PeerAddr, Priority, RateLimit, ReconnectPolicy,
    ScopeLimits, SendStream,
};
use p2p_simulator::{SimLink, SimTransport, Simulation, SimulatorConnection};

use crate::protocol;

/// A node of today with everything switched on.
fn today() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(p2p_core::Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
        .with_compress_from(10)
}

async fn dial(transport: &SimTransport, node: &PeerAddr) -> Raw<SimLink> {
    let link = transport.dial(node).await.expect("a link");
    Raw::greet(link, &Words::old("test/1").encode()).await.expect("the link lives")
}

async fn accept(transport: &SimTransport) -> Raw<SimLink> {
    let mut incoming = transport.accept().await.expect("somebody dials");
    let mut control = incoming.open_early().await.expect("a stream");
    let hello = Words::old("test/1").encode().into();
    control.write_all(hello).await.expect("written");
    Raw { wire: incoming.authenticated().await.expect("a link"), control }
}

/// Both directions, several priorities, reports of what was read, and the close.
async fn talk_as_version_1(mut old: Raw<SimLink>, today: SimulatorConnection) {
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
    let mut reports = old.wire.accept_uni().await.expect("a control stream");
    assert_eq!(
        read::<SimLink>(&mut reports, 1).await,
        (vec![0]),
        "the control stream is the first"
    );
    let size = read::<SimLink>(&mut reports, 1).await[0];
    assert!(size < 0x40, "its length is one byte");
    let hello = read::<SimLink>(&mut reports, size.into()).await;
    assert_eq!(&hello[..2], [1, 2], "it speaks 1 and 2");
    let mut next = read::<SimLink>(&mut reports, 2).await;
    if next == [1, 1] {
        next = read::<SimLink>(&mut reports, 2).await;
    }
    assert_eq!(next, [9, 3], "how far was read, of the only lane");
    let offset = read::<SimLink>(&mut reports, 8).await;
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
    let mut lane_in = old.wire.accept_uni().await.expect("a lane");
    assert_eq!(read::<SimLink>(&mut lane_in, 1).await, (vec![NORMAL]));
    for _ in Priority::ALL {
        assert_eq!(read::<SimLink>(&mut lane_in, 51).await, (frame(&[7; 50])));
    }
    // What it takes, it reports for that lane.
    old.say(&count(TAKEN, 4 * (50 + 64), NORMAL)).await;

    today.close(5, "so long").await;
    assert!(read::<SimLink>(&mut lane_in, 1).await.is_empty(), "the lane is finished");
    let closed = old.wire.closed().await;
    assert_eq!(closed, LinkClosed::Peer { code: 5, message: "so long".into() });
}

#[test]
fn a_dialler_of_version_1_is_served() {
    let run = Simulation::new(1).run(async |network| {
        let [old, new] = [network.host("old"), network.host("new")];
        let transport = old.transport(&ConnectionConfig::default()).expect("an endpoint");
        let node = new.provider(today()).expect("an endpoint");
        let listener = node.listen(ListenOptions::new(protocol())).await.expect("listening");
        let raw = dial(&transport, &node.local_addr()).await;
        talk_as_version_1(raw, listener.accept().await.expect("a connection")).await;
    });
    run.expect("a run");
}

/// The code was none of its time's, so it took the refusal for a failure after which it may try again.
#[test]
fn a_dialler_of_version_1_that_is_refused_for_now_is_told_in_words() {
    let run = Simulation::new(1).run(async |network| {
        let [old, new] = [network.host("old"), network.host("new")];
        let transport = old.transport(&ConnectionConfig::default()).expect("an endpoint");
        let once = RateLimit::new(1, Duration::from_secs(60)).expect("a rate");
        let limits = Limits::default().with_per_peer(ScopeLimits::default().with_admissions(once));
        let node = Limited::new(new.provider(today()).expect("an endpoint"), limits);
        let node = node.expect("limits");
        let _listener = node.listen(ListenOptions::new(protocol())).await.expect("listening");
        let _first = dial(&transport, &node.local_addr()).await;
        let second = dial(&transport, &node.local_addr()).await;
        let LinkClosed::Peer { code, message } = second.wire.closed().await else { panic!() };
        // Codes up to here had a meaning then.
        assert!(code > (1 << 32) + 13, "{code}");
        assert!(message.contains("admissions of peer"), "{message}");
        assert!(message.contains("at most 1 per 60s; retry after 59."), "{message}");
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
            let raw = accept(&transport).await;
            (raw, transport)
        });
        let options = p2p_core::ConnectOptions::new(protocol());
        let addr = PeerAddr::new(old.peer_id());
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
        let raw = dial(&transport, &node.local_addr()).await;
        let connection = listener.accept().await.expect("a connection");
        raw.wire.close(9, "");
        let end = connection.closed().await;
        assert_eq!((end.by, end.cause), (ClosedBy::Peer, CloseCause::Application(9)));
        drop(transport);
    });
    run.expect("a run");
}
