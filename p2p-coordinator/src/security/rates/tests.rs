use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_769_860_800_000);

fn later(millis: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + millis)
}

fn player(number: usize) -> Source {
    Source::Player(format!("player {number}").parse().unwrap())
}

fn asks(limiter: &mut Limiter, now: Timestamp, number: usize) -> Result<Left, Left> {
    limiter.take(now, Class::Others, player(number), Rate::per_minute(100))
}

#[test]
fn a_hundred_pass_at_once_and_then_one_each_600_milliseconds() {
    let mut limiter = Limiter::new(10);
    for number in 0..100 {
        let left = asks(&mut limiter, NOW, 1).unwrap();
        assert_eq!((left.limit, left.remaining), (100, 99 - number));
    }
    let refused = asks(&mut limiter, NOW, 1).unwrap_err();
    assert_eq!((refused.remaining, refused.reset, refused.wait(NOW)), (0, later(600), 1));
    assert!(asks(&mut limiter, later(599), 1).is_err());
    assert!(asks(&mut limiter, later(600), 1).is_ok());
    assert!(asks(&mut limiter, later(600), 1).is_err(), "a refusal has not cost a token");
    assert!(asks(&mut limiter, NOW, 2).is_ok(), "another's bucket is another");
    assert_eq!(asks(&mut limiter, later(60_600), 1).unwrap().remaining, 99, "full again");
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_window() {
    let mut limiter = Limiter::new(10);
    let year = Timestamp::from_millis(NOW.as_millis() + 365 * 86_400_000);
    while asks(&mut limiter, year, 1).is_ok() {}
    let refused = asks(&mut limiter, NOW, 1).unwrap_err();
    assert!(refused.wait(NOW) <= 60, "{refused:?}");
    assert!(asks(&mut limiter, later(600), 1).is_ok());
}

#[test]
fn a_hundred_thousand_sources_take_the_room_of_a_hundred_and_who_asks_is_remembered() {
    let mut limiter = Limiter::new(100);
    while asks(&mut limiter, NOW, 0).is_ok() {}
    for number in 1..=100_000 {
        assert!(asks(&mut limiter, NOW, number).is_ok());
        if number % 50 == 0 {
            // Once in 600 ms there is one; so it asks again and again, and is never forgotten.
            let _ = limiter.take(
                later(600 * number as u64),
                Class::Others,
                player(0),
                Rate::per_minute(100),
            );
        }
    }
    assert_eq!((limiter.len(), limiter.by_use.len()), (100, 100));
    assert!(limiter.buckets.contains_key(&(Class::Others, player(0))));
}

#[test]
fn a_network_of_one_customer_is_one_source() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

#[test]
fn looking_takes_nothing() {
    let mut limiter = Limiter::new(10);
    let rate = Rate::per_minute(1);
    for _ in 0..3 {
        assert!(limiter.look(NOW, Class::Wrong, player(1), rate).is_ok());
    }
    assert!(limiter.take(NOW, Class::Wrong, player(1), rate).is_ok());
    assert!(limiter.look(NOW, Class::Wrong, player(1), rate).is_err());
    assert!(limiter.look(later(60_000), Class::Wrong, player(1), rate).is_ok());
}

proptest! {
    /// Of no stretch of time do more pass than the bucket holds and what came meanwhile.
    #[test]
    fn never_more_pass_than_the_rate_allows(
        requests in 1_u32..50,
        window in 1_u64..5_000,
        waits in proptest::collection::vec(0_u64..200, 1..400),
    ) {
        let rate = Rate { requests, window: Duration::from_millis(window) };
        let (mut limiter, mut at, mut passed) = (Limiter::new(4), 0, 0_u64);
        for wait in waits {
            at += wait;
            if limiter.take(later(at), Class::Others, player(1), rate).is_ok() {
                passed += 1;
            }
            // An interval is cut to whole microseconds: at most one in a thousand more.
            let came = at * 1000 / rate.interval_micros();
            prop_assert!(passed <= u64::from(requests) + came + 1, "{passed} by {at} ms");
        }
    }

    #[test]
    fn no_moment_or_rate_makes_it_panic(
        moments in proptest::collection::vec(any::<u64>(), 1..20),
        requests: u32,
        window: u64,
    ) {
        let rate = Rate { requests, window: Duration::from_millis(window) };
        let mut limiter = Limiter::new(2);
        for moment in moments {
            let now = Timestamp::from_millis(moment);
            match limiter.take(now, Class::Auth, player(1), rate) {
                Ok(left) => prop_assert!(left.remaining < left.limit),
                Err(left) => prop_assert_eq!(left.remaining, 0),
            }
        }
    }
}
