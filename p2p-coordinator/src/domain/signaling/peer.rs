//! One peer.

use p2p_coordinator_api::Timestamp;

use super::backlog::Backlog;
use super::bucket::Bucket;
use super::hub::ResumeToken;
use super::rooms::RoomKey;
use super::{ConnectionId, Limits};

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: Box<str>,
    /// The name as JSON has it.
    pub(super) json: Box<str>,
    /// Whether a credential says that it may use the name.
    pub(super) proven: bool,
    pub(super) link: Link,
    pub(super) place: Option<Place>,
    /// For who can come back.
    pub(super) resumable: Option<Box<Resumable>>,
    pub(super) bucket: Bucket,
}

/// How it is reached.
#[derive(Debug)]
pub(super) enum Link {
    /// Not at the moment.
    Away { until: Timestamp },
    /// It asks for what there is.
    Mailbox { until: Timestamp, mail: Box<Backlog> },
    /// Over a connection.
    Socket(ConnectionId),
}

#[derive(Debug)]
pub(super) struct Resumable {
    pub(super) token: ResumeToken,
    pub(super) backlog: Backlog,
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) room: RoomKey,
    /// What it called the room, as JSON.
    pub(super) shown: Box<str>,
}

impl Peer {
    pub(super) fn new(
        name: &str,
        proven: bool,
        link: Link,
        limits: &Limits,
        now: Timestamp,
    ) -> Self {
        Self {
            name: name.into(),
            json: super::frames::quoted(name).into(),
            proven,
            link,
            place: None,
            resumable: None,
            bucket: Bucket::full(limits, now),
        }
    }

    pub(super) const fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Socket(connection) => Some(connection),
            Link::Away { .. } | Link::Mailbox { .. } => None,
        }
    }

    pub(super) fn room(&self) -> Option<RoomKey> {
        self.place.as_ref().map(|place| place.room)
    }

    /// Until when it is kept without being heard.
    pub(super) const fn until(&self) -> Option<Timestamp> {
        match self.link {
            Link::Away { until } | Link::Mailbox { until, .. } => Some(until),
            Link::Socket(_) => None,
        }
    }
}
