//! What a service spends: its CPU time, which says the same beside busy neighbours.

use std::time::Duration;

use p2p_benches::Result;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The CPU time of everything here but the clients, who have a runtime with one thread: this is to
/// be polled there, by a task.
pub(crate) async fn service_cpu() -> Result<Duration> {
    let clients = tokio::spawn(async { clock_gettime(ClockId::ThreadCPUTime) }).await?;
    Ok(duration(clock_gettime(ClockId::ProcessCPUTime)).saturating_sub(duration(clients)))
}

fn duration(spent: Timespec) -> Duration {
    let (seconds, nanos) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}
