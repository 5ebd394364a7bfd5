//! Fault schedules: what breaks, when and for how long, as data.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Fault, FaultError};
use crate::network::Network;

/// Faults and their times, as data: to be written down, printed, generated, shrunk and replayed.
///
/// Serde's form is stable within a version. Times are in nanoseconds from when the schedule is
/// applied; hosts go by name.
///
/// ```
/// use std::time::Duration;
/// use p2p_simulator::{Fault, FaultSchedule};
///
/// let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
/// let at = Duration::from_secs(3);
/// let schedule =
///     FaultSchedule::new().with("cable", at, Duration::from_secs(1), Fault::Partition { a, b });
/// assert_eq!(schedule.to_string(), "at 3s for 1s: 'cable': partition alice | bob\n");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaultSchedule {
    /// The form in which it is written.
    #[serde(deserialize_with = "known_version")]
    pub version: u32,
    /// The faults, in any order.
    pub faults: Vec<ScheduledFault>,
}

/// A fault, and when it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduledFault {
    /// What it is called in reports.
    pub name: String,
    /// When it begins.
    #[serde(rename = "at_ns", with = "nanos")]
    pub at: Duration,
    /// How long it lasts; for ever if nothing is said.
    #[serde(
        rename = "for_ns",
        with = "maybe_nanos",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub lasting: Option<Duration>,
    /// What it is.
    pub fault: Fault,
}

impl ScheduledFault {
    /// A fault that stands from `at`, for as long as `lasting`, or for ever.
    pub fn new(name: &str, at: Duration, lasting: Option<Duration>, fault: Fault) -> Self {
        Self { name: name.to_owned(), at, lasting, fault }
    }
}

impl FaultSchedule {
    /// The newest version that is known here. Version 1 had no faults that change whole profiles,
    /// version 2 none of direct ways alone; both are read as ever.
    pub const VERSION: u32 = 3;

    /// Nothing breaks.
    pub const fn new() -> Self {
        Self { version: Self::VERSION, faults: Vec::new() }
    }

    /// Adds a fault that begins at `at` and lasts for `lasting`.
    #[must_use]
    pub fn with(mut self, name: &str, at: Duration, lasting: Duration, fault: Fault) -> Self {
        self.faults.push(ScheduledFault::new(name, at, Some(lasting), fault));
        self
    }

    /// Looks whether it is of a known version, and every fault in it possible on some network.
    ///
    /// # Errors
    ///
    /// [`FaultError::NewerVersion`]; [`FaultError::Impossible`] and [`FaultError::Profile`], which name
    /// the fault.
    pub fn check(&self) -> Result<(), FaultError> {
        // Versions count from 1, so that 0 is as unknown as one that is to come.
        if self.version == 0 || self.version > Self::VERSION {
            return Err(FaultError::NewerVersion { found: self.version, known: Self::VERSION });
        }
        self.faults.iter().try_for_each(|planned| planned.fault.check(&planned.name))
    }
}

impl Default for FaultSchedule {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for FaultSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults: Vec<_> = self.faults.iter().collect();
        faults.sort_by_key(|planned| planned.at);
        faults.into_iter().try_for_each(|planned| writeln!(f, "{planned}"))
    }
}

impl fmt::Display for ScheduledFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?} ", self.at)?;
        match self.lasting {
            Some(lasting) => write!(f, "for {lasting:?}")?,
            None => write!(f, "for ever")?,
        }
        write!(f, ": '{}': {}", self.name, self.fault)
    }
}

impl Network {
    /// Lets the faults of a schedule happen, with times from now. The network does it by itself: no
    /// task is needed, and nothing differs from run to run.
    ///
    /// # Errors
    ///
    /// [`FaultError`]: all hosts must be there, and all faults possible; otherwise none happens.
    pub fn apply(&self, schedule: &FaultSchedule) -> Result<(), FaultError> {
        schedule.check()?;
        self.shared.with(|engine, now| {
            for planned in &schedule.faults {
                let find = |name: &str| engine.hosts_named(name);
                let spec = planned.fault.resolve(&planned.name, find)?;
                engine.check_spec(&spec)?;
            }
            for planned in &schedule.faults {
                engine.plan_fault(now, planned.clone());
            }
            Ok(())
        })
    }
}

/// Refuses a newer version as soon as it is read, and not a fault further on that this one does not
/// know.
fn known_version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(deserializer)?;
    FaultSchedule { version, faults: Vec::new() }.check().map_err(serde::de::Error::custom)?;
    Ok(version)
}

mod nanos {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(crate::engine::nanos(*time))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

mod maybe_nanos {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&crate::engine::nanos(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_nanos))
    }
}
