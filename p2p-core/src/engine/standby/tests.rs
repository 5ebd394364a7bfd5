//! What the watch over two links decides, on lines that are made up.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const TERMS: Terms = Terms {
    hedge_after: Duration::from_millis(150),
    heal_after: Duration::from_millis(1500),
    redial_after: Duration::from_millis(300),
    redials: true,
};

/// Two links, on which probes are answered or not.
struct Lines {
    watch: Standby,
    start: Instant,
    now: Instant,
    seen: Seen,
    /// Round trips.
    rtt: [Duration; 2],
    coming: Vec<(Instant, Way, u64)>,
    steps: Vec<(Duration, Step)>,
}

impl Lines {
    fn new(terms: Terms, rtt: [u32; 2]) -> Self {
        let (start, rtt) = (Instant::now(), rtt.map(|rtt| MS * rtt));
        let mut watch = Standby::new(terms);
        watch.on_link(Way::Main, Some(rtt[0]));
        watch.on_link(Way::Standby, Some(rtt[1]));
        let (coming, steps) = (Vec::new(), Vec::new());
        Self { watch, start, now: start, seen: Seen::default(), rtt, coming, steps }
    }

    /// Lets time pass, in which `answers` says which probes are answered.
    fn run(&mut self, time: Duration, mut answers: impl FnMut(Way, Duration) -> bool) {
        let end = self.now + time;
        while self.now < end {
            let now = self.now;
            let (here, coming) = std::mem::take(&mut self.coming)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, ..)| *at <= now);
            self.coming = coming;
            for (_, way, probe) in here {
                self.watch.on_answer(way, probe, now);
            }
            match self.watch.look(now, self.seen) {
                Step::Wait(until) => {
                    let next = self.coming.iter().map(|(at, ..)| *at).chain(until);
                    self.now = next.fold(end, Instant::min).max(now + Duration::from_micros(1));
                }
                Step::Probe(way, probe) => {
                    if answers(way, now - self.start) {
                        self.coming.push((now + self.rtt[way as usize], way, probe));
                    }
                }
                Step::Redial(silence) => {
                    self.steps.push((now - self.start, Step::Redial(silence)));
                    self.watch.on_lost(Way::Main);
                }
                step => self.steps.push((now - self.start, step)),
            }
        }
    }

    fn first(&self, wanted: impl Fn(&Step) -> bool) -> Option<Duration> {
        self.steps.iter().find(|(_, step)| wanted(step)).map(|(at, _)| *at)
    }

    fn relied(&self, reliance: Reliance) -> Option<Duration> {
        self.first(|step| *step == Step::Rely(reliance))
    }

    fn redialled(&self) -> Option<Duration> {
        self.first(|step| matches!(step, Step::Redial(_)))
    }
}

proptest! {
    #[test]
    fn a_dead_main_link_is_hedged_then_switched_then_dialled_anew(
        main in 1u32..400, standby in 1u32..400,
    ) {
        let mut lines = Lines::new(TERMS, [main, standby]);
        let limit = lines.watch.limit();
        lines.seen.sent = 1;
        lines.run(Duration::from_secs(20), |way, _| way == Way::Standby);
        let hedged = lines.relied(Reliance::Hedged).expect("hedged");
        let switched = lines.relied(Reliance::Switched).expect("switched");
        let redialled = lines.redialled().expect("given up");
        let slack = MS * 2;
        prop_assert!(hedged >= limit && hedged <= limit + slack, "{hedged:?} of {limit:?}");
        let latest = (limit * 2).max(limit + MS * standby) + slack;
        prop_assert!(switched >= limit * 2 && switched <= latest, "{switched:?}");
        let latest = TERMS.heal_after.max(switched) + ASK_SWITCHED + MS * standby + slack;
        prop_assert!(redialled >= TERMS.heal_after && redialled <= latest, "{redialled:?}");
        prop_assert!(limit >= TERMS.hedge_after.max(MS * main * 6));
    }

    #[test]
    fn one_answer_among_three_probes_keeps_everything_as_it_is(
        main in 1u32..400, answered in 0usize..3,
    ) {
        let mut lines = Lines::new(TERMS, [main, 80]);
        lines.seen.sent = 1;
        // That which measures the line comes first.
        let mut asked = 0;
        lines.run(Duration::from_secs(20), |_, _| {
            asked += 1;
            asked == answered + 2
        });
        prop_assert_eq!(lines.steps, Vec::new());
    }

    #[test]
    fn an_outage_of_both_gives_nothing_up(seconds in 1u64..60) {
        let mut lines = Lines::new(TERMS, [40, 80]);
        lines.seen.sent = 1;
        let outage = Duration::from_secs(seconds);
        lines.run(outage, |_, _| false);
        prop_assert_eq!((lines.relied(Reliance::Switched), lines.redialled()), (None, None));
        prop_assert!(lines.relied(Reliance::Hedged).is_some());
        lines.run(Duration::from_millis(1200), |_, _| true);
        let back = lines.relied(Reliance::None);
        prop_assert!(back.is_some_and(|at| at <= outage + MS * 1100), "{back:?}");
    }
}

