use super::*;

use crate::identity::SecretKey;

fn peer(number: u8) -> PeerId {
    SecretKey::from_bytes(&[number; 32]).peer_id()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(per_second: u64) -> RateLimit {
    RateLimit::per_second(per_second).expect("not zero")
}

/// What the error says: limit, whose, value, when.
fn refused(outcome: Result<()>) -> (Limit, Option<PeerId>, u64, Duration) {
    match outcome {
        Err(P2PError::RateLimited { limit, peer, max, retry_after, .. }) => {
            (limit, peer, max, retry_after)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_limit_that_takes_longest_is_named_and_nothing_is_taken() {
    let total = ScopeLimits::default().with_dials(rate(2));
    let each = ScopeLimits::default().with_dials(rate(1));
    let mut ledger = Ledger::new(Limits::default().with_total(total).with_per_peer(each), ms(0));
    ledger.dial(peer(1), ms(0)).expect("the first");
    assert_eq!(refused(ledger.dial(peer(1), ms(0))), (Limit::Dials, Some(peer(1)), 1, ms(1000)));
    // Had the refused one been counted in the total, this would be the third.
    ledger.dial(peer(2), ms(0)).expect("the second in total");
    assert_eq!(refused(ledger.dial(peer(3), ms(0))), (Limit::Dials, None, 2, ms(500)));
}

#[test]
fn places_are_counted_and_come_back() {
    let limits = Limits::default()
        .with_total(ScopeLimits::default().with_connections(3))
        .with_per_peer(ScopeLimits::default().with_connections(2))
        .with_retry_after(ms(7));
    let mut ledger = Ledger::new(limits, ms(0));
    ledger.admit(peer(1), ms(0)).expect("a place");
    ledger.dial(peer(1), ms(0)).expect("a place");
    let full = (Limit::Connections, Some(peer(1)), 2, ms(7));
    assert_eq!(refused(ledger.dial(peer(1), ms(0))), full);
    assert_eq!(refused(ledger.admit(peer(1), ms(0))), full);
    ledger.admit(peer(2), ms(0)).expect("a place");
    assert_eq!(refused(ledger.dial(peer(3), ms(0))), (Limit::Connections, None, 3, ms(7)));
    ledger.leave(peer(1), ms(1));
    ledger.dial(peer(3), ms(1)).expect("a place");
}

#[test]
fn coming_back_does_not_fill_a_peers_buckets() {
    let each = ScopeLimits::default().with_admissions(rate(1));
    let mut ledger = Ledger::new(Limits::default().with_per_peer(each), ms(0));
    ledger.admit(peer(1), ms(0)).expect("the first");
    ledger.leave(peer(1), ms(1));
    assert_eq!(refused(ledger.admit(peer(1), ms(1))).3, ms(999));
}

#[test]
fn peers_are_bounded_and_those_with_connections_stay() {
    let limits =
        Limits::default().with_total(ScopeLimits::default().with_connections(3)).with_max_peers(3);
    let mut ledger = Ledger::new(limits.clone(), ms(0));
    ledger.enter(peer(1), ms(0)).expect("a place");
    for number in 2..40 {
        ledger.admit(peer(number), ms(number.into())).expect("there is a place");
        ledger.leave(peer(number), ms(number.into()));
        assert!(ledger.peers.len() <= 3 && ledger.peers.contains_key(&peer(1)));
        assert_eq!(ledger.quiet.len(), ledger.peers.len() - 1);
    }
    // The two that were heard of last.
    assert!(ledger.peers.contains_key(&peer(38)) && ledger.peers.contains_key(&peer(39)));
    ledger.enter(peer(38), ms(50)).expect("a place");
    let one = limits.with_total(ScopeLimits::default().with_connections(1)).with_max_peers(1);
    ledger.set_limits(one, ms(60));
    assert_eq!(ledger.peers.len(), 2, "those with connections");
    assert_eq!(refused(ledger.admit(peer(5), ms(60))), (Limit::Peers, None, 1, ms(1000)));
}

#[test]
fn a_change_keeps_what_was_used() {
    let sent =
        |rate| ScopeLimits::default().with_sent(TrafficLimits::default().with_messages(rate));
    let limits = Limits::default().with_per_peer(sent(rate(10)));
    let mut ledger = Ledger::new(limits.clone(), ms(0));
    ledger.enter(peer(1), ms(0)).expect("a place");
    for _ in 0..10 {
        ledger.send(peer(1), 5, ms(0)).expect("within the limit");
    }
    assert_eq!(refused(ledger.send(peer(1), 5, ms(0))).3, ms(100));
    ledger.set_limits(limits.clone().with_per_peer(sent(rate(100))), ms(0));
    let twice_as_soon = (Limit::SentMessages, Some(peer(1)), 100, ms(10));
    assert_eq!(refused(ledger.send(peer(1), 5, ms(0))), twice_as_soon);
    ledger.set_limits(limits.with_per_peer(ScopeLimits::default()), ms(0));
    ledger.send(peer(1), 5, ms(0)).expect("no limit");
}

#[test]
fn debts_are_waited_for_with_the_peer_and_in_total() {
    let bytes =
        |limit| ScopeLimits::default().with_received(TrafficLimits::default().with_bytes(limit));
    let limits = Limits::default().with_total(bytes(rate(1000))).with_per_peer(bytes(rate(100)));
    let mut ledger = Ledger::new(limits, ms(0));
    for number in [1, 2] {
        ledger.enter(peer(number), ms(0)).expect("a place");
    }
    ledger.charge(peer(1), Way::Received, 1, 1099, ms(0));
    // A hundred over the total, and one byte more; a thousand over the peer's.
    assert_eq!(ledger.wait(peer(2), ms(0)), ms(100));
    assert_eq!(ledger.wait(peer(1), ms(0)), ms(10_000));
}

#[test]
fn a_stream_gets_what_is_there_when_it_is_worth_it() {
    let bytes =
        |limit| ScopeLimits::default().with_sent(TrafficLimits::default().with_bytes(limit));
    let limits =
        Limits::default().with_total(bytes(rate(10_000))).with_per_peer(bytes(rate(6_000)));
    let mut ledger = Ledger::new(limits, ms(0));
    ledger.enter(peer(1), ms(0)).expect("a place");
    assert_eq!(ledger.portion(peer(1), Way::Sent, 100, ms(0)), Ok(100));
    assert_eq!(ledger.portion(peer(1), Way::Sent, 1 << 20, ms(0)), Ok(6_000));
    ledger.charge(peer(1), Way::Sent, 0, 6_000, ms(0));
    assert_eq!(ledger.portion(peer(1), Way::Sent, 3_000, ms(0)), Err(ms(500)));
    assert_eq!(ledger.portion(peer(1), Way::Sent, 3_000, ms(500)), Ok(3_000));
    // Of a large piece, what is worth it: 1096 bytes more, at 6000 in a second.
    let wait = Duration::from_nanos(182_666_667);
    assert_eq!(ledger.portion(peer(1), Way::Sent, 1 << 20, ms(500)), Err(wait));
    assert_eq!(ledger.portion(peer(1), Way::Received, 1 << 20, ms(500)), Ok(1 << 20));
    // A stream may outlive what is known of its peer; the total still counts.
    assert_eq!(ledger.portion(peer(2), Way::Sent, 1 << 20, ms(500)), Ok(9_000));
}

#[test]
fn what_was_not_sent_after_all_is_given_back() {
    let traffic = TrafficLimits::default().with_messages(rate(1)).with_bytes(rate(10));
    let scope = ScopeLimits::default().with_sent(traffic);
    let limits = Limits::default().with_total(scope).with_per_peer(scope);
    let mut ledger = Ledger::new(limits, ms(0));
    ledger.enter(peer(1), ms(0)).expect("a place");
    for _ in 0..3 {
        ledger.send(peer(1), 10, ms(0)).expect("all that there is");
        assert_eq!(refused(ledger.send(peer(1), 1, ms(0))).3, ms(1000));
        ledger.unsend(peer(1), 1, 10, ms(0));
    }
}
