//! Fault schedules for proptest: those that fail a test shrink to what is needed to fail it.

use std::time::Duration;

use proptest::collection::vec;
use proptest::strategy::{BoxedStrategy, Strategy};

use super::generate::{Draw, FaultProfile, schedule};
use super::schedule::FaultSchedule;

impl FaultSchedule {
    /// Schedules of at most `faults` faults that begin within `duration`, between these hosts. They
    /// shrink to fewer faults, then to milder kinds, earlier, shorter and weaker ones.
    pub fn strategy(
        profile: FaultProfile,
        hosts: &[&str],
        duration: Duration,
        faults: usize,
    ) -> BoxedStrategy<Self> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        // Whole milliseconds shrink faster and read better.
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1);
        let places = hosts.len().max(1) as u32;
        let draw = (0..profile.kinds(), 0..places, 0..places, 0..ms, 1..=ms, 0..1000_u32).prop_map(
            |(kind, first, second, at, lasting, strength)| Draw {
                kind,
                first,
                second,
                at: Duration::from_millis(at),
                lasting: Duration::from_millis(lasting),
                strength,
            },
        );
        vec(draw, 0..=faults)
            .prop_map(move |draws| {
                let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
                schedule(draws, &hosts)
            })
            .boxed()
    }
}
