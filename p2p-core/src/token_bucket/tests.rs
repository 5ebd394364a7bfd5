use proptest::prelude::*;

use super::*;

const fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// The same, in the plainest way: each nanosecond by itself.
struct Model {
    amount: i64,
    period: i64,
    burst: i64,
    /// In tokens divided by the period; below zero is a debt.
    level: i64,
    now: u64,
}

impl Model {
    fn advance(&mut self, now: u64) {
        while self.now < now {
            self.level = (self.level + self.amount).min(self.burst * self.period);
            self.now += 1;
        }
    }

    fn has(&self, tokens: i64) -> bool {
        self.level >= tokens.min(self.burst) * self.period
    }

    /// How long until it has them.
    fn wait(&self, tokens: i64) -> u64 {
        let mut later = Self { ..*self };
        while !later.has(tokens) {
            later.advance(later.now + 1);
        }
        later.now - self.now
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Charge(u64),
    Pass(u64),
    PutBack(u64),
    Take(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12u64).prop_map(Step::Charge),
        (0..200u64).prop_map(Step::Pass),
        (0..12u64).prop_map(Step::PutBack),
        (0..12u64).prop_map(Step::Take),
    ]
}

fn limit() -> impl Strategy<Value = RateLimit> {
    let any = prop_oneof![1..1000u64, any::<u64>().prop_map(|n| n.max(1))];
    (any.clone(), any.clone(), any).prop_map(|(amount, period, burst)| {
        let limit = RateLimit::new(amount, ns(period)).expect("not zero");
        limit.with_burst(burst).expect("not zero")
    })
}

proptest! {
    #[test]
    fn it_does_what_the_plainest_bucket_does(
        amount in 1..7u64,
        period in 1..50u64,
        burst in 1..9u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let limit = RateLimit::new(amount, ns(period)).expect("not zero");
        let limit = limit.with_burst(burst).expect("not zero");
        let mut bucket = TokenBucket::new(limit, ns(0));
        let [amount, period, burst] = [amount, period, burst].map(|n| n as i64);
        let mut model = Model { amount, period, burst, level: burst * period, now: 0 };
        for step in steps {
            let now = ns(model.now);
            match step {
                Step::Charge(tokens) => {
                    bucket.charge(tokens, now);
                    model.level -= tokens as i64 * period;
                }
                Step::Pass(nanos) => model.advance(model.now + nanos),
                Step::PutBack(tokens) => {
                    bucket.put_back(tokens, now);
                    model.level = (model.level + tokens as i64 * period).min(burst * period);
                }
                Step::Take(tokens) => match bucket.try_take(tokens, now) {
                    Ok(()) => {
                        prop_assert!(model.has(tokens as i64));
                        model.level -= tokens as i64 * period;
                    }
                    Err(wait) => prop_assert_eq!(wait, ns(model.wait(tokens as i64))),
                },
            }
            let there = (model.level.max(0) / period) as u64;
            prop_assert_eq!(bucket.available(ns(model.now)), there);
        }
    }

    #[test]
    fn who_waits_as_long_as_it_says_gets_them_and_no_sooner(
        limit in limit(),
        charged in any::<u64>(),
        tokens in any::<u64>(),
    ) {
        let mut bucket = TokenBucket::new(limit, ns(0));
        bucket.charge(charged, ns(0));
        if let Err(wait) = bucket.clone().try_take(tokens, ns(0)) {
            prop_assert!(wait > Duration::ZERO);
            if wait < Duration::MAX {
                prop_assert!(bucket.clone().try_take(tokens, wait - ns(1)).is_err());
                prop_assert_eq!(bucket.try_take(tokens, wait), Ok(()));
            }
        }
    }

    #[test]
    fn asking_often_changes_nothing(limit in limit(), looks in prop::collection::vec(0..1u64 << 40, 0..50)) {
        let mut often = TokenBucket::new(limit, ns(0));
        often.charge(u64::MAX, ns(0));
        let mut once = often.clone();
        let last = looks.iter().copied().max().unwrap_or(0);
        // Also in an order that time does not have.
        for look in looks {
            let _ = often.available(ns(look));
        }
        prop_assert_eq!(often.wait(1, ns(last)), once.wait(1, ns(last)));
    }

    #[test]
    fn no_values_make_it_panic(
        limits in prop::collection::vec(limit(), 1..5),
        calls in prop::collection::vec((0..5u8, any::<u64>(), any::<Duration>()), 0..30),
    ) {
        let mut bucket = TokenBucket::new(limits[0], ns(0));
        for (number, (call, tokens, now)) in calls.into_iter().enumerate() {
            match call {
                0 => drop(bucket.try_take(tokens, now)),
                1 => bucket.charge(tokens, now),
                2 => bucket.put_back(tokens, now),
                3 => bucket.set_limit(limits[number % limits.len()], now),
                _ => prop_assert!(bucket.available(now) <= bucket.limit().burst()),
            }
        }
    }

    #[test]
    fn a_change_keeps_whole_tokens_and_debts(old in limit(), new in limit(), taken in any::<u64>()) {
        let mut bucket = TokenBucket::new(old, ns(0));
        bucket.charge(taken, ns(0));
        let before = bucket.available(ns(0));
        bucket.set_limit(new, ns(0));
        prop_assert_eq!(bucket.available(ns(0)), before.min(new.burst()));
    }
}

#[test]
fn a_day_at_an_odd_rate_does_not_drift() {
    // Seven in three seconds: a token takes 428 571 428 and four sevenths nanoseconds.
    let limit = RateLimit::new(7, Duration::from_secs(3)).expect("not zero");
    let mut bucket = TokenBucket::new(limit.with_burst(1).expect("not zero"), ns(0));
    let (mut now, mut taken) = (Duration::ZERO, 0u64);
    while now < Duration::from_secs(86_400) {
        match bucket.try_take(1, now) {
            Ok(()) => taken += 1,
            Err(wait) => now += wait,
        }
    }
    // One at the start, and none at the very end. Waiting for whole nanoseconds costs up to one for
    // each token, 0.2 ms in all: less than a token.
    assert_eq!(taken, 86_400 / 3 * 7);
}

#[test]
fn more_than_the_burst_is_paid_for_afterwards() {
    let limit = RateLimit::per_second(10).expect("not zero");
    let mut bucket = TokenBucket::new(limit, ns(0));
    assert_eq!(bucket.try_take(35, ns(0)), Ok(()));
    // 25 in debt, and one more.
    assert_eq!(bucket.try_take(1, ns(0)), Err(Duration::from_millis(2_600)));
    // As much again only from a full bucket.
    assert_eq!(bucket.try_take(35, ns(0)), Err(Duration::from_millis(3_500)));
}

#[test]
fn nothing_is_free_even_when_the_clock_goes_back() {
    let mut bucket = TokenBucket::new(RateLimit::per_second(1).expect("not zero"), ns(0));
    let late = Duration::from_secs(10);
    assert_eq!(bucket.try_take(1, late), Ok(()));
    assert_eq!(bucket.try_take(1, ns(0)), Err(Duration::from_secs(11)));
}

#[test]
fn zero_is_named() {
    let period = RateLimit::new(1, Duration::ZERO).expect_err("zero").to_string();
    assert_eq!(
        period,
        "a rate limit's period is 0ns: it must be at least 1 ns and at most 584 years"
    );
    assert!(RateLimit::new(1, Duration::MAX).is_err());
    let burst = RateLimit::per_second(1).and_then(|limit| limit.with_burst(0));
    assert_eq!(
        burst.expect_err("zero").to_string(),
        "a rate limit's burst is 0: it must be at least 1"
    );
}
