//! Faults: what can be done to a network, by hand or by a schedule.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::fault::{Effect, Spec, probability};
use crate::profile::{Latency, LinkProfile, ProfileError};

pub use kind::FaultKind;

pub(crate) mod generate;
pub(crate) mod guard;
mod kind;
pub(crate) mod options;
pub(crate) mod report;
pub(crate) mod schedule;
#[cfg(feature = "proptest")]
pub(crate) mod strategy;

/// Something that can be done to a network, with hosts by their names.
///
/// Groups are cut off from groups: every host of the one from every host of the other. A host that is
/// in both has no fault with itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The links between two groups have this bandwidth.
    Bandwidth {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// What is left.
        limit: Bandwidth,
    },
    /// A host's wall clock is wrong.
    Clock {
        /// The host.
        host: String,
        /// How far it is ahead, in microseconds; less than 0 is behind.
        offset_us: i64,
        /// How fast it goes, in millionths; less than 0 is slow.
        drift_ppm: i32,
    },
    /// Attempts to connect from one group to the other fail.
    ConnectFailures {
        /// Who dials.
        from: Vec<String>,
        /// Who is dialled.
        to: Vec<String>,
        /// How many, in millionths.
        share_ppm: u32,
    },
    /// A host crashes; at the end of the fault it is started again.
    Crash {
        /// The host.
        host: String,
    },
    /// The links between two groups get worse.
    Degrade {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// By how much.
        by: Degrade,
    },
    /// Packets between two groups wait, datagrams too, and go on at the end of the fault.
    Hold {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// Nothing passes from one group to the other; the way back stays open.
    OneWay {
        /// From here.
        from: Vec<String>,
        /// To here.
        to: Vec<String>,
    },
    /// Nothing passes between two groups.
    Partition {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
    /// A host stands still: its tasks do not run, and what is sent to it waits.
    Pause {
        /// The host.
        host: String,
    },
    /// The links between two groups are of another profile.
    Profile {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
        /// What they are like, in both directions.
        profile: LinkProfile,
    },
    /// A host's NAT forgets it, once: see [`Network::rebind`](crate::Network::rebind).
    Rebind {
        /// The host.
        host: String,
    },
    /// Nothing passes between two groups but over
    /// [relays](crate::Network::set_relayed_link).
    UdpCut {
        /// One group.
        a: Vec<String>,
        /// The other.
        b: Vec<String>,
    },
}

/// What a link's bandwidth is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bandwidth {
    /// Bits per second.
    BitsPerSecond(u64),
    /// So many thousandths of what it is; the link must have a bandwidth.
    Permille(u32),
}

impl Bandwidth {
    pub(crate) fn on(self, mut profile: LinkProfile) -> LinkProfile {
        profile.bandwidth = match self {
            Self::BitsPerSecond(bits) => Some(bits.max(1)),
            Self::Permille(share) => profile.bandwidth.map(|bits| {
                let bits = u128::from(bits) * u128::from(share) / 1000;
                u64::try_from(bits).unwrap_or(u64::MAX).max(1)
            }),
        };
        profile
    }
}

/// How much worse a link gets than it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Degrade {
    /// More latency, in microseconds.
    pub latency_us: u64,
    /// More jitter, in microseconds.
    pub jitter_us: u64,
    /// More loss, in millionths of all packets.
    pub loss_ppm: u32,
}

impl Degrade {
    /// No worse.
    pub const fn new() -> Self {
        Self { latency_us: 0, jitter_us: 0, loss_ppm: 0 }
    }

    /// Sets how much more latency there is.
    #[must_use]
    pub const fn with_latency_us(mut self, latency_us: u64) -> Self {
        self.latency_us = latency_us;
        self
    }

    /// Sets how much more jitter there is.
    #[must_use]
    pub const fn with_jitter_us(mut self, jitter_us: u64) -> Self {
        self.jitter_us = jitter_us;
        self
    }

    /// Sets how much more is lost.
    #[must_use]
    pub const fn with_loss_ppm(mut self, loss_ppm: u32) -> Self {
        self.loss_ppm = loss_ppm;
        self
    }

