//! Who somebody is, and in which rooms.

use std::collections::BTreeSet;

use p2p_coordinator_api::{HostId, PlayerId, SessionName, ZoneId};

use super::{ConnectError, Coordinator};
use crate::domain::SessionRecord;
use crate::domain::signaling::Reach;
use crate::security::{Claims, Role};
use crate::service::ServiceError;
use crate::store::{SessionKey, Store};

/// Whether peers have to show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Everybody is who they say; a token that is shown has to hold. For development.
    Claimed,
    /// By an access token. Its bearer is the peer of the same name; a host also that of its host id;
    /// services and administrators any.
    #[default]
    Proven,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Who they say.
    Claimed,
    /// Who the token says.
    Proven(Box<Claims>),
}

impl Caller {
    pub(super) const fn is_proven(&self) -> bool {
        matches!(self, Self::Proven(_))
    }

    /// Whether it may act as a host.
    fn is_host(&self, host: &HostId) -> bool {
        match self {
            Self::Claimed => true,
            Self::Proven(claims) => claims.host.as_ref() == Some(host) || is_trusted(claims.role),
        }
    }
}

const fn is_trusted(role: Role) -> bool {
    matches!(role, Role::Service | Role::Admin)
}

/// The room that a peer means.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    /// The zone of its session, if it is that of one.
    pub(super) zone: Option<ZoneId>,
}

/// Why a peer is not let into a room.
#[derive(Debug)]
pub(super) enum Refused {
    /// It has no place there, or there is no such session that is not over.
    Stranger,
    /// The store cannot say.
    Unknown(ServiceError),
}

/// Who has a place in a session.
#[derive(Debug)]
pub(super) struct Members {
    players: BTreeSet<PlayerId>,
    /// Whose the host is.
    owner: Option<PlayerId>,
    host: HostId,
    zone: ZoneId,
}

impl Members {
    pub(super) const fn zone(&self) -> &ZoneId {
        &self.zone
    }

    pub(super) fn has(&self, peer: &str) -> bool {
        let is_owner = self.owner.as_ref().is_some_and(|owner| owner.as_str() == peer);
        let is_player = self.players.iter().any(|player| player.as_str() == peer);
        is_owner || is_player || self.host.as_str() == peer
    }
}

impl<S: Store> Coordinator<S> {
    /// Who says that they are this peer.
    pub(super) fn caller(&self, peer: &str, token: Option<&str>) -> Result<Caller, ConnectError> {
        let settings = self.settings();
        if settings.signaling.identity == Identity::Claimed {
            // None is asked for. One that is shown all the same has to hold, as in the contract.
            return match token.filter(|_| settings.security.check_tokens) {
                Some(token) if self.verify_access(token).is_err() => Err(ConnectError::Token),
                _ => Ok(Caller::Claimed),
            };
        }
        let claims = self.verify_access(token.unwrap_or_default());
        let claims = claims.map_err(|_| ConnectError::Token)?;
        let is_theirs = claims.player.as_str() == peer
            || claims.host.as_ref().is_some_and(|host| host.as_str() == peer)
            || is_trusted(claims.role);
        match is_theirs {
            true => Ok(Caller::Proven(Box::new(claims))),
            false => Err(ConnectError::Foreign),
        }
    }

    /// The room that a peer means: that of a session in which it has a place, or whose host it is.
    pub(super) async fn room(
        &self,
        caller: &Caller,
        peer: &str,
        session: &str,
    ) -> Result<Room, Refused> {
        if self.settings().signaling.reach == Reach::Anyone {
            // Rooms there are without a store as well.
            let zone = self.zone_of(session).await.unwrap_or(None);
            return Ok(Room { name: session.to_owned(), zone });
        }
        let key = match (SessionName::is_one(session), session.parse(), session.parse()) {
            (true, Ok(name), _) => SessionKey::Name(name),
            (_, _, Ok(number)) => SessionKey::Number(number),
            _ => return Err(Refused::Stranger),
        };
        let session = self.live(&key).await.map_err(Refused::Unknown)?.ok_or(Refused::Stranger)?;
        let is_seated = session.seats.iter().any(|seat| seat.player.as_str() == peer);
        let is_host = session.host_id.as_str() == peer && caller.is_host(&session.host_id);
        // To read a host is to count what it carries: only for those who are none of its players.
        if !is_seated && !is_host {
            let owner = self.owner(&session).await.map_err(Refused::Unknown)?;
            if owner.is_none_or(|owner| owner.as_str() != peer) {
                return Err(Refused::Stranger);
            }
        }
        Ok(Room { name: session.name.into(), zone: Some(session.zone_id) })
    }

    /// Who has a place in the session of a room; nobody if it is over.
    pub(super) async fn members(&self, room: &str) -> Result<Option<Members>, ServiceError> {
        let Ok(name) = room.parse() else { return Ok(None) };
        let Some(session) = self.live(&SessionKey::Name(name)).await? else { return Ok(None) };
        Ok(Some(Members {
            owner: self.owner(&session).await?,
            players: session.seats.into_iter().map(|seat| seat.player).collect(),
            host: session.host_id,
            zone: session.zone_id,
        }))
    }

    /// The zone of a session that is not over, where rooms need not be those of sessions.
    pub(super) async fn zone_of(&self, room: &str) -> Result<Option<ZoneId>, ServiceError> {
        let name = room.parse().ok().filter(|_| SessionName::is_one(room));
        let Some(name) = name else { return Ok(None) };
        Ok(self.live(&SessionKey::Name(name)).await?.map(|session| session.zone_id))
    }

    /// A session that is not over.
    async fn live(&self, key: &SessionKey) -> Result<Option<SessionRecord>, ServiceError> {
        let row = self.store().session(key).await?;
        Ok(row.map(|row| row.value).filter(|session| session.status.is_live()))
    }

    /// Whose a session's host is.
    async fn owner(&self, session: &SessionRecord) -> Result<Option<PlayerId>, ServiceError> {
        let host = self.store().host(&session.host_id).await?;
        Ok(host.map(|host| host.row.value.player_id))
    }
}
