//! When to stop trusting a link that its transport still believes in.
//!
//! Silence is measured against the link's own round trip, and only while there is a reason to expect
//! an answer: after something was sent or heard. First the peer is asked, by *probes* that travel on
//! streams of their own, so that a lost one holds up no other; a single answer ends the suspicion. On
//! a line that loses a twelfth of all round trips, eight independent probes fail together once in
//! half a billion cases; on a dead path they always do.

use std::time::Duration;

use tokio::time::Instant;

use super::probes::Probes;

/// Probes of one suspicion.
const PROBES: u32 = 8;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait until then, or, without a time, until something is sent or heard.
    Wait(Option<Instant>),
    /// Send this probe, and ask again.
    Probe(u64),
    /// The link is dead: nothing came back for this long.
    Dead(Duration),
}

/// The watch over one link.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// The shortest silence that counts as death.
    floor: Duration,
    probes: Probes,
    /// When the present silence began, if an answer is due.
    since: Option<Instant>,
    /// What had been sent and heard at the last look.
    sent: u64,
    heard: u64,
    /// How many probes were sent in the present silence.
    asked: u32,
    /// It counted as dead, and nothing has come since.
    dead: bool,
    /// An answer has come since the last look.
    answered: bool,
}

impl Liveness {
    pub(crate) fn new(floor: Duration) -> Self {
        Self {
            floor,
            probes: Probes::default(),
            since: None,
            sent: 0,
            heard: 0,
            asked: 0,
            dead: false,
            answered: false,
        }
    }

    /// A further link, whose transport has measured this round trip.
    pub(crate) fn on_link(&mut self, rtt: Option<Duration>) {
        self.probes.on_link(rtt);
        self.since = None;
        self.dead = false;
        self.answered = false;
    }

    /// The link has another path, of which its transport says this.
    pub(crate) fn on_path(&mut self, rtt: Option<Duration>) {
        self.probes.on_path(rtt);
    }

    /// The answer to a probe has come.
    pub(crate) fn on_answer(&mut self, probe: u64, now: Instant) {
        self.answered |= self.probes.on_answer(probe, now, Duration::MAX);
    }

    /// Nobody can do anything about a dead link from here: it is asked from the beginning.
    pub(crate) fn ask_again(&mut self, now: Instant) {
        self.since = Some(now);
        self.asked = 0;
        self.dead = true;
    }

    /// After how much silence the link counts as dead.
    pub(crate) fn limit(&self) -> Duration {
        self.floor.max(self.probes.quiet() * 3)
    }

    /// Whether the link is silent for longer than it should be.
    pub(crate) fn is_suspect(&self, now: Instant) -> bool {
        let is_long = |since: Instant| now.saturating_duration_since(since) >= self.limit() / 2;
        self.dead || self.since.is_some_and(is_long)
    }

