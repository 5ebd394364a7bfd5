//! Fault schedules from a seed.

use std::time::Duration;

use super::schedule::{FaultSchedule, ScheduledFault};
use super::{Degrade, Fault};
use crate::engine::random::{Purpose, Random};
use crate::profile::Preset;

/// How much shall break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultProfile {
    /// Links get a little worse now and then.
    Calm,
    /// Links get bad, and are cut for a moment.
    Lossy,
    /// Everything: cuts in one direction and both, crashes, pauses, wrong clocks.
    Hostile,
}

impl FaultProfile {
    /// How many of [`KINDS`] may happen, from the mildest.
    pub(crate) const fn kinds(self) -> u32 {
        match self {
            Self::Calm => 1,
            Self::Lossy => 5,
            Self::Hostile => KINDS,
        }
    }

    /// The mean time between the beginnings of two faults.
    const fn every(self) -> Duration {
        match self {
            Self::Calm => Duration::from_secs(30),
            Self::Lossy => Duration::from_secs(10),
            Self::Hostile => Duration::from_secs(5),
        }
    }
}

/// How many kinds of fault there are to draw from: see [`Draw::fault`].
pub(crate) const KINDS: u32 = 9;
/// The profiles that links are given, by their latency.
const MILDEST_FIRST: [Preset; 8] = [
    Preset::Lan,
    Preset::Cable,
    Preset::HomeDsl,
    Preset::FiveG,
    Preset::LeoSatellite,
    Preset::Lte,
    Preset::Intercontinental,
    Preset::GeoSatellite,
];
/// No generated schedule is longer, whatever the time it is for.
const MAX_FAULTS: u128 = 10_000;

/// What a generated fault follows from: smaller numbers are milder faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub(crate) kind: u32,
    /// Which hosts, counted through.
    pub(crate) first: u32,
    pub(crate) second: u32,
    pub(crate) at: Duration,
    pub(crate) lasting: Duration,
    /// From 0 to 999.
    pub(crate) strength: u32,
}

impl Draw {
    /// The fault itself; with fewer than two hosts there are none between hosts.
    fn fault(self, hosts: &[&str]) -> Option<Fault> {
        let count = hosts.len() as u32;
        let host = (*hosts.get(self.first.checked_rem(count)? as usize)?).to_owned();
        let other = (1..count)
            .map(|step| hosts[((self.first % count + step) % count) as usize])
            .nth((self.second % count.saturating_sub(1).max(1)) as usize);
        let pair = || Some((vec![host.clone()], vec![(*other.as_ref()?).to_owned()]));
        let strength = self.strength.min(999);
        Some(match self.kind % KINDS {
            0 => {
                let (a, b) = pair()?;
                // At most 200 ms, 50 ms and 5 % more: a bad evening on a mobile phone.
                let by = Degrade::new()
                    .with_latency_us(u64::from(strength + 1) * 200)
                    .with_jitter_us(u64::from(strength) * 50)
                    .with_loss_ppm(strength * 50);
                Fault::Degrade { a, b, by }
            }
            1 => {
                let (a, b) = pair()?;
                let place = strength as usize * MILDEST_FIRST.len() / 1000;
                Fault::Profile { a, b, profile: MILDEST_FIRST[place].down() }
            }
            2 => {
                let (from, to) = pair()?;
                Fault::ConnectFailures { from, to, share_ppm: (strength + 1) * 1000 }
            }
            3 => pair().map(|(a, b)| Fault::Hold { a, b })?,
            4 => pair().map(|(from, to)| Fault::OneWay { from, to })?,
            5 => pair().map(|(a, b)| Fault::Partition { a, b })?,
            6 => Fault::Clock {
                host,
                // At most a second, and what bad quartz does.
                offset_us: i64::from(strength + 1) * 1000,
                drift_ppm: strength as i32 / 5,
            },
            7 => Fault::Pause { host },
            _ => Fault::Crash { host },
        })
    }
}

/// The schedule of what was drawn, with names that tell faults apart.
pub(crate) fn schedule(draws: impl IntoIterator<Item = Draw>, hosts: &[&str]) -> FaultSchedule {
    let mut schedule = FaultSchedule::new();
    for draw in draws {
        let Some(fault) = draw.fault(hosts) else { continue };
        let name = format!("{} #{}", fault.kind(), schedule.faults.len() + 1);
        schedule.faults.push(ScheduledFault::new(&name, draw.at, Some(draw.lasting), fault));
    }
    schedule.faults.sort_by_key(|planned| planned.at);
    schedule
}

impl FaultSchedule {
    /// A schedule that follows from a seed: faults that begin and end within `duration`, between
    /// these hosts. The same arguments give the same schedule on every machine.
    pub fn generate(seed: u64, profile: FaultProfile, hosts: &[&str], duration: Duration) -> Self {
        let mut random = Random::new(seed, Purpose::Schedule, profile as u32, 0);
        let mut up_to = |max: u64| random.up_to(max);
        let total = crate::engine::nanos(duration);
        let every = profile.every().as_nanos();
        let count = u128::from(total).div_ceil(every).min(MAX_FAULTS);
        let draws: Vec<_> = (0..count)
            .map(|_| {
                let at = up_to(total);
                // No longer than two times the mean between faults, and than there is time.
                let lasting = up_to((total - at).min(every as u64 * 2)).max(1);
                Draw {
                    kind: up_to(u64::from(profile.kinds()) - 1) as u32,
                    first: up_to(u64::from(u32::MAX)) as u32,
                    second: up_to(u64::from(u32::MAX)) as u32,
                    at: Duration::from_nanos(at),
                    lasting: Duration::from_nanos(lasting),
                    strength: up_to(999) as u32,
                }
            })
            .collect();
        schedule(draws, hosts)
    }
}
