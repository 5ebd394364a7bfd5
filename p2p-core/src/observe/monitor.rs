//! What a node and its connections report about themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::health::LastError;
#[cfg(feature = "metrics")]
use super::tally::Tally;
use super::words;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::error::P2PError;
use crate::identity::PeerId;
use crate::path::PathKind;
use crate::priority::Priority;
use crate::protocol::ProtocolName;
use crate::reconnect::{ConnectionState, Lost, LostReason};

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Accepted,
    Dialled,
}

/// Keeps, for one node, what is told outside.
#[derive(Debug)]
pub(crate) struct Monitor {
    local: PeerId,
    last_error: Mutex<Option<(Instant, String)>>,
    #[cfg(feature = "metrics")]
    tally: Mutex<Tally>,
}

impl Monitor {
    pub(crate) fn new(local: PeerId) -> Self {
        Self {
            local,
            last_error: Mutex::default(),
            #[cfg(feature = "metrics")]
            tally: Mutex::default(),
        }
    }

    fn error(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: String) {
        *self.error() = Some((Instant::now(), what));
    }

    pub(crate) fn last_error(&self) -> Option<LastError> {
        let error = self.error();
        let (at, what) = error.as_ref()?;
        Some(LastError { what: what.clone(), ago: at.elapsed() })
    }

    #[cfg(feature = "metrics")]
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Traffic of a connection that has ended.
    #[cfg(feature = "metrics")]
    pub(crate) fn keep(&self, traffic: &crate::provider::ConnectionStats) {
        self.tally().ended_traffic.add(traffic);
    }

    /// Traffic of all connections that have ended.
    #[cfg(feature = "metrics")]
    pub(crate) fn kept(&self) -> crate::provider::ConnectionStats {
        self.tally().ended_traffic
    }

    /// A program connects.
    pub(crate) fn dial(&self, peer: PeerId, protocol: &ProtocolName) {
        debug!(target: "p2p", local = %self.local, %peer, %protocol, "dial");
    }

    /// A call to connect has failed.
    pub(crate) fn dial_failed(&self, peer: PeerId, error: &P2PError) {
        debug!(target: "p2p", local = %self.local, %peer, error = ?error.to_string(), "dial failed");
        self.failed(error.to_string());
        self.on_failure(Direction::Dialled, words::of_error(error));
    }

    /// A peer has proven who it is.
    pub(crate) fn accepted(&self, peer: PeerId) {
        debug!(target: "p2p", local = %self.local, %peer, "accepted");
    }

    /// A peer was not let in.
    pub(crate) fn refused(&self, peer: Option<PeerId>, cause: CloseCause, reason: &str) {
        let (local, cause) = (self.local, words::of_cause(cause));
        match peer {
            Some(peer) => debug!(target: "p2p", %local, %peer, cause, ?reason, "refused"),
            None => debug!(target: "p2p", %local, cause, ?reason, "refused"),
        }
        self.on_failure(Direction::Accepted, cause);
    }

    /// A connection has come about.
    pub(crate) fn established(
        &self,
        direction: Direction,
        peer: PeerId,
        connection: u64,
        path: PathKind,
        took: Duration,
    ) {
        let (local, link) = (self.local, 1);
        match direction {
            Direction::Accepted => {
                debug!(target: "p2p", %local, %peer, connection, link, %path, ?took, "admitted");
            }
            Direction::Dialled => {
                debug!(target: "p2p", %local, %peer, connection, link, %path, ?took, "connected");
            }
        }
        #[cfg(feature = "metrics")]
        self.tally().connects.entry(direction).or_default().observe(took);
    }

    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self))]
    fn on_failure(&self, direction: Direction, kind: &'static str) {
        #[cfg(feature = "metrics")]
        {
            *self.tally().failures.entry((direction, kind)).or_default() += 1;
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (direction, kind);
    }
}

/// One connection, as it is known outside.
#[derive(Debug)]
pub(crate) struct Subject {
    monitor: Arc<Monitor>,
    peer: PeerId,
    connection: u64,
    /// The present or the last one.
    link: AtomicU64,
}

impl Subject {
    pub(crate) const fn new(monitor: Arc<Monitor>, peer: PeerId, connection: u64) -> Self {
        Self { monitor, peer, connection, link: AtomicU64::new(1) }
    }

    fn link(&self) -> u64 {
        self.link.load(Ordering::Relaxed)
    }

