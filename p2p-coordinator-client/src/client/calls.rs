//! One method for each of the coordinator's endpoints.

use hyper::Method;
use p2p_coordinator_api::auth::{RefreshRequest, TokenReply, TokenRequest};
use p2p_coordinator_api::service::ServiceInfo;
use p2p_coordinator_api::{
    CreateSession, DefineZone, Heartbeat, HeartbeatReply, Host, HostId, IssuedChallenge, JoinReply,
    JoinRequest, Nonce, PlayerId, RegisterHost, RegisteredHost, Session, SessionName, Zone, ZoneId,
    paths,
};
use p2p_core::P2PProvider;
use serde::Serialize;

use super::{Client, Repeat};
use crate::error::RequestError;
use crate::path::path;

const NOTHING: Option<&()> = None;

/// Who is to have a place.
#[derive(Serialize)]
struct AddPlayer<'a> {
    player_id: &'a PlayerId,
}

impl<P: P2PProvider> Client<P> {
    /// What the service says about itself.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn info(&self) -> Result<ServiceInfo, RequestError> {
        self.get(paths::ROOT.to_owned()).await
    }

    /// Asks for tokens of a player. The client's key has to be one that may vouch for players.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn log_in(&self, request: &TokenRequest) -> Result<TokenReply, RequestError> {
        self.post(path(&["auth", "token"])?, Some(request), Repeat::Keyed).await
    }

    /// Exchanges a refresh token for new tokens. It is good once: whoever shows it in another request
    /// ends the login. [`logged_in`](Client::logged_in) and [`with_tokens`](Client::with_tokens) do this
    /// by themselves.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn refresh(&self, request: &RefreshRequest) -> Result<TokenReply, RequestError> {
        self.post(path(&["auth", "refresh"])?, Some(request), Repeat::Keyed).await
    }

    /// Ends the login of a refresh token.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn log_out(&self, request: &RefreshRequest) -> Result<(), RequestError> {
        let target = path(&["auth", "logout"])?;
        self.ask(Method::POST, target, Some(request), Repeat::Keyed).await.map(drop)
    }

    /// Asks for a challenge, to prove with it who a host is.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn challenge(&self) -> Result<IssuedChallenge, RequestError> {
        self.post(path(&["hosts", "challenge"])?, NOTHING, Repeat::Never).await
    }

    /// Makes a host known, or updates it.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn register_host(&self, host: &RegisterHost) -> Result<RegisteredHost, RequestError> {
        self.post(path(&["hosts", "register"])?, Some(host), Repeat::Never).await
    }

    /// Tells the coordinator that a host lives, and what it measured.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; with status 404 the host is not known (any more) and is to register again.
    pub async fn heartbeat(
        &self,
        host: &HostId,
        beat: &Heartbeat,
    ) -> Result<HeartbeatReply, RequestError> {
        let target = path(&["hosts", host.as_str(), "heartbeat"])?;
        self.post(target, Some(beat), Repeat::Never).await
    }

    /// A host.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn host(&self, host: &HostId) -> Result<Host, RequestError> {
        self.get(path(&["hosts", host.as_str()])?).await
    }

    /// All hosts, the best first.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn hosts(&self) -> Result<Vec<Host>, RequestError> {
        self.get(path(&["hosts", ""])?).await
    }

    /// Makes a host unknown, and its sessions with it.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn remove_host(&self, host: &HostId) -> Result<(), RequestError> {
        let target = path(&["hosts", host.as_str()])?;
        self.ask(Method::DELETE, target, NOTHING, Repeat::Keyed).await.map(drop)
    }

    /// Makes a zone, or updates it.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn define_zone(&self, zone: &DefineZone) -> Result<Zone, RequestError> {
        self.post(path(&["zones", ""])?, Some(zone), Repeat::Freely).await
    }

    /// A zone.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn zone(&self, zone: &ZoneId) -> Result<Zone, RequestError> {
        self.get(path(&["zones", zone.as_str()])?).await
    }

    /// All zones.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn zones(&self) -> Result<Vec<Zone>, RequestError> {
        self.get(path(&["zones", ""])?).await
    }

    /// Makes a session. Players need none made for them: [`join`](Client::join) does what is needed.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn create_session(&self, session: &CreateSession) -> Result<Session, RequestError> {
        self.post(path(&["sessions", ""])?, Some(session), Repeat::Keyed).await
    }

    /// A session.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn session(&self, session: &SessionName) -> Result<Session, RequestError> {
        self.get(path(&["sessions", session.as_str()])?).await
    }

    /// Says that a session has begun, or goes on.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn activate_session(&self, session: &SessionName) -> Result<(), RequestError> {
        self.tell_session(session, "activate").await
    }

    /// Holds a session: nobody joins it.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn pause_session(&self, session: &SessionName) -> Result<(), RequestError> {
        self.tell_session(session, "pause").await
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn end_session(&self, session: &SessionName) -> Result<(), RequestError> {
        self.tell_session(session, "end").await
    }

    /// Gives a player a place in a session, without a token for its host.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn add_player(
        &self,
        session: &SessionName,
        player: &PlayerId,
    ) -> Result<(), RequestError> {
        let target = path(&["sessions", session.as_str(), "players"])?;
        let body = AddPlayer { player_id: player };
        self.ask(Method::POST, target, Some(&body), Repeat::Keyed).await.map(drop)
    }

    /// Takes a player's place in a session away; with a nonce, only if the place is still the one
    /// whose token had it, so that a player who has come back in the meantime stays.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn remove_player(
        &self,
        session: &SessionName,
        player: &PlayerId,
        nonce: Option<Nonce>,
    ) -> Result<(), RequestError> {
        let mut target = path(&["sessions", session.as_str(), "players", player.as_str()])?;
        if let Some(nonce) = nonce {
            target = format!("{target}?nonce={nonce}");
        }
        self.ask(Method::DELETE, target, NOTHING, Repeat::Keyed).await.map(drop)
    }

    /// Gives a player a place in a zone, the address of the host, and a token to show it. Again for
    /// the same player: the same place, with a new token.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn place(&self, request: &JoinRequest) -> Result<JoinReply, RequestError> {
        self.post(path(&["sessions", "join"])?, Some(request), Repeat::Never).await
    }

    /// What the coordinator says about it is for people: only its status counts.
    async fn tell_session(&self, session: &SessionName, verb: &str) -> Result<(), RequestError> {
        let target = path(&["sessions", session.as_str(), verb])?;
        self.ask(Method::POST, target, NOTHING, Repeat::Keyed).await.map(drop)
    }
}
