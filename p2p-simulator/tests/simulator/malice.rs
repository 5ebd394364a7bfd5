//! A peer that means harm, made of raw streams. Whatever it does, it is told what that was, or has
//! to wait; beside it, an honest peer of the same node goes on as if it were not there.

use std::time::Duration;

use bytes::Bytes;
use p2p_core::transport::{Link, LinkClosed, Transport};
use p2p_core::{
    Backoff, CloseCause, ConnectionConfig, FailoverPolicy, ListenOptions, P2PConnection,
    P2PListener, P2PProvider, PeerAddr, Priority, ReconnectPolicy, RecvStream, SendStream,
};
use p2p_simulator::{Network, SimLink, SimTransport, Simulation, SimulatorConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{
    BULK, EVERYTHING, LANES, NORMAL, PROBE, READ, Raw, TAKEN, Words, count, length, marked,
    preamble,
};
use crate::{connect, protocol};

const HANDSHAKE: Duration = Duration::from_secs(4);

fn config() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_handshake_timeout(HANDSHAKE)
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
}

/// Sends back what comes.
async fn echo(connection: SimulatorConnection) {
    while let Ok(message) = connection.recv_message().await {
        if connection.send_with(message.priority, message.payload).await.is_err() {
            break;
        }
    }
}

/// Where the attacker stands.
struct Mallory {
    network: Network,
    transport: SimTransport,
    node: PeerAddr,
}

impl Mallory {
    async fn dial(&self, hello: &Words) -> Raw<SimLink> {
        Raw::dial(&self.transport, &self.node, &hello.encode()).await
    }
}

/// Runs an attack on a node that echoes, beside an honest peer that has a message echoed every 10 ms.
/// Its echoes take a round trip of 2 ms before, during and after the attack.
fn attacked<T>(attack: impl AsyncFnOnce(&Mallory) -> T) -> T {
    let run = Simulation::new(1).run(async |network: Network| {
        let [bob, carol, mallory] = ["bob", "carol", "mallory"].map(|name| network.host(name));
        let node = bob.provider(config()).expect("an endpoint");
        let listener = node.listen(ListenOptions::new(protocol())).await.expect("listening");
        tokio::spawn(async move {
            while let Ok(connection) = listener.accept().await {
                tokio::spawn(echo(connection));
            }
        });
        let honest = carol.provider(config()).expect("an endpoint");
        let connection = connect(&honest, &node).await.expect("a connection");
        let goes_on = tokio::spawn({
            let connection = connection.clone();
            async move {
                for number in 0_u64.. {
                    let message = Bytes::copy_from_slice(&number.to_be_bytes());
                    let priority = Priority::ALL[number as usize % Priority::COUNT];
                    let start = Instant::now();
                    connection.send_with(priority, message.clone()).await.expect("sent");
                    assert_eq!(connection.recv().await.expect("an echo"), message);
                    // A fifth more than the round trip.
                    assert!(start.elapsed() <= Duration::from_micros(2400), "{number}");
                    sleep(Duration::from_millis(10)).await;
                }
            }
        });
        sleep(Duration::from_millis(100)).await;
        let transport = mallory.transport(&config()).expect("an endpoint");
        let attacker = Mallory { network, transport, node: node.local_addr() };
        let output = attack(&attacker).await;
        sleep(Duration::from_millis(100)).await;
        assert!(!goes_on.is_finished(), "the honest peer was disturbed");
        goes_on.abort();
        assert_eq!(connection.stats().links, 1);
        // Others are let in as before.
        let again = connect(&honest, &node).await.expect("a connection");
        again.send("still there?".into()).await.expect("sent");
        assert_eq!(again.recv().await.expect("an echo"), "still there?");
        output
    });
    run.expect("a run").output
}

/// The attack ends with a close by the node, of this cause and with these words in it.
fn closed_for(
    cause: CloseCause,
    words: &str,
    attack: impl AsyncFnOnce(&mut Raw<SimLink>, &Mallory),
) {
    closed_after(&Words::new(), cause, words, attack);
}

fn closed_after(
    hello: &Words,
    cause: CloseCause,
    words: &str,
    attack: impl AsyncFnOnce(&mut Raw<SimLink>, &Mallory),
) {
    let (code, said) = attacked(async |mallory: &Mallory| {
        let mut raw = mallory.dial(hello).await;
        let _ = timeout(Duration::from_secs(20), attack(&mut raw, mallory)).await;
        timeout(Duration::from_secs(20), raw.verdict()).await.expect("it is closed")
    });
    assert_eq!(CloseCause::from_wire(code), cause, "{said}");
    assert!(said.contains(words), "'{said}' says nothing of '{words}'");
}

const VIOLATION: CloseCause = CloseCause::ProtocolViolation;

