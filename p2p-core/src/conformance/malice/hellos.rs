//! Hellos that are none, contradict themselves, or never end.

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::super::Outcome;
use super::super::raw::{Wire, Words, length};
use super::super::step::{MARGIN, ensure};
use super::VIOLATION;
use super::siege::{HANDSHAKE, Hostile, SPEECH, Siege, closed_for};
use crate::close::CloseCause;

async fn refused<W: Hostile>(
    world: &W,
    hellos: impl IntoIterator<Item = (Vec<u8>, CloseCause, &'static str)>,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    for (hello, cause, words) in hellos {
        let attacker = siege.attack_with(0, &hello).await?;
        attacker.closed_for(cause, words).await?;
    }
    siege.withstood().await
}

pub(super) async fn what_is_no_hello_is_named<W: Hostile>(world: &W) -> Outcome {
    let hellos = [
        ([vec![0], length(4097)].concat(), VIOLATION, "a frame of 4097 bytes"),
        (vec![0, 3, 1, 2, 31], VIOLATION, "a hello that cannot be read"),
        (vec![0, 0], VIOLATION, "a hello that cannot be read"),
        (vec![0x30; 20], VIOLATION, "the first stream is not the control stream"),
    ];
    refused(world, hellos).await
}

pub(super) async fn a_hello_that_cannot_be_meant_is_named<W: Hostile>(world: &W) -> Outcome {
    let words = || Words::new(SPEECH);
    let refusals = [
        (Words { versions: (3, 9), ..words() }, CloseCause::IncompatibleVersion, "1..=2 and 3..=9"),
        (Words { versions: (2, 1), ..words() }, CloseCause::IncompatibleVersion, "1..=2 and 2..=1"),
        (Words { protocols: vec!["x"; 17], ..words() }, VIOLATION, "more protocol names"),
        (
            Words { credential: vec![0; 2049], ..words() },
            VIOLATION,
            "a credential of more than 2048 bytes",
        ),
        (
            Words { claim: Some((1, 1, vec![(0, 0); 5])), ..words() },
            VIOLATION,
            "a claim for more lanes than there are",
        ),
        (Words { protocols: Vec::new(), ..words() }, CloseCause::UnknownProtocol, ""),
        (Words { protocols: vec!["other/1"], ..words() }, CloseCause::UnknownProtocol, ""),
    ];
    let bytes = refusals.map(|(hello, cause, words)| (hello.encode(), cause, words));
    refused(world, bytes).await
}

pub(super) async fn slow_ones_of_one_peer_leave_room_for_others<W: Hostile>(world: &W) -> Outcome {
    // Longer than anybody waits to be let in: room has to be there, not to come about.
    let patient = super::siege::config()
        .with_handshake_timeout(Duration::from_secs(600))
        .with_max_handshakes(8, 8, 3);
    let siege = Siege::with(world, patient).await?;
    let mut silent = Vec::new();
    for number in 0..12 {
        let wire = siege.silent(0).await?;
        if number >= 3 {
            let words = "unfinished handshakes with one peer: at most 3, not 4";
            closed_for(&wire, CloseCause::Busy, words).await?;
        }
        silent.push(wire);
    }
    siege.lets_in().await?;
    ensure!(silent[0].end().is_none(), "the first was closed");
    siege.withstood().await
}

/// One that says nothing at all, and one byte by byte.
pub(super) async fn one_that_never_ends_takes_a_place_only_until_its_time_is_over<W: Hostile>(
    world: &W,
) -> Outcome {
    let siege = Siege::lay(world).await?;
    let start = Instant::now();
    let hello = Words { credential: vec![0; 2000], ..Words::new(SPEECH) }.encode();
    let silent = siege.silent(0).await?;
    let mut slow = siege.attack_with(0, &hello[..1]).await?;
    // At this pace it would take several times as long as it may.
    let pace = HANDSHAKE / 500;
    for byte in &hello[1..] {
        if slow.raw.wire.end().is_some() {
            break;
        }
        W::Wire::write(&mut slow.raw.control, &mut Bytes::copy_from_slice(&[*byte])).await;
        tokio::time::sleep(pace).await;
    }
    for wire in [&silent, &slow.raw.wire] {
        closed_for(wire, CloseCause::TimedOut, "the handshake took longer than").await?;
    }
    let took = start.elapsed();
    ensure!(
        took >= HANDSHAKE && took < HANDSHAKE + MARGIN,
        "they were closed after {took:?}, not {HANDSHAKE:?}"
    );
    siege.withstood().await
}
