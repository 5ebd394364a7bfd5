//! Access tokens, which say who asks, and refresh tokens, for which new ones are given.
//!
//! The claims are the contract's (`sub`, `player_id`, `user_id`, `type`, `iat`, `exp`), and beside them
//! `jti`, `iss`, `aud`, `sid` (the login it comes from), `role`, and for hosts `host_id` and
//! `peer_id`. Times are whole seconds; a token is good before `exp`, and not a moment longer.

use std::time::Duration;

use p2p_coordinator_api::{HostId, Nonce, PlayerId, Timestamp};
use p2p_core::{PeerId, SecretKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Role;
use super::jwt::{self, TokenKey};

/// How tokens are signed and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenSettings {
    /// The first signs; tokens of all are good. Default: none, and one that follows from the
    /// coordinator's own key is used.
    pub keys: Vec<TokenKey>,
    /// Who gives tokens (`iss`). Default `p2p-coordinator`.
    pub issuer: String,
    /// For whom they are (`aud`). Default `p2p-coordinator`.
    pub audience: String,
    /// How long an access token is good. Default an hour.
    pub access_lifetime: Duration,
    /// How long a refresh token is good. Default seven days.
    pub refresh_lifetime: Duration,
    /// The most logins of one player; the one that would end first makes room. Default 8.
    pub max_logins_of_player: usize,
    /// The most logins altogether; those that would end first make room. Default a million.
    pub max_logins: u32,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            issuer: "p2p-coordinator".into(),
            audience: "p2p-coordinator".into(),
            access_lifetime: Duration::from_secs(3600),
            refresh_lifetime: Duration::from_secs(7 * 24 * 3600),
            max_logins_of_player: 8,
            max_logins: 1_000_000,
        }
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To say who asks.
    Access,
    /// To get another access token.
    Refresh,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What it is for.
    pub kind: Kind,
    /// What tells it from every other (`jti`).
    pub id: Nonce,
    /// The login it comes from (`sid`): what is revoked together.
    pub family: Nonce,
    /// What its bearer is.
    pub role: Role,
    /// Who its bearer is; of a host, whose it is.
    pub player: PlayerId,
    /// What the game calls its user.
    pub user: Option<String>,
    /// For a host: its name.
    pub host: Option<HostId>,
    /// For a host: the peer id that it has proven.
    pub peer: Option<PeerId>,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends; it is good before, not at this moment.
    pub expires_at: Timestamp,
}

/// The claims as they travel.
#[derive(Deserialize, Serialize)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    player_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_id: Option<HostId>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "p2p_coordinator_api::text::optional"
    )]
    peer_id: Option<PeerId>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    aud: Option<String>,
    #[serde(default)]
    iat: Option<u64>,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    sid: Option<String>,
}

/// Signs tokens and checks them.
#[derive(Clone, Debug)]
pub struct Tokens {
    settings: TokenSettings,
}

impl Tokens {
    /// With these settings; where they have no key, with one that follows from the coordinator's.
    pub fn new(mut settings: TokenSettings, own: &SecretKey) -> Self {
        if settings.keys.is_empty() {
            settings.keys.push(TokenKey::derived(own));
        }
        Self { settings }
    }

    /// What it was made with; there is at least one key.
    pub const fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// When a token of this kind ends that is made now.
    pub fn expiry(&self, kind: Kind, now: Timestamp) -> Timestamp {
        whole(now).after(self.lifetime(kind))
    }

    /// When a token of this kind was made that ends then, for all that is known at this time.
    pub fn made(&self, kind: Kind, expires_at: Timestamp, now: Timestamp) -> Timestamp {
        expires_at.before(self.lifetime(kind)).min(now)
    }

    const fn lifetime(&self, kind: Kind) -> Duration {
        let lifetime = match kind {
            Kind::Access => self.settings.access_lifetime,
            Kind::Refresh => self.settings.refresh_lifetime,
        };
        Duration::from_secs(lifetime.as_secs())
    }

    /// The token with these claims; parts of seconds in them are left out.
    pub fn sign(&self, claims: &Claims) -> String {
        let access = claims.kind == Kind::Access;
        let wire = Wire {
            sub: access.then(|| claims.player.to_string()),
            player_id: Some(claims.player.to_string()),
            user_id: claims.user.clone(),
            kind: Some(claims.kind.as_str().into()),
            role: Some(claims.role),
            host_id: claims.host.clone(),
            peer_id: claims.peer,
            iss: Some(self.settings.issuer.clone()),
            aud: Some(self.settings.audience.clone()),
            iat: Some(claims.issued_at.as_millis() / 1000),
            exp: claims.expires_at.as_millis() / 1000,
            nbf: None,
            jti: Some(claims.id.to_string()),
            sid: Some(claims.family.to_string()),
        };
        // There is a key, and text and numbers are always JSON.
        let key = self.settings.keys.first();
        key.and_then(|key| jwt::sign(key, &wire).ok()).unwrap_or_default()
    }

    /// The claims of a token that is good for `kind` now.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`]. That it has ended is told only of a token that was good.
    pub fn verify(&self, now: Timestamp, kind: Kind, token: &str) -> Result<Claims, TokenRefusal> {
        let wire: Wire = jwt::open(&self.settings.keys, token).ok_or(TokenRefusal::Invalid)?;
        let expires_at = seconds(wire.exp);
        if expires_at <= now {
            return Err(TokenRefusal::Expired);
        }
        if wire.kind.as_deref() != Some(kind.as_str()) {
            return Err(TokenRefusal::WrongKind);
        }
        let player = wire.player_id.filter(|player| !player.is_empty());
        let player = player.ok_or(TokenRefusal::NoPlayer)?;
        let nonce = |text: Option<String>| {
            text.and_then(|text| text.parse::<Nonce>().ok()).ok_or(TokenRefusal::Invalid)
        };
        let (issuer, audience) = (&self.settings.issuer, &self.settings.audience);
        if wire.iss.as_ref() != Some(issuer)
            || wire.aud.as_ref() != Some(audience)
            || wire.nbf.is_some_and(|from| now < seconds(from))
            || wire.sub.is_some_and(|subject| subject != player)
        {
            return Err(TokenRefusal::Invalid);
        }
        Ok(Claims {
            kind,
            id: nonce(wire.jti)?,
            family: nonce(wire.sid)?,
            role: wire.role.ok_or(TokenRefusal::Invalid)?,
            player: player.parse().map_err(|_| TokenRefusal::Invalid)?,
            user: wire.user_id,
            host: wire.host_id,
            peer: wire.peer_id,
            issued_at: seconds(wire.iat.ok_or(TokenRefusal::Invalid)?),
            expires_at,
        })
    }
}

fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

fn whole(moment: Timestamp) -> Timestamp {
    seconds(moment.as_millis() / 1000)
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// It was good, and has ended.
    #[error("the token has expired")]
    Expired,
    /// No key that is known here signed it, or it is not of the form.
    #[error("the token is not valid here")]
    Invalid,
    /// It does not say whose it is.
    #[error("the token names no player")]
    NoPlayer,
    /// It was taken back: its bearer logged out, or somebody used a refresh token twice.
    #[error("the token was taken back")]
    Revoked,
    /// It is for something else.
    #[error("the token is of another type")]
    WrongKind,
}

#[cfg(test)]
mod tests;
