//! How long to measure, and what it cost.

use std::fs;
use std::time::Duration;

use p2p_benches::{Result, cpu_time};

/// How long to measure, in CPU time, and how much where time does not say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    /// What a rate is taken over.
    pub(crate) window: Duration,
    /// Hosts for a look at memory.
    pub(crate) idle_hosts: usize,
    /// Seeds to compare in two processes.
    pub(crate) seeds: u64,
    /// Messages whose arrival is compared with the model, from each host.
    pub(crate) arrivals: u64,
}

impl Plan {
    pub(crate) const fn new(quick: bool) -> Self {
        let window = Duration::from_millis(if quick { 30 } else { 500 });
        if quick {
            Self { quick, window, idle_hosts: 2_000, seeds: 200, arrivals: 50 }
        } else {
            Self { quick, window, idle_hosts: 20_000, seeds: 10_000, arrivals: 2_000 }
        }
    }
}

/// Counts until the window is over. The first tenth is a warm-up.
#[derive(Debug)]
pub(crate) struct Meter {
    window: Duration,
    /// So many between two looks at the clock, which is a system call.
    look_every: f64,
    until_look: f64,
    counted: f64,
    began: Duration,
    warmed_up: Option<(Duration, f64)>,
}

impl Meter {
    pub(crate) fn start(plan: Plan, look_every: f64) -> Self {
        let (window, began) = (plan.window, cpu_time());
        Self { window, look_every, until_look: look_every, counted: 0.0, began, warmed_up: None }
    }

    /// Counts. Returns how many there were per second of CPU time, when there were enough.
    pub(crate) fn add(&mut self, count: f64) -> Option<f64> {
        self.counted += count;
        self.until_look -= count;
        if self.until_look > 0.0 {
            return None;
        }
        self.until_look = self.look_every;
        let now = cpu_time();
        match self.warmed_up {
            None if now - self.began >= self.window / 10 => {
                self.warmed_up = Some((now, self.counted));
                None
            }
            Some((since, before)) if now - since >= self.window => {
                Some((self.counted - before) / (now - since).as_secs_f64())
            }
            _ => None,
        }
    }
}

/// The resident memory of this process now, in KiB.
pub(crate) fn resident_kib() -> Result<f64> {
    status_kib("VmRSS:")
}

/// The most resident memory of this process so far, in KiB.
pub(crate) fn peak_resident_kib() -> Result<f64> {
    status_kib("VmHWM:")
}

fn status_kib(name: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("memory is read from Linux's /proc/self/status: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(value.ok_or_else(|| format!("no {name} in /proc/self/status"))?.trim().parse()?)
}