/// A lane with these bytes.
async fn lane(raw: &Raw<SimLink>, bytes: &[u8]) -> Option<<SimLink as Link>::SendStream> {
    raw.open(&[preamble(NORMAL, 0), bytes.to_vec()].concat()).await
}

#[test]
fn a_lane_that_ends_inside_a_message_is_named() {
    closed_for(VIOLATION, "a lane ended inside a message", async |raw, _| {
        let mut lane = lane(raw, &[length(200), vec![1; 99]].concat()).await.expect("a stream");
        lane.finish().expect("open");
    });
}

#[test]
fn a_message_over_the_bound_is_named_before_it_comes() {
    closed_for(VIOLATION, "a frame of 2097152 bytes", async |raw, _| {
        let _lane = lane(raw, &length(4 << 20)).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_lane_that_leaves_a_gap_is_named() {
    closed_for(VIOLATION, "begins at offset 100", async |raw, _| {
        let _lane = raw.open(&preamble(NORMAL, 100)).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_lane_that_is_opened_again_is_named() {
    closed_for(VIOLATION, "a second stream for the normal lane", async |raw, _| {
        let _first = lane(raw, &marked(b"one", false)).await;
        sleep(Duration::from_millis(20)).await;
        let _second = lane(raw, &[marked(b"one", false), marked(b"two", false)].concat()).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_lane_that_was_not_agreed_is_named() {
    let hello = Words { capabilities: EVERYTHING & !LANES, ..Words::new() };
    closed_after(&hello, VIOLATION, "the bulk lane, which was not agreed", async |raw, _| {
        let _lane = raw.open(&preamble(BULK, 0)).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_lane_that_version_1_does_not_have_is_named() {
    closed_after(
        &Words::old(),
        VIOLATION,
        "the bulk lane, which was not agreed",
        async |raw, _| {
            let _lane = raw.open(&[BULK]).await;
            raw.link.closed().await;
        },
    );
}

#[test]
fn a_report_of_more_than_was_sent_is_named() {
    closed_for(VIOLATION, "more was reported read than was sent", async |raw, _| {
        raw.say(&count(READ, 1 << 40, BULK)).await;
    });
    closed_for(VIOLATION, "more messages were reported taken than were sent", async |raw, _| {
        raw.say(&count(TAKEN, 64, NORMAL)).await;
    });
}

#[test]
fn a_second_control_stream_is_named() {
    closed_for(VIOLATION, "a second control stream", async |raw, _| {
        let _stream = raw.open(&Words::new().encode()).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_programs_stream_in_one_direction_is_named() {
    closed_for(VIOLATION, "a program's stream in one direction", async |raw, _| {
        let _stream = raw.open(&[0x20, 1, 2, 3]).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_control_stream_that_is_none_any_more_is_named() {
    closed_for(VIOLATION, "control stream: a frame of 5000 bytes", async |raw, _| {
        raw.say(&length(5000)).await;
    });
    closed_for(VIOLATION, "the control stream ended", async |raw, _| {
        raw.control.finish().expect("open");
    });
    closed_for(VIOLATION, "an engine's stream", async |raw, _| {
        sleep(Duration::from_millis(20)).await;
        raw.control.reset(3);
    });
}

#[test]
fn a_lane_that_is_given_up_is_named() {
    closed_for(VIOLATION, "an engine's stream", async |raw, _| {
        let mut lane = lane(raw, &marked(b"one", false)).await.expect("a stream");
        sleep(Duration::from_millis(20)).await;
        lane.reset(3);
    });
}

/// Writes until there has been no room for a second; how much that was.
async fn pour(
    lane: &mut <SimLink as Link>::SendStream,
    mut piece: impl FnMut() -> Vec<u8>,
) -> usize {
    let mut poured = 0;
    loop {
        let mut data = Bytes::from(piece());
        while !data.is_empty() {
            let before = data.len();
            match timeout(Duration::from_secs(1), lane.write(&mut data)).await {
                Ok(written) => written.expect("the node lets it wait"),
                Err(_) => return poured,
            }
            poured += before - data.len();
        }
    }
}

/// What a stream's window holds, and what may be on the way to being read.
const POURED: usize = (1 << 20) + 128 * 1024;

#[test]
fn a_flood_of_empty_messages_waits_in_the_transport_until_they_are_taken() {
    attacked(async |mallory: &Mallory| {
        let raw = mallory.dial(&Words::new()).await;
        // The node echoes them, and nobody takes the echoes.
        let mut lane = lane(&raw, &[]).await.expect("a stream");
        let poured = pour(&mut lane, || vec![0; 64 * 1024]).await;
        assert!(poured <= POURED, "{poured}");
    });
}

#[test]
fn a_bomb_is_refused_for_what_it_states() {
    closed_for(VIOLATION, "a packed message of 67108863 bytes", async |raw, _| {
        let bomb = [length(0x03ff_ffff), vec![0x1f, 0, 1, 0, 0xff, 0xff]].concat();
        let _lane = lane(raw, &marked(&bomb, true)).await;
        raw.link.closed().await;
    });
}

#[test]
fn a_bomb_that_states_too_little_is_refused() {
    closed_for(VIOLATION, "does not unpack to the 10 bytes", async |raw, _| {
        // A literal, then a match of some thousand bytes.
        let bomb = [length(10), vec![0x1f, 0, 1, 0], vec![0xff; 20], vec![0]].concat();
        let _lane = lane(raw, &marked(&bomb, true)).await;
        raw.link.closed().await;
    });
}

#[test]
fn bombs_within_the_bound_are_not_unpacked_before_they_are_wanted() {
    attacked(async |mallory: &Mallory| {
        let raw = mallory.dial(&Words::new()).await;
        // A literal; a match of 19 bytes, 4 112 times 255, and 130: a mebibyte less 6 bytes. Then the
        // literals that a block ends with.
        let mut bomb = [length(1 << 20), vec![0x1f, 0, 1, 0]].concat();
        let rest = (1 << 20) - 1 - 19 - 5;
        bomb.extend(vec![0xff; rest / 255]);
        bomb.push((rest % 255) as u8);
        bomb.extend([0x50, 0, 0, 0, 0, 0]);
        let mut lane = lane(&raw, &[]).await.expect("a stream");
        let poured = pour(&mut lane, || marked(&bomb, true)).await;
        // Each is a mebibyte; a window of echoes waits, and they wait as what they are.
        assert!(poured <= POURED, "{poured}");
    });
}

#[test]
fn hellos_that_are_none_are_named() {
    let refused = |bytes: Vec<u8>, cause: CloseCause, words: &str| {
        let (code, said) = attacked(async |mallory: &Mallory| {
            let raw = Raw::dial(&mallory.transport, &mallory.node, &bytes).await;
            timeout(Duration::from_secs(20), raw.verdict()).await.expect("it is closed")
        });
        assert_eq!(CloseCause::from_wire(code), cause, "{said}");
        assert!(said.contains(words), "'{said}' says nothing of '{words}'");
    };
    refused([vec![0], length(4097)].concat(), VIOLATION, "a frame of 4097 bytes");
    refused(vec![0, 3, 1, 2, 31], VIOLATION, "a hello that cannot be read");
    refused(vec![0x30; 20], VIOLATION, "the first stream is not the control stream");
    let newer = Words { versions: (3, 9), ..Words::new() };
    refused(newer.encode(), CloseCause::IncompatibleVersion, "1..=2 and 3..=9");
    let names = Words { protocols: vec!["x"; 17], ..Words::new() };
    refused(names.encode(), VIOLATION, "more protocol names");
    let credential = Words { credential: vec![0; 2049], ..Words::new() };
    refused(credential.encode(), VIOLATION, "a credential of more than 2048 bytes");
    let lanes = Words { claim: Some((1, 1, vec![(0, 0); 5])), ..Words::new() };
    refused(lanes.encode(), VIOLATION, "a claim for more lanes than there are");
    let nobody = Words { protocols: Vec::new(), ..Words::new() };
    refused(nobody.encode(), CloseCause::UnknownProtocol, "");
}

#[test]
fn a_hello_that_never_ends_takes_a_place_only_until_its_time_is_over() {
    let took = attacked(async |mallory: &Mallory| {
        let start = Instant::now();
        let hello = Words { credential: vec![0; 2000], ..Words::new() }.encode();
        // One that says nothing at all, and one byte by byte.
        let silent = mallory.transport.dial(&mallory.node).await.expect("a link");
        let mut raw = Raw::dial(&mallory.transport, &mallory.node, &hello[..1]).await;
        for byte in &hello[1..] {
            raw.say(&[*byte]).await;
            if timeout(Duration::from_millis(100), raw.link.closed()).await.is_ok() {
                break;
            }
        }
        for link in [&silent, &raw.link] {
            let LinkClosed::Peer { code, message } = link.closed().await else { panic!() };
            assert_eq!(CloseCause::from_wire(code), CloseCause::TimedOut);
            assert!(message.contains("the handshake took too long"), "{message}");
        }
        start.elapsed()
    });
    assert!(took >= HANDSHAKE && took < HANDSHAKE + Duration::from_secs(1), "{took:?}");
}

#[test]
fn nobody_comes_back_to_a_connection_of_somebody_else() {
    attacked(async |mallory: &Mallory| {
        // Whatever number the honest peer's connection has: names are compared first.
        for number in (0..100).chain([u64::MAX]) {
            let claim = Some((number, 1, vec![(0, 0); 4]));
            let raw = mallory.dial(&Words { claim, ..Words::new() }).await;
            let (code, _) = raw.verdict().await;
            assert_eq!(CloseCause::from_wire(code), CloseCause::NotResumable);
        }
    });
}

/// Claims a connection of the attacker's own.
fn again(attempt: u64, standing: Vec<(u64, u64)>) -> Words {
    Words { claim: Some((1, attempt, standing)), ..Words::new() }
}

#[test]
fn coming_back_with_a_standing_that_cannot_be_is_named() {
    let (code, said) = attacked(async |mallory: &Mallory| {
        let _first = mallory.dial(&Words::new()).await;
        sleep(Duration::from_millis(20)).await;
        mallory.dial(&again(1, vec![(1 << 40, 0); 4])).await.verdict().await
    });
    assert_eq!(CloseCause::from_wire(code), VIOLATION);
    assert!(said.contains("more was reported read than was sent"), "{said}");
}

#[test]
fn coming_back_out_of_order_or_without_a_standing_changes_nothing() {
    attacked(async |mallory: &Mallory| {
        let _first = mallory.dial(&Words::new()).await;
        sleep(Duration::from_millis(20)).await;
        let current = mallory.dial(&again(7, vec![(0, 0); 4])).await;
        sleep(Duration::from_millis(20)).await;
        for attempt in [7, 6, 1] {
            let (code, _) = mallory.dial(&again(attempt, vec![(0, 0); 4])).await.verdict().await;
            assert_eq!(CloseCause::from_wire(code), CloseCause::NotResumable, "{attempt}");
        }
        let (code, _) = mallory.dial(&again(8, vec![(0, 0); 3])).await.verdict().await;
        assert_eq!(CloseCause::from_wire(code), CloseCause::NotResumable);
        assert_eq!(current.link.close_reason(), None, "it was replaced");
    });
}

#[test]
fn a_message_that_was_sent_on_a_former_link_is_not_taken_twice() {
    attacked(async |mallory: &Mallory| {
        let first = mallory.dial(&Words::new()).await;
        let one = marked(b"one", false);
        let _lane = lane(&first, &one).await;
        sleep(Duration::from_millis(20)).await;
        // A link that is dropped is closed, and its connection with it.
        let mut former = Vec::new();
        for attempt in 1..20 {
            let next = mallory.dial(&again(attempt, vec![(0, 0); 4])).await;
            let one_more = lane(&next, &one).await;
            sleep(Duration::from_millis(20)).await;
            let (mut control, mut back) = (
                next.link.accept_uni().await.expect("the control stream"),
                next.link.accept_uni().await.expect("a lane"),
            );
            // The node sends its one echo again, for it does not hear that it came, and no second.
            let whole = [preamble(NORMAL, 0), one.clone()].concat();
            let got = crate::raw::read(&mut back, whole.len()).await;
            assert_eq!(got, Ok(whole));
            let more = timeout(Duration::from_millis(50), back.read_chunk(100)).await;
            assert!(more.is_err(), "{more:?}");
            assert!(control.read_chunk(1).await.is_ok());
            former.push((next, one_more));
        }
    });
}

#[test]
fn floods_of_streams_find_no_room() {
    attacked(async |mallory: &Mallory| {
        let raw = mallory.dial(&Words::new()).await;
        // Kinds of a later version are stopped, however many come.
        for _ in 0..2000 {
            raw.open(&[0x7f, 1, 2, 3]).await.expect("a stream");
        }
        // Those that never say what they are use up what the attacker may have open.
        let mut held = Vec::new();
        let opening = async {
            while let Some(stream) = raw.open(&[NORMAL, 0, 0]).await {
                held.push(stream);
            }
        };
        assert!(timeout(Duration::from_secs(5), opening).await.is_err(), "no end of streams");
        assert!(held.len() <= 128, "{}", held.len());
        assert_eq!(raw.link.close_reason(), None);
    });
}

#[test]
fn a_flood_of_probes_is_answered_as_far_as_the_answers_are_taken() {
    let taken = attacked(async |mallory: &Mallory| {
        let raw = mallory.dial(&Words::new()).await;
        for number in 0..3000 {
            let mut probe = raw.open(&preamble(PROBE, number)).await.expect("a stream");
            probe.finish().expect("open");
        }
        sleep(Duration::from_secs(1)).await;
        let before = mallory.network.trace_count();
        let mut answers = 0;
        while let Ok(Ok(mut stream)) = timeout(Duration::from_secs(1), raw.link.accept_uni()).await
        {
            stream.stop(0);
            answers += 1;
        }
        assert!(before < mallory.network.trace_count());
        answers
    });
    // As many as may be open, then as many as wait, besides the node's own two.
    assert!(taken <= 128 + 16 + 2, "{taken}");
}