    /// Why no link can get worse by so much.
    pub(crate) const fn check(self) -> Result<(), &'static str> {
        match self {
            Self { loss_ppm: 1_000_001.., .. } => {
                Err("more than a million millionths of all packets cannot be lost")
            }
            // Far above all that idle timeouts let live, and far below where times overflow.
            Self { latency_us: 3_600_000_001.., .. } | Self { jitter_us: 3_600_000_001.., .. } => {
                Err("no packet is on its way for more than an hour longer")
            }
            Self { latency_us: 0, jitter_us: 0, loss_ppm: 0 } => Err("it makes nothing worse"),
            _ => Ok(()),
        }
    }

    pub(crate) fn on(self, mut profile: LinkProfile) -> LinkProfile {
        let more = Duration::from_micros(self.latency_us);
        profile.latency = match profile.latency {
            Latency::Fixed(latency) => Latency::Fixed(latency.saturating_add(more)),
            Latency::Normal { mean, deviation } => {
                Latency::Normal { mean: mean.saturating_add(more), deviation }
            }
            Latency::Uniform { min, max } => {
                Latency::Uniform { min: min.saturating_add(more), max: max.saturating_add(more) }
            }
        };
        profile.jitter = profile.jitter.saturating_add(Duration::from_micros(self.jitter_us));
        profile.loss = (profile.loss + f64::from(self.loss_ppm) / 1e6).min(1.0);
        profile
    }
}

