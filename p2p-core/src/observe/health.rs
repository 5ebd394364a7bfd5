//! [`Health`]: how a provider is doing.

use std::time::Duration;

use crate::path::{PathInfo, PathKind};
use crate::priority::Priority;
use crate::provider::ConnectionStats;
use crate::reconnect::{ConnectionState, StandbyState};

/// How a provider is doing, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it accepts: it was not shut down, its transport has not ended by itself, and at least
    /// one protocol is served.
    pub listening: bool,
    /// Protocols that are served.
    pub listeners: usize,
    /// Whether it was shut down.
    pub shut_down: bool,
    /// Connections that live, with a link or without.
    pub connections: usize,
    /// Those of them that have lost their link and look for a next one.
    pub reconnecting: usize,
    /// Those of them whose link is silent for longer than it should.
    pub suspect: usize,
    /// Those of them whose data goes straight to the peer.
    pub direct: usize,
    /// Those of them whose data goes over a relay.
    pub relayed: usize,
    /// Those of them that have a standby link.
    pub standbys: usize,
    /// Those of them whose messages go over it, because their link is silent.
    pub on_standby: usize,
    /// The last thing that failed here: a `connect`, or a connection that was lost or violated.
    pub last_error: Option<LastError>,
}

/// The last thing that failed at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// What, in words.
    pub what: String,
    /// How long ago.
    pub ago: Duration,
}

/// What a look at all connections finds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) listeners: usize,
    pub(crate) shut_down: bool,
    pub(crate) accepts: bool,
    pub(crate) reconnecting: usize,
    pub(crate) suspect: usize,
    pub(crate) direct: usize,
    pub(crate) relayed: usize,
    pub(crate) without_path: usize,
    pub(crate) standbys: usize,
    pub(crate) on_standby: usize,
    pub(crate) round_trips: Vec<Duration>,
    pub(crate) queued: [usize; Priority::COUNT],
    /// Of all connections, those that have ended included.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code))]
    pub(crate) traffic: ConnectionStats,
}

impl Survey {
    /// Looks at one connection, unless it is over.
    pub(crate) fn add(
        &mut self,
        state: &ConnectionState,
        path: &PathInfo,
        standby: StandbyState,
        queued: [usize; Priority::COUNT],
    ) {
        match state {
            ConnectionState::Closed(_) | ConnectionState::Lost(_) => return,
            ConnectionState::Reconnecting { .. } => self.reconnecting += 1,
            ConnectionState::Suspect => self.suspect += 1,
            ConnectionState::Connected | ConnectionState::OnStandby | ConnectionState::Resumed => {}
        }
        match standby {
            StandbyState::Off | StandbyState::Pending | StandbyState::Unavailable => {}
            StandbyState::Ready | StandbyState::Hedging => self.standbys += 1,
            StandbyState::Active => {
                self.standbys += 1;
                self.on_standby += 1;
            }
        }
        let kind = match state {
            ConnectionState::Reconnecting { .. } => PathKind::None,
            _ => path.kind,
        };
        match kind {
            PathKind::Direct => self.direct += 1,
            PathKind::None => self.without_path += 1,
            PathKind::Relayed => self.relayed += 1,
        }
        if kind != PathKind::None {
            self.round_trips.extend(path.rtt);
        }
        for (sum, bytes) in self.queued.iter_mut().zip(queued) {
            *sum += bytes;
        }
    }

    pub(crate) const fn connections(&self) -> usize {
        self.direct + self.relayed + self.without_path
    }

    pub(crate) fn health(&self, last_error: Option<LastError>) -> Health {
        Health {
            listening: self.accepts && self.listeners > 0,
            listeners: self.listeners,
            shut_down: self.shut_down,
            connections: self.connections(),
            reconnecting: self.reconnecting,
            suspect: self.suspect,
            direct: self.direct,
            relayed: self.relayed,
            standbys: self.standbys,
            on_standby: self.on_standby,
            last_error,
        }
    }
}
