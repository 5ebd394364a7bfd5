//! Every way to say no.

use p2p_coordinator_api::{HostId, PlayerId, ProofError, RefusalReason, SessionStatus, ZoneId};
use thiserror::Error;

/// Why a request is refused: a sentence for people, and a [`RefusalReason`] for programs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No host.
    #[error("No available hosts found")]
    NoAvailableHost,
    /// The id is no peer's.
    #[error("No peer has this id: it is not an Ed25519 public key")]
    NoPeer,
    /// No host for a zone.
    #[error("No host is online, has room and meets the demands of zone {zone}")]
    NoHost {
        /// Which.
        zone: ZoneId,
    },
    /// The session has all its players.
    #[error("The session has all its {max_players} players")]
    Full {
        /// How many it takes.
        max_players: u32,
    },
    /// The host has all it carries.
    #[error("Host {host} has all the {max} {what} it carries")]
    HostFull {
        /// Which.
        host: HostId,
        /// How many it takes.
        max: u32,
        /// Of what.
        what: &'static str,
    },
    /// The host is not online.
    #[error("Host {host} is not online")]
    HostOffline {
        /// Which.
        host: HostId,
    },
    /// The host id is another's.
    #[error("Host {host} is registered with another peer id: choose another host id")]
    HostTaken {
        /// Which.
        host: HostId,
    },
    /// The host does not meet the zone's demands.
    #[error("Host {host} does not meet the demands of zone {zone}: {what}")]
    HostUnfit {
        /// Which host.
        host: HostId,
        /// Which zone.
        zone: ZoneId,
        /// What is asked, and what there is.
        what: String,
    },
    /// The host's proof of identity does not hold.
    #[error("The host has not proven its peer id: {0}")]
    Proof(ProofError),
    /// The session's state does not allow it.
    #[error("The session is {status}")]
    State {
        /// What it is.
        status: SessionStatus,
    },
    /// There is no such host.
    #[error("Host not found: {0}")]
    UnknownHost(HostId),
    /// The player has no place in the session.
    #[error("Player {0} is not in the session")]
    UnknownPlayer(PlayerId),
    /// There is no such session. By number or by name.
    #[error("Session {0} not found")]
    UnknownSession(String),
    /// There is no such zone.
    #[error("Zone not found: {0}")]
    UnknownZone(ZoneId),
    /// The zone is not open for peers.
    #[error("Zone {zone} is not open to peers: {why}")]
    ZoneClosed {
        /// Which.
        zone: ZoneId,
        /// In what way.
        why: &'static str,
    },
}

impl Refusal {
    /// The word for programs.
    pub const fn reason(&self) -> RefusalReason {
        match self {
            Self::NoAvailableHost | Self::NoHost { .. } => RefusalReason::NoHost,
            Self::Full { .. } => RefusalReason::Full,
            Self::HostFull { .. } => RefusalReason::HostFull,
            Self::HostOffline { .. } => RefusalReason::HostOffline,
            Self::HostTaken { .. } => RefusalReason::HostTaken,
            Self::HostUnfit { .. } => RefusalReason::HostUnfit,
            Self::NoPeer | Self::Proof(_) => RefusalReason::Proof,
            Self::State { .. } => RefusalReason::State,
            Self::UnknownHost(_) => RefusalReason::UnknownHost,
            Self::UnknownPlayer(_) => RefusalReason::UnknownPlayer,
            Self::UnknownSession(_) => RefusalReason::UnknownSession,
            Self::UnknownZone(_) => RefusalReason::UnknownZone,
            Self::ZoneClosed { .. } => RefusalReason::ZoneClosed,
        }
    }
}
