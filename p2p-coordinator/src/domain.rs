//! What the coordinator decides, as pure functions: records and `now` in, changed records out.
//!
//! - [`host`]: who can carry sessions, how good it is, and for how long it counts as alive;
//! - [`zone`]: where players meet, and what that asks of a host;
//! - [`session`]: the life of a session and the places in it;
//! - [`placement`]: which session or host a player gets;
//! - [`signaling`]: who is reachable where, and what reaches whom;
//! - [`changes`]: what is to be written, all of it or nothing;
//! - [`Refusal`]: every way to say no.
//!
//! Nothing here waits, reads a clock or draws a random number. Several coordinators may decide at the
//! same time on the same records: a store takes changes only if the records they were made from are
//! still the ones it has, and otherwise the decision is made again.

pub mod changes;
pub mod host;
pub mod placement;
pub mod refusal;
pub mod session;
pub mod signaling;
pub mod zone;

#[cfg(test)]
mod tests;

pub use changes::{Change, Changes, Row, RowId, SeatChange};
pub use host::{Beat, HostRecord, HostView, Load};
pub use refusal::Refusal;
pub use session::{Seat, SessionMetrics, SessionRecord};
pub use zone::ZoneRecord;

use std::time::Duration;

use p2p_coordinator_api::Timestamp;

/// The lengths of time that decisions depend on, and what a host carries that says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// How long a host that is a peer counts as alive after it was last heard. Default 15 s.
    pub lease: Duration,
    /// The same for hosts that are no peers and promise no heartbeats. Default 300 s.
    pub host_timeout: Duration,
    /// How long a join token can be used. Default 30 s.
    pub token_lifetime: Duration,
    /// The most players of a host that registers without a number of its own. Default 50.
    pub max_players: u32,
}

impl Terms {
    /// How long a place is kept for a player of whom its host says nothing: the token's life, and
    /// one lease for the host to report who came.
    pub fn reservation(&self) -> Duration {
        self.token_lifetime + self.lease
    }
}

/// How far the clocks of coordinators on one store may differ, and one's over its restarts. What bears
/// a later time than this allows was written by a clock that has been put back since: then it counts
/// as of now, or it would be kept until that time comes.
pub const SKEW: Duration = Duration::from_secs(300);

/// Whether a moment that ought to be past is too far ahead for that.
pub(crate) fn is_ahead(moment: Timestamp, now: Timestamp) -> bool {
    moment > now.after(SKEW)
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            host_timeout: Duration::from_secs(300),
            token_lifetime: Duration::from_secs(30),
            max_players: 50,
        }
    }
}
