//! The wall clock of a host, which may be wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::Nanos;
use crate::shared::Shared;

/// When a simulated network begins unless told: midnight of 1 January 2025, UTC.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// The wall clock of one host: what its programs take the time of day to be.
///
/// It shows the network's epoch plus the time since the network began, put off by the *offset* and
/// going fast or slow by the *drift*; both can be set while it runs. Only this clock is wrong: timers
/// (`tokio::time`) and the network go by true time. A handle: clones are the same clock.
///
/// [`now`](HostClock::now) goes back when the offset is set back, as wall clocks do;
/// [`monotone`](HostClock::monotone) never does.
#[derive(Clone, Debug)]
pub struct HostClock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) host: u32,
}

impl HostClock {
    /// What it shows.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.since_unix_epoch()
    }

    /// The same as a time since 1970; never less than none.
    pub fn since_unix_epoch(&self) -> Duration {
        self.shared.with(|engine, now| {
            engine.read_clock(self.host);
            let local = engine.hosts[self.host as usize].clock.read(now);
            duration(engine.epoch.as_nanos() as i128 + local)
        })
    }

    /// The time since the network began, by this clock, but never less than it showed here before:
    /// set back, it stands still until the clock has caught up.
    pub fn monotone(&self) -> Duration {
        self.shared.with(|engine, now| {
            engine.read_clock(self.host);
            duration(engine.hosts[self.host as usize].clock.show(now))
        })
    }

    /// Puts the clock forward by this much, at once.
    pub fn put_forward(&self, by: Duration) {
        self.step(by.as_nanos() as i128);
    }

    /// Puts the clock back by this much, at once.
    pub fn put_back(&self, by: Duration) {
        self.step(-(by.as_nanos() as i128));
    }

    fn step(&self, by: i128) {
        self.shared.with(|engine, now| engine.hosts[self.host as usize].clock.step(now, by));
    }

    /// Lets it go fast (more than 0) or slow (less) from now on, in millionths; at most a million
    /// slow, where it stands still. What it shows does not jump.
    pub fn set_drift(&self, ppm: i32) {
        self.shared.with(|engine, now| engine.hosts[self.host as usize].clock.set_drift(now, ppm));
    }

    /// How fast or slow it goes, in millionths.
    pub fn drift(&self) -> i32 {
        self.shared.with(|engine, _| engine.hosts[self.host as usize].clock.drift_ppm())
    }
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

/// What a clock goes by. There is one for each of very many hosts, and most are true: they take no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockState(Option<Box<Set>>);

/// Where a clock stood when it was last set, and how it has gone since.
#[derive(Clone, Debug, Default)]
struct Set {
    at: Nanos,
    local: i128,
    drift_ppm: i32,
    shown: i128,
    /// How far it was put forward in all.
    stepped: i128,
}

impl ClockState {
    /// The time since the network began, by this clock.
    pub(crate) fn read(&self, now: Nanos) -> i128 {
        let Some(set) = &self.0 else { return i128::from(now) };
        let gone = i128::from(now - set.at);
        set.local + gone + gone * i128::from(set.drift_ppm) / 1_000_000
    }

    /// The same, but never less than was shown here before.
    pub(crate) fn show(&mut self, now: Nanos) -> i128 {
        let read = self.read(now);
        match &mut self.0 {
            Some(set) => {
                set.shown = set.shown.max(read);
                set.shown
            }
            // A clock that is not set does not go back.
            None => read,
        }
    }

    /// How much time has gone by this clock, which no putting forward or back changes: what timers of
    /// an isolated host go by.
    pub(crate) fn gone(&self, now: Nanos) -> Nanos {
        let stepped = self.0.as_ref().map_or(0, |set| set.stepped);
        let gone = self.read(now).saturating_sub(stepped).max(0);
        Nanos::try_from(gone).unwrap_or(Nanos::MAX)
    }

    pub(crate) fn step(&mut self, now: Nanos, by: i128) {
        let shown = self.read(now);
        // What a true clock has shown before, it has shown by now.
        let set = self.0.get_or_insert_with(|| Box::new(Set { shown, ..Set::default() }));
        set.local = shown.saturating_add(by);
        set.stepped = set.stepped.saturating_add(by);
        set.at = now;
    }

    pub(crate) fn set_drift(&mut self, now: Nanos, ppm: i32) {
        self.step(now, 0);
        self.0.get_or_insert_default().drift_ppm = ppm.max(-1_000_000);
    }

    pub(crate) fn drift_ppm(&self) -> i32 {
        self.0.as_ref().map_or(0, |set| set.drift_ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn drift_counts_from_when_it_was_set() {
        let mut clock = ClockState::default();
        assert_eq!(clock.read(10 * S), 10 * i128::from(S));
        // 100 millionths of the 90 s that follow: 9 ms.
        clock.set_drift(10 * S, 100);
        assert_eq!(clock.read(100 * S), 100 * i128::from(S) + 9_000_000);
    }

    #[test]
    fn a_clock_cannot_run_backwards_only_stand() {
        let mut clock = ClockState::default();
        clock.set_drift(S, i32::MIN);
        assert_eq!(clock.read(5 * S), i128::from(S));
    }
}