    /// The connection's state has changed to this.
    pub(crate) fn on_state(&self, state: &ConnectionState) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link());
        match state {
            // Told where it comes to that.
            ConnectionState::Connected | ConnectionState::OnStandby => {}
            ConnectionState::Suspect => {
                debug!(target: "p2p", %local, %peer, connection, link, "suspect");
            }
            ConnectionState::Reconnecting { attempt, next } => {
                debug!(target: "p2p", %local, %peer, connection, attempt, ?next, "reconnecting");
                #[cfg(feature = "metrics")]
                if *attempt > 0 {
                    monitor.tally().reconnect_attempts += 1;
                }
            }
            ConnectionState::Resumed => {
                info!(target: "p2p", %local, %peer, connection, link, "resumed");
                #[cfg(feature = "metrics")]
                {
                    monitor.tally().resumes += 1;
                }
            }
            ConnectionState::Lost(lost) => self.on_lost(lost),
            ConnectionState::Closed(closed) => self.on_closed(closed),
        }
    }

    fn on_lost(&self, lost: &Lost) {
        let Self { monitor, peer, connection, .. } = self;
        let local = monitor.local;
        let reason = lost.reason.to_string();
        warn!(target: "p2p", %local, %peer, connection, ?reason, "lost");
        for (lane, progress) in Priority::ALL.into_iter().zip(&lost.lanes) {
            if progress.never_sent > 0 {
                debug!(
                    target: "p2p",
                    %local,
                    %peer,
                    connection,
                    %lane,
                    acknowledged = progress.acknowledged,
                    unknown = progress.unknown,
                    never_sent = progress.never_sent,
                    "lane"
                );
            }
        }
        monitor.failed(format!("connection to peer {} lost: {reason}", peer.fmt_short()));
        let by = match lost.reason {
            LostReason::GaveUp { .. } => ClosedBy::Network,
            LostReason::PeerRestarted | LostReason::Refused(_) => ClosedBy::Peer,
        };
        self.on_end(words::of_side(by), words::of_cause(CloseCause::Lost));
    }

    fn on_closed(&self, closed: &CloseReason) {
        let Self { monitor, peer, connection, .. } = self;
        let (by, cause) = (words::of_side(closed.by), words::of_cause(closed.cause));
        let (local, reason) = (monitor.local, &closed.message);
        debug!(target: "p2p", %local, %peer, connection, by, cause, ?reason, "closed");
        self.on_end(by, cause);
    }

    #[cfg_attr(not(feature = "metrics"), expect(clippy::unused_self))]
    fn on_end(&self, by: &'static str, cause: &'static str) {
        #[cfg(feature = "metrics")]
        {
            *self.monitor.tally().ends.entry((by, cause)).or_default() += 1;
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (by, cause);
    }

    /// The connection goes on without its link, which ended so.
    pub(crate) fn link_lost(&self, closed: Option<CloseReason>) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link.fetch_add(1, Ordering::Relaxed));
        let reason = closed.map(|closed| closed.to_string()).unwrap_or_default();
        info!(target: "p2p", %local, %peer, connection, link, ?reason, "link lost");
        #[cfg(feature = "metrics")]
        {
            monitor.tally().links_lost += 1;
        }
    }

    /// The link was found dead after so long a silence.
    pub(crate) fn failover(&self, silent: Duration) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link());
        info!(target: "p2p", %local, %peer, connection, link, ?silent, "failover");
        #[cfg(feature = "metrics")]
        {
            monitor.tally().failovers += 1;
        }
    }

    /// A standby was asked for and there is none to be had.
    pub(crate) fn standby_unavailable(&self) {
        let Self { monitor, peer, connection, .. } = self;
        info!(target: "p2p", local = %monitor.local, %peer, connection, "standby unavailable");
    }

    /// The standby is there.
    pub(crate) fn standby_ready(&self) {
        let Self { monitor, peer, connection, .. } = self;
        debug!(target: "p2p", local = %monitor.local, %peer, connection, "standby ready");
    }

    /// The standby is gone.
    pub(crate) fn standby_lost(&self, closed: &CloseReason) {
        let Self { monitor, peer, connection, .. } = self;
        let reason = closed.to_string();
        debug!(target: "p2p", local = %monitor.local, %peer, connection, ?reason, "standby lost");
    }

    /// Messages go over the standby as well.
    pub(crate) fn hedged(&self) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link());
        debug!(target: "p2p", %local, %peer, connection, link, "hedge");
        #[cfg(feature = "metrics")]
        {
            monitor.tally().hedges += 1;
        }
    }

    /// The standby stands for the link.
    pub(crate) fn switched(&self) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link());
        info!(target: "p2p", %local, %peer, connection, link, "switch");
        #[cfg(feature = "metrics")]
        {
            monitor.tally().switches += 1;
        }
    }

    /// The link is used again, or its successor.
    pub(crate) fn healed(&self) {
        let Self { monitor, peer, connection, .. } = self;
        let (local, link) = (monitor.local, self.link());
        info!(target: "p2p", %local, %peer, connection, link, "heal");
        #[cfg(feature = "metrics")]
        {
            monitor.tally().heals += 1;
        }
    }

    /// The peer did what it must not.
    pub(crate) fn violation(&self, detail: &str) {
        let Self { monitor, peer, connection, .. } = self;
        warn!(target: "p2p", local = %monitor.local, %peer, connection, ?detail, "violation");
        monitor.failed(format!("peer {} violated the protocol: {detail}", peer.fmt_short()));
        #[cfg(feature = "metrics")]
        {
            monitor.tally().violations += 1;
        }
    }
}