/// Why a fault cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FaultError {
    /// Two hosts have this name.
    #[error("fault '{fault}': there is more than one host called '{host}'")]
    AmbiguousHost {
        /// The fault's name.
        fault: String,
        /// The host's.
        host: String,
    },
    /// It asks for what no network can be.
    #[error("fault '{fault}' is impossible: {why}")]
    Impossible {
        /// The fault's name.
        fault: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The schedule is of a version that is not known here.
    #[error("the fault schedule is of version {found}: versions from 1 to {known} are known")]
    NewerVersion {
        /// Its version.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// No link can be like its profile.
    #[error("fault '{fault}': {why}")]
    Profile {
        /// The fault's name.
        fault: String,
        /// What is wrong with the profile.
        why: ProfileError,
    },
    /// There is no such host.
    #[error("fault '{fault}': there is no host called '{host}'")]
    UnknownHost {
        /// The fault's name.
        fault: String,
        /// The host's.
        host: String,
    },
}

impl Fault {
    /// What sort it is.
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Bandwidth { .. } => FaultKind::Bandwidth,
            Self::Clock { .. } => FaultKind::Clock,
            Self::ConnectFailures { .. } => FaultKind::ConnectFailures,
            Self::Crash { .. } => FaultKind::Crash,
            Self::Degrade { .. } => FaultKind::Degrade,
            Self::Hold { .. } => FaultKind::Hold,
            Self::OneWay { .. } => FaultKind::OneWay,
            Self::Partition { .. } => FaultKind::Partition,
            Self::Pause { .. } => FaultKind::Pause,
            Self::Profile { .. } => FaultKind::Profile,
            Self::Rebind { .. } => FaultKind::Rebind,
            Self::UdpCut { .. } => FaultKind::UdpCut,
        }
    }

    /// The groups it stands between; the second is empty where it stands on hosts.
    pub(crate) fn groups(&self) -> (&[String], &[String]) {
        match self {
            Self::Bandwidth { a, b, .. }
            | Self::Degrade { a, b, .. }
            | Self::Hold { a, b }
            | Self::Partition { a, b }
            | Self::Profile { a, b, .. }
            | Self::UdpCut { a, b } => (a, b),
            Self::ConnectFailures { from, to, .. } | Self::OneWay { from, to } => (from, to),
            Self::Clock { host, .. }
            | Self::Crash { host }
            | Self::Pause { host }
            | Self::Rebind { host } => (std::slice::from_ref(host), &[]),
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Bandwidth { limit, .. } => Effect::Bandwidth(*limit),
            Self::Clock { offset_us, drift_ppm, .. } => {
                Effect::Clock { offset: i128::from(*offset_us) * 1000, drift_ppm: *drift_ppm }
            }
            Self::ConnectFailures { share_ppm, .. } => Effect::Connect(probability(*share_ppm)),
            Self::Crash { .. } => Effect::Crash,
            Self::Degrade { by, .. } => Effect::Degrade(*by),
            Self::Hold { .. } => Effect::Hold,
            Self::OneWay { .. } | Self::Partition { .. } => Effect::Cut,
            Self::Pause { .. } => Effect::Pause,
            Self::Profile { profile, .. } => Effect::Profile(profile.clone()),
            Self::Rebind { .. } => Effect::Rebind,
            Self::UdpCut { .. } => Effect::CutDirect,
        }
    }

    /// Whether it can be done to any network; `name` is for the error.
    pub(crate) fn check(&self, name: &str) -> Result<(), FaultError> {
        let impossible = |why| FaultError::Impossible { fault: name.to_owned(), why };
        match self {
            Self::Degrade { by, .. } => by.check().map_err(impossible)?,
            Self::Profile { profile, .. } => profile
                .check()
                .map_err(|why| FaultError::Profile { fault: name.to_owned(), why })?,
            _ => {}
        }
        let why = match self {
            Self::Bandwidth {
                limit: Bandwidth::BitsPerSecond(0) | Bandwidth::Permille(0), ..
            } => "a bandwidth of zero lets nothing pass: cut the link instead",
            Self::ConnectFailures { share_ppm: 1_000_001.., .. } => {
                "more than a million millionths of all attempts cannot fail"
            }
            Self::Clock { offset_us: 0, drift_ppm: 0, .. } => "it leaves the clock right",
            Self::Clock { drift_ppm: ..-1_000_000, .. } => "a clock cannot run backwards",
            _ => {
                let (from, to) = self.groups();
                let on_hosts = matches!(
                    self,
                    Self::Clock { .. }
                        | Self::Crash { .. }
                        | Self::Pause { .. }
                        | Self::Rebind { .. }
                );
                let no_pair = !from.iter().any(|a| to.iter().any(|b| a != b));
                if on_hosts || !no_pair {
                    return Ok(());
                }
                "it needs two groups with hosts in them"
            }
        };
        Err(impossible(why))
    }

    /// The fault in terms of a network whose hosts `find` finds by name.
    pub(crate) fn resolve(
        &self,
        name: &str,
        find: impl Fn(&str) -> Vec<u32>,
    ) -> Result<Spec, FaultError> {
        self.check(name)?;
        let number = |host: &String| match find(host)[..] {
            [number] => Ok(number),
            [] => {
                let (fault, host) = (name.to_owned(), host.clone());
                Err(FaultError::UnknownHost { fault, host })
            }
            _ => {
                let (fault, host) = (name.to_owned(), host.clone());
                Err(FaultError::AmbiguousHost { fault, host })
            }
        };
        let (from, to) = self.groups();
        Ok(Spec {
            name: name.to_owned(),
            kind: self.kind(),
            from: from.iter().map(number).collect::<Result<_, _>>()?,
            to: to.iter().map(number).collect::<Result<_, _>>()?,
            both_ways: !matches!(self, Self::ConnectFailures { .. } | Self::OneWay { .. }),
            effect: self.effect(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.groups();
        write!(f, "{} ", self.kind())?;
        match self {
            Self::ConnectFailures { .. } | Self::OneWay { .. } => {
                write!(f, "{} -> {}", list(from), list(to))?;
            }
            _ if to.is_empty() => write!(f, "{}", list(from))?,
            _ => write!(f, "{} | {}", list(from), list(to))?,
        }
        match self {
            Self::Bandwidth { limit: Bandwidth::BitsPerSecond(bits), .. } => {
                write!(f, ": {bits} bit/s")
            }
            Self::Bandwidth { limit: Bandwidth::Permille(share), .. } => {
                write!(f, ": {share} thousandths")
            }
            Self::Clock { offset_us, drift_ppm, .. } => {
                write!(f, ": {offset_us:+} us, {drift_ppm:+} ppm")
            }
            Self::ConnectFailures { share_ppm, .. } => write!(f, ": {share_ppm} ppm"),
            Self::Degrade { by: Degrade { latency_us, jitter_us, loss_ppm }, .. } => {
                write!(f, ": +{latency_us} us, jitter +{jitter_us} us, loss +{loss_ppm} ppm")
            }
            Self::Profile { profile, .. } => write!(f, ": {profile}"),
            _ => Ok(()),
        }
    }
}

pub(crate) fn list(names: &[String]) -> String {
    names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect::<Vec<_>>().join(", ")
}