    /// What to do, given how much was sent and heard so far in all (any measure that grows); probes
    /// and answers do not count.
    pub(crate) fn look(&mut self, now: Instant, sent: u64, heard: u64) -> Verdict {
        if std::mem::take(&mut self.answered) {
            self.since = None;
            self.dead = false;
        }
        self.dead &= heard == self.heard;
        if heard != self.heard || self.since.is_none() && sent != self.sent {
            // It lives, or is asked something. Whether it lives on is worth a question, later.
            (self.sent, self.heard) = (sent, heard);
            self.since = Some(now);
            self.asked = 0;
        }
        let Some(since) = self.since else { return Verdict::Wait(None) };
        let silence = now.saturating_duration_since(since);
        let limit = self.limit();
        if silence >= limit {
            return Verdict::Dead(silence);
        }
        let quiet = self.probes.quiet().min(limit / 3);
        // The last probe goes early enough to be answered in time.
        let due = quiet + (limit - quiet * 2) / PROBES * self.asked;
        if self.asked == PROBES {
            return Verdict::Wait(Some(since + limit));
        }
        if silence < due {
            return Verdict::Wait(Some(since + due));
        }
        self.asked += 1;
        Verdict::Probe(self.probes.ask(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOR: Duration = Duration::from_millis(300);

    /// Lets time pass on a link with this round trip, which answers `answers` of the probes, until
    /// nothing is left to do or the link counts as dead.
    fn run(
        watch: &mut Liveness,
        now: &mut Instant,
        rtt: Duration,
        mut answers: impl FnMut(u64) -> bool,
    ) -> Verdict {
        let mut coming: Vec<(Instant, u64)> = Vec::new();
        loop {
            coming.retain(|&(at, probe)| {
                if at <= *now {
                    watch.on_answer(probe, *now);
                }
                at > *now
            });
            match watch.look(*now, 1, 0) {
                Verdict::Probe(probe) => {
                    if answers(probe) {
                        coming.push((*now + rtt, probe));
                    }
                }
                Verdict::Wait(Some(at)) => {
                    *now = coming.iter().map(|&(at, _)| at).fold(at, Instant::min);
                }
                done => return done,
            }
        }
    }

    proptest! {
        #[test]
        fn one_answer_among_the_probes_clears_the_link(
            rtt in 1u64..2000, answered in 0u64..u64::from(PROBES),
        ) {
            let (mut watch, mut now) = (Liveness::new(FLOOR), Instant::now());
            let rtt = Duration::from_millis(rtt);
            watch.on_link(Some(rtt));
            let done = run(&mut watch, &mut now, rtt, |probe| probe == answered);
            prop_assert_eq!(done, Verdict::Wait(None));
        }

        #[test]
        fn a_dead_link_is_found_at_the_limit_and_not_before(rtt in 1u64..2000) {
            let (mut watch, start) = (Liveness::new(FLOOR), Instant::now());
            let rtt = Duration::from_millis(rtt);
            watch.on_link(Some(rtt));
            let mut now = start;
            let done = run(&mut watch, &mut now, rtt, |_| false);
            prop_assert_eq!(done, Verdict::Dead(now - start));
            prop_assert_eq!(now - start, watch.limit());
            prop_assert!(watch.limit() >= FLOOR.max(rtt * 9));
        }
    }

    #[test]
    fn a_dead_link_stays_suspect_while_it_is_asked_again_and_until_something_comes() {
        for answered in [true, false] {
            let (mut watch, mut now) = (Liveness::new(FLOOR), Instant::now());
            let rtt = Duration::from_millis(50);
            watch.on_link(Some(rtt));
            assert!(!watch.is_suspect(now));
            run(&mut watch, &mut now, rtt, |_| false);
            for _ in 0..3 {
                watch.ask_again(now);
                assert!(watch.is_suspect(now));
                run(&mut watch, &mut now, rtt, |_| false);
                assert!(watch.is_suspect(now));
            }
            watch.ask_again(now);
            if answered {
                run(&mut watch, &mut now, rtt, |_| true);
            } else {
                watch.look(now, 1, 1);
            }
            assert!(!watch.is_suspect(now));
        }
    }

    #[test]
    fn an_idle_link_is_not_asked_anything() {
        let mut watch = Liveness::new(FLOOR);
        watch.on_link(None);
        assert_eq!(watch.look(Instant::now(), 0, 0), Verdict::Wait(None));
    }

    #[test]
    fn a_steady_line_shortens_the_limit() {
        let (mut watch, mut now) = (Liveness::new(Duration::ZERO), Instant::now());
        let rtt = Duration::from_millis(100);
        watch.on_link(Some(rtt));
        let before = watch.limit();
        for sent in 1..50 {
            let Verdict::Wait(Some(at)) = watch.look(now, sent, 0) else { panic!("armed") };
            now = at;
            let Verdict::Probe(probe) = watch.look(now, sent, 0) else { panic!("asked") };
            now += rtt;
            watch.on_answer(probe, now);
            assert_eq!(watch.look(now, sent, 0), Verdict::Wait(None));
        }
        assert!(watch.limit() < before / 2, "{:?} after {before:?}", watch.limit());
    }

    #[test]
    fn an_answer_to_what_was_never_asked_changes_nothing() {
        let (mut watch, now) = (Liveness::new(FLOOR), Instant::now());
        watch.look(now, 1, 0);
        watch.on_answer(0, now);
        watch.on_answer(u64::MAX, now);
        assert_eq!(watch.look(now + watch.limit(), 1, 0), Verdict::Dead(watch.limit()));
    }
}
