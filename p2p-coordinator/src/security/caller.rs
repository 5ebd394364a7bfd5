//! Who asks, and what that allows.

use p2p_coordinator_api::{PlayerId, RegisterHost};
use p2p_core::PeerId;
use thiserror::Error;

use super::{Claims, Role};
use crate::domain::HostRecord;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    role: Option<Role>,
    player: Option<PlayerId>,
    peer: Option<PeerId>,
}

impl Caller {
    /// The program itself, and everybody where nobody is asked who they are: may do everything.
    pub const TRUSTED: Self = Self { role: Some(Role::Admin), player: None, peer: None };

    /// Somebody who has shown nothing.
    pub const UNKNOWN: Self = Self { role: None, player: None, peer: None };

    /// The bearer of a key.
    pub const fn with_key(role: Role) -> Self {
        Self { role: Some(role), player: None, peer: None }
    }

    /// The bearer of an access token. Whatever key is shown beside it, it asks as this player or host.
    pub fn with_token(claims: &Claims) -> Self {
        let (role, player) = (Some(claims.role), Some(claims.player.clone()));
        Self { role, player, peer: claims.peer }
    }

    /// The same, on a connection of this peer.
    #[must_use]
    pub fn at_peer(mut self, peer: PeerId) -> Self {
        self.peer = self.peer.or(Some(peer));
        self
    }

    /// What it is; `None` if it has shown nothing.
    pub const fn role(&self) -> Option<Role> {
        self.role
    }

    /// The player who asks, if a token says so.
    pub const fn player(&self) -> Option<&PlayerId> {
        self.player.as_ref()
    }

    /// The peer that asks, by its connection or by its token.
    pub const fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// Who asks, as text: the same for one who asks again, with a newer token too.
    pub fn scope(&self) -> String {
        let role = self.role.map_or("nobody", Role::as_str);
        let peer = self.peer.map(|peer| peer.to_string()).unwrap_or_default();
        // No id has a control character.
        format!("{role}\n{}\n{peer}", self.player.as_ref().map_or("", PlayerId::as_str))
    }

    /// Whether it may make and change zones and sessions, and give tokens to players.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn may_rule(&self) -> Result<(), Denied> {
        self.is(&[Role::Service], "This is for the game's server: use a key of the role service")
    }

    /// Whether it may come, go and join as this player.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn may_act_for(&self, player: &PlayerId) -> Result<(), Denied> {
        if self.role == Some(Role::Player) && self.player.as_ref() == Some(player) {
            return Ok(());
        }
        self.is(&[Role::Service], "This is another player's: use the player's own access token")
    }

    /// Whether it may register this host. Who owns a peer id is proven, not claimed: that is looked
    /// at apart from this.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn may_register(
        &self,
        request: &RegisterHost,
        known: Option<&HostRecord>,
    ) -> Result<(), Denied> {
        let theirs = "The host is another player's: choose another host id";
        let Some(player) = &self.player else {
            return self.is(
                &[Role::Host],
                "Hosts are registered with a key of the role host, or \
                                           with the access token of the player whose they are",
            );
        };
        let owned = known.is_none_or(|host| host.player_id == *player);
        if self.role == Some(Role::Admin) || (owned && request.player_id == *player) {
            return Ok(());
        }
        Err(Denied::NotYours(theirs))
    }

    /// Whether it may speak for this host: tell that it lives, remove it. For one that has proven a
    /// peer id, nobody can but the owner of that, and the admin.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn may_speak_for(&self, host: &HostRecord) -> Result<(), Denied> {
        match host.peer_id() {
            Some(owner) if self.peer == Some(owner) => Ok(()),
            Some(_) => self.is(
                &[],
                "The host has a peer id: only its owner speaks for it, with the \
                                     token that the registration gave, or as that peer",
            ),
            None if self.player.as_ref() == Some(&host.player_id) => Ok(()),
            None if self.player.is_some() => Err(Denied::NotYours("The host is another player's")),
            None => self.is(&[Role::Host], "The host is another's: use a key of the role host"),
        }
    }

    /// Whether it may begin, hold and end a session on this host.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn may_lead(&self, host: Option<&HostRecord>) -> Result<(), Denied> {
        match (self.may_rule(), host) {
            (Err(_), Some(host)) if self.role != Some(Role::Player) => self.may_speak_for(host),
            (ruled, _) => ruled,
        }
    }

    fn is(&self, roles: &[Role], otherwise: &'static str) -> Result<(), Denied> {
        match self.role {
            None => Err(Denied::Unknown),
            Some(role) if role == Role::Admin || roles.contains(&role) => Ok(()),
            Some(_) => Err(Denied::NotYours(otherwise)),
        }
    }
}

/// Why somebody may not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// It is for others.
    #[error("{0}")]
    NotYours(&'static str),
    /// Nobody knows who asks.
    #[error("Authentication required")]
    Unknown,
}

#[cfg(test)]
mod tests;
