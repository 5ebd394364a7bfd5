//! From a zone to a live connection with its host, or to a reason.

use std::time::Duration;

use p2p_coordinator_api::{HostId, JoinReply, JoinRequest, PlayerId, Session, ZoneId};
use p2p_core::{ConnectOptions, ConnectReady, P2PError, P2PProvider, ProtocolName};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Client;

mod attempts;
mod error;

use attempts::{Attempts, Next};
pub use error::JoinError;

impl<P: P2PProvider> Client<P> {
    /// Gets `player` a place in `zone` and connects to its host, with another token or another host
    /// as often as it takes.
    ///
    /// Ends by the [timeout](JoinOptions::with_timeout), whatever the coordinator, the host and the
    /// network do. On an error the game goes on over its server, and
    /// [`JoinError::fall_back_reason`] says why. A place that was given and not used becomes free by
    /// itself when its token expires.
    ///
    /// # Errors
    ///
    /// - [`JoinError::Refused`] at once, if the coordinator's answer will not change by waiting;
    /// - [`JoinError::Endpoint`] at once, if this side's endpoint was shut down;
    /// - [`JoinError::Deadline`] when the time is up, with what was in the way at last.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up: an attempt to connect ends with it, and a place that was given
    /// becomes free by itself.
    pub async fn join(
        &self,
        zone: &ZoneId,
        player: &PlayerId,
        options: JoinOptions,
    ) -> Result<Joined<P::Connection>, JoinError> {
        let started = Instant::now();
        let deadline = started + options.timeout.min(LONGEST);
        let mut attempts = Attempts::new(options.jitter_seed);
        let tried = self.try_to_join(zone, player, &options, deadline, &mut attempts);
        match timeout_at(deadline, tried).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let name = self.coordinator().name();
                Err(attempts.at_deadline(&name, options.timeout))
            }
        }
    }

    async fn try_to_join(
        &self,
        zone: &ZoneId,
        player: &PlayerId,
        options: &JoinOptions,
        deadline: Instant,
        attempts: &mut Attempts,
    ) -> Result<Joined<P::Connection>, JoinError> {
        loop {
            let request = JoinRequest {
                zone_id: zone.clone(),
                player_id: player.clone(),
                peer_id: self.provider().local_peer_id(),
                avoid: attempts.avoid(),
            };
            attempts.placing();
            let next = match self.place(&request).await {
                Ok(place) => {
                    attempts.dialling(&place.host_id);
                    match self.dial(&place, options, deadline).await {
                        Ok(connection) => {
                            let JoinReply { session, host_id, .. } = place;
                            let player = player.clone();
                            return Ok(Joined { connection, session, host_id, player });
                        }
                        Err(error) => attempts.dial_failed(&place.host_id, error),
                    }
                }
                Err(error) => attempts.place_failed(error),
            };
            match next {
                Next::GiveUp(error) => return Err(error),
                Next::Wait(delay) => sleep(delay).await,
            }
        }
    }

    async fn dial(
        &self,
        place: &JoinReply,
        options: &JoinOptions,
        deadline: Instant,
    ) -> Result<P::Connection, P2PError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let connect = ConnectOptions::new(options.protocol.clone())
            .with_credential(place.token.as_bytes().to_vec())?
            .with_ready(ConnectReady::Admitted)
            .with_timeout(options.attempt_timeout.min(left));
        self.provider().connect(&place.host_addr, connect).await
    }
}

/// A day: nobody waits longer to play, and clocks can count so far.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinOptions {
    /// What to speak with the host.
    pub protocol: ProtocolName,
    /// How long it may take altogether. Default 15 s.
    pub timeout: Duration,
    /// How long one attempt to connect to a host may take. Default 3 s.
    pub attempt_timeout: Duration,
    /// What the waits between attempts are varied by; not at all if not set, which is the default.
    pub jitter_seed: Option<u64>,
}

impl JoinOptions {
    /// To speak `protocol` with the host.
    pub const fn new(protocol: ProtocolName) -> Self {
        Self {
            protocol,
            timeout: Duration::from_secs(15),
            attempt_timeout: Duration::from_secs(3),
            jitter_seed: None,
        }
    }

    /// Sets how long it may take altogether; at most a day.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long one attempt to connect to a host may take.
    #[must_use]
    pub const fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Varies the waits between attempts, so that players who lost a host together do not come back
    /// together. The same seed gives the same waits.
    #[must_use]
    pub const fn with_jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }
}

/// A player with a place, connected to its host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Joined<C> {
    /// The connection to the host, which has let the player in.
    pub connection: C,
    /// The session, as it was when the place was given.
    pub session: Session,
    /// The host.
    pub host_id: HostId,
    /// The player.
    pub player: PlayerId,
}
