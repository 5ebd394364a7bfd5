//! Questions whether the other side is there, and what their answers say about the way.
//!
//! The round trip's mean and deviation follow RFC 6298, section 2.

use std::time::Duration;

use tokio::time::Instant;

/// Of how many probes it is remembered when they went.
const REMEMBERED: usize = 8;
/// The shortest silence after which an answer is missed.
const MIN_QUIET: Duration = Duration::from_millis(30);
/// What the round trip is taken for while nothing is known: RFC 9002, section 6.2.2.
const UNKNOWN: Duration = Duration::from_millis(333);

/// The probes of one link after another.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    rtt: Option<(Duration, Duration)>,
    /// The number of the next one.
    next: u64,
    /// The number of the first one on the present link.
    first: u64,
    /// How many answers have measured the present path.
    samples: u32,
    /// When the latest ones went.
    went: [Option<Instant>; REMEMBERED],
}

impl Probes {
    /// A further link, whose transport has measured this round trip.
    pub(crate) fn on_link(&mut self, rtt: Option<Duration>) {
        self.rtt = rtt.map(|rtt| (rtt, rtt / 2));
        self.samples = 0;
        self.first = self.next;
        self.went = [None; REMEMBERED];
    }

    /// The link has another path, whose round trip its transport has measured: what was learnt of the
    /// former one is void.
    pub(crate) fn on_path(&mut self, rtt: Option<Duration>) {
        if let Some(rtt) = rtt {
            // Not its first measurement: the transport has used it for a while before it took it.
            self.rtt = Some((rtt, rtt / 4));
            self.samples = 0;
            self.went = [None; REMEMBERED];
        }
    }

    /// How many answers have measured the present path.
    pub(crate) const fn samples(&self) -> u32 {
        self.samples
    }

    /// The number of a probe that goes now.
    pub(crate) fn ask(&mut self, now: Instant) -> u64 {
        let probe = self.next;
        self.went[slot(probe)] = Some(now);
        self.next += 1;
        probe
    }

    /// Whether the probe was asked on the present link.
    pub(crate) const fn has_asked(&self, probe: u64) -> bool {
        probe >= self.first && probe < self.next
    }

    /// The answer to a probe has come, which measures the way: at most so long, as an answer that
    /// waited out an outage measures that. Whether it was one of the latest, and the first answer.
    pub(crate) fn on_answer(&mut self, probe: u64, now: Instant, at_most: Duration) -> bool {
        if probe >= self.next || self.next - probe > REMEMBERED as u64 {
            return false;
        }
        let Some(went) = self.went[slot(probe)].take() else { return false };
        self.samples = self.samples.saturating_add(1);
        let sample = now.saturating_duration_since(went).min(at_most);
        self.rtt = Some(match self.rtt {
            None => (sample, sample / 2),
            Some((mean, deviation)) => {
                let off = mean.abs_diff(sample);
                (mean * 7 / 8 + sample / 8, deviation * 3 / 4 + off / 4)
            }
        });
        true
    }

    /// How long an answer may take before it is missed.
    pub(crate) fn quiet(&self) -> Duration {
        let (mean, deviation) = self.rtt.unwrap_or((UNKNOWN, UNKNOWN / 2));
        (mean + deviation * 4).max(MIN_QUIET)
    }
}

/// Where the time of a probe is kept.
const fn slot(probe: u64) -> usize {
    (probe % REMEMBERED as u64) as usize
}
