//! A peer that writes what it likes to the streams that carry calls.

use bytes::Bytes;
use p2p_core::calls::{CallError, CallOptions, ServeOptions, call};
use p2p_core::{P2PConnection, RecvStream, SendStream, StreamError};
use proptest::prelude::*;

use crate::calls::{pair, serving};
use crate::{LATENCY, ms, simulate};

/// A request's head with this version, time in microseconds and length.
fn head(version: u8, micros: u64, length: u32) -> Vec<u8> {
    [&[version][..], &micros.to_be_bytes(), &length.to_be_bytes()].concat()
}

/// What Bob answers when these bytes come, and then the end of the stream, or nothing more.
fn answer_to(bytes: Vec<u8>, ends: bool) -> Result<Bytes, StreamError> {
    simulate(async |network| {
        let pair = pair(&network).await;
        let options = ServeOptions::default().with_max_request_size(100);
        serving(&pair.to_alice, options.with_max_timeout(ms(1000)));
        let (mut send, mut recv) = pair.to_bob.open_stream().await.expect("opened");
        let _ = send.write_all(bytes.into()).await;
        if ends {
            let _ = send.finish();
        }
        let (start, mut answer) = (network.elapsed(), Vec::new());
        let answer = loop {
            match recv.read_chunk(1000).await {
                Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                Ok(None) => break Ok(answer.into()),
                Err(error) => break Err(error),
            }
        };
        let took = network.elapsed() - start;
        assert!(took <= ms(1000) + 2 * LATENCY, "it took {took:?}");
        // Others are served as ever.
        let response = call(&pair.to_bob, "honest".into(), CallOptions::default()).await;
        assert_eq!(response.expect("a response"), "honest");
        answer
    })
}

#[test]
fn broken_requests_are_answered_or_broken_off_in_time() {
    let answered = |bytes, ends| answer_to(bytes, ends).expect("an answer");
    // Another version, and the one that is spoken.
    assert_eq!(answered(head(9, 1000, 0), true)[..], [5, 0, 0, 0, 1, 0, 0, 0, 0]);
    // More than Bob takes, of which nothing need come.
    assert_eq!(answered(head(1, 1_000_000, 101), false)[..], [4, 0, 0, 0, 100, 0, 0, 0, 0]);
    // No time at all.
    assert_eq!(answered([head(1, 0, 5), b"sleep".into()].concat(), false)[0], 3);
    // A head, or a body, that does not come.
    assert_eq!(answered(vec![1, 0, 0], false)[0], 3);
    assert_eq!(answered([head(1, u64::MAX, 100), vec![0; 99]].concat(), false)[0], 3);
    // As before, but it is known that nothing comes.
    assert!(answer_to(Vec::new(), true).is_err());
    assert!(answer_to(vec![1, 0, 0], true).is_err());
    assert!(answer_to([head(1, u64::MAX, 100), vec![0; 99]].concat(), true).is_err());
    // More than was announced is no request any more.
    assert!(answer_to([head(1, 9_000_000, 5), b"sleep and more".into()].concat(), false).is_err());
    // A stream that just ends does not say that the call was given up.
    assert_eq!(answered([head(1, 9_000_000, 2), b"hi".into()].concat(), true)[9..], b"hi"[..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_leave_the_others_unharmed(
        version in prop_oneof![Just(1u8), any::<u8>()],
        rest in prop::collection::vec(any::<u8>(), 0..200),
        ends in any::<bool>(),
    ) {
        let _ = answer_to([vec![version], rest].concat(), ends);
    }
}

/// What Alice's call comes to when Bob answers with these bytes, and the end if he `ends` it.
fn outcome_of(answer: Vec<u8>, ends: bool) -> Result<Bytes, CallError> {
    simulate(async |network| {
        let pair = pair(&network).await;
        let to_alice = pair.to_alice.clone();
        tokio::spawn(async move {
            let (mut send, _recv) = to_alice.accept_stream().await.expect("accepted");
            send.write_all(answer.into()).await.expect("written");
            if ends {
                send.finish().expect("finished");
            }
            to_alice.closed().await;
        });
        let options = CallOptions::default().with_timeout(ms(1000)).with_max_response_size(100);
        let outcome = call(&pair.to_bob, "x".into(), options).await;
        assert!(pair.to_bob.is_connected());
        outcome
    })
}

/// A response's head, of this kind and length.
fn response(kind: u8, number: u32, length: u32) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[test]
fn broken_responses_are_typed() {
    let protocol = |answer| match outcome_of(answer, true) {
        Err(CallError::Protocol { detail }) => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(protocol(vec![0, 0]), "it ends too early");
    assert_eq!(protocol([response(0, 0, 5), b"four".into()].concat()), "it ends too early");
    assert_eq!(protocol([response(0, 0, 3), b"four".into()].concat()), "it is longer than it says");
    assert_eq!(protocol(response(99, 0, 0)), "it is of unknown kind 99");
    assert_eq!(protocol(response(5, 2, 0)), "it speaks version 2 of calls");
    for (answer, bound) in
        [(response(0, 0, u32::MAX), 100), (response(1, 0, 1025), 1024), (response(2, 9, 1), 0)]
    {
        match outcome_of(answer, false) {
            Err(CallError::ResponseTooLarge { max, .. }) => assert_eq!(max, bound),
            other => panic!("{other:?}"),
        }
    }
    // Never whole: until the time is up.
    let never = outcome_of([response(0, 0, 4), b"four".into()].concat(), false);
    assert!(matches!(never, Err(CallError::DeadlineExceeded { .. })), "{never:?}");
    // Text that is none is still a refusal.
    match outcome_of([response(1, 7, 2), vec![0xff, 0xfe]].concat(), true) {
        Err(CallError::Refused(refusal)) => assert_eq!(refusal.code, 7),
        other => panic!("{other:?}"),
    }
}