#[test]
fn a_main_link_that_answers_twice_is_used_again() {
    let mut lines = Lines::new(TERMS, [40, 80]);
    lines.seen.sent = 1;
    lines.run(MS * 3000, |way, at| way == Way::Standby || at > MS * 900);
    assert!(lines.relied(Reliance::Switched).is_some_and(|at| at < MS * 600));
    let back = lines.relied(Reliance::None).expect("back");
    assert!(back > MS * 940 && back < MS * 1400, "{back:?}");
    assert_eq!(lines.redialled(), None);
}

#[test]
fn without_a_standby_a_dead_link_is_dialled_anew_as_without_the_policy() {
    let mut lines = Lines::new(TERMS, [40, 80]);
    lines.watch.on_lost(Way::Standby);
    lines.seen.sent = 1;
    lines.run(Duration::from_secs(2), |_, _| false);
    // Three times a round trip and four deviations, which at first are half of it.
    assert_eq!(lines.redialled(), Some(MS * 360));
    assert_eq!(lines.relied(Reliance::Hedged), None);
}

#[test]
fn a_side_that_does_not_dial_gives_nothing_up() {
    for standby in [true, false] {
        let mut lines = Lines::new(Terms { redials: false, ..TERMS }, [40, 80]);
        if !standby {
            lines.watch.on_lost(Way::Standby);
        }
        lines.seen.sent = 1;
        lines.run(Duration::from_secs(60), |way, _| way == Way::Standby);
        assert_eq!(lines.redialled(), None);
        assert_eq!(lines.relied(Reliance::Switched).is_some(), standby);
        assert!(lines.watch.is_suspect(lines.now));
    }
}

#[test]
fn a_standby_takes_over_at_once_when_the_main_link_is_lost_and_until_the_next() {
    let mut lines = Lines::new(TERMS, [40, 80]);
    lines.run(MS * 100, |_, _| true);
    lines.watch.on_lost(Way::Main);
    lines.run(MS * 1000, |_, _| true);
    assert_eq!(lines.relied(Reliance::Switched), Some(MS * 100));
    lines.watch.on_link(Way::Main, Some(MS * 40));
    lines.run(MS * 1000, |_, _| true);
    assert_eq!(lines.relied(Reliance::None), Some(MS * 1100));
}

#[test]
fn after_a_long_silence_the_control_streams_are_asked_and_must_answer() {
    for answers in [true, false] {
        let mut lines = Lines::new(TERMS, [40, 80]);
        lines.seen.sent = 1;
        lines.run(Duration::from_secs(10), |_, _| false);
        lines.run(Duration::from_secs(2), |_, _| true);
        let number = lines.steps.iter().find_map(|(_, step)| match step {
            Step::Ping(number) => Some(*number),
            _ => None,
        });
        let number = number.expect("asked");
        if answers {
            lines.watch.on_pong(number);
        }
        lines.run(Duration::from_secs(10), |_, _| true);
        assert_eq!(lines.redialled().is_none(), answers, "{:?}", lines.steps);
    }
}

#[test]
fn an_idle_connection_is_not_asked_anything() {
    let mut lines = Lines::new(TERMS, [40, 80]);
    let mut asked = 0;
    lines.run(Duration::from_secs(3600), |_, _| {
        asked += 1;
        true
    });
    assert_eq!((asked, lines.steps), (0, Vec::new()));
}
