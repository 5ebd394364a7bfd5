//! From a challenge to a registered host.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p_coordinator_api::{Heartbeat, HeartbeatReply, HostProof, HostTerms, RefusalReason};
use p2p_core::{P2PProvider, PeerAddr, SecretKey};
use tokio::time::{Instant, sleep, timeout_at};

use super::config::HostConfig;
use super::error::HostError;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::RequestError;

/// Speaks for one host with the coordinator. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Registrar<P: P2PProvider> {
    client: Client<P>,
    secret: SecretKey,
    config: HostConfig,
    access: Arc<Mutex<Option<Access<P>>>>,
}

/// A client that speaks for the host, and when it wants a newer token.
#[derive(Debug)]
struct Access<P: P2PProvider> {
    client: Client<P>,
    renew: Instant,
}

/// What came of a registration.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) terms: HostTerms,
    /// When the reply came.
    pub(super) at: Instant,
    /// Where the host said that it is.
    pub(super) addr: PeerAddr,
}

/// How often a proof may be refused at the start: a challenge may expire on a slow line, or the
/// coordinator's key change between challenge and answer, but hardly so often.
const MAX_PROOFS: u32 = 3;

impl<P: P2PProvider> Registrar<P> {
    pub(super) fn new(client: Client<P>, secret: SecretKey, config: HostConfig) -> Self {
        Self { client, secret, config, access: Arc::new(Mutex::new(None)) }
    }

    /// The client, with the token by which the host is known if the coordinator gave one.
    pub(super) fn client(&self) -> Client<P> {
        self.access().as_ref().map_or(&self.client, |access| &access.client).clone()
    }

    /// Whether the host is to register again, to get another token.
    pub(super) fn wants_access(&self, now: Instant) -> bool {
        self.access().as_ref().is_some_and(|access| access.renew <= now)
    }

    fn access(&self) -> MutexGuard<'_, Option<Access<P>>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the token that a registration gave.
    fn note(&self, terms: &HostTerms, at: Instant) -> Result<(), RequestError> {
        let access = terms.access.as_ref();
        let noted = access.map(|access| {
            // Well before its end, by this side's clock.
            let lifetime = access.expires_at.since(terms.now).min(LONGEST);
            let client = self.client.with_access_token(&access.token)?;
            Ok(Access { client, renew: at + lifetime / 4 * 3 })
        });
        *self.access() = noted.transpose()?;
        Ok(())
    }

    pub(super) const fn config(&self) -> &HostConfig {
        &self.config
    }

    /// Registers the host once. `None` if the coordinator gave no terms.
    pub(super) async fn register(
        &self,
        addr: PeerAddr,
        fresh: bool,
    ) -> Result<Option<Registered>, RequestError> {
        let challenge = self.client.challenge().await?.challenge;
        let host = &self.config.host_id;
        let proof = HostProof::new(&self.secret, host, addr.clone(), fresh, challenge);
        let host = self.config.registration(&addr, proof);
        let reply = self.client.register_host(&host).await?;
        let Some(terms) = reply.p2p else { return Ok(None) };
        let at = Instant::now();
        self.note(&terms, at)?;
        Ok(Some(Registered { terms, at, addr }))
    }

    pub(super) async fn beat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, RequestError> {
        self.client().heartbeat(&self.config.host_id, beat).await
    }

    /// Registers the host as one that has just begun, again and again until the start timeout.
    pub(super) async fn until_registered(&self, provider: &P) -> Result<Registered, HostError> {
        let after = self.config.start_timeout;
        let deadline = Instant::now() + after.min(LONGEST);
        let mut last = None;
        match timeout_at(deadline, self.try_to_register(provider, &mut last)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HostError::Deadline { after, last }),
        }
    }

    async fn try_to_register(
        &self,
        provider: &P,
        last: &mut Option<RequestError>,
    ) -> Result<Registered, HostError> {
        let (mut backoff, mut proofs) = (Backoff::new(), 0);
        loop {
            match self.register(provider.local_addr(), true).await {
                Ok(Some(registered)) => return Ok(registered),
                Ok(None) => return Err(HostError::NoTerms),
                Err(source) => {
                    let proof = source.reason() == Some(RefusalReason::Proof);
                    proofs += u32::from(proof);
                    let may_pass = source.is_retryable() || (proof && proofs < MAX_PROOFS);
                    if !may_pass {
                        return Err(HostError::Refused { source });
                    }
                    *last = Some(source);
                }
            }
            sleep(backoff.next_delay()).await;
        }
    }
}

/// A day: clocks can count so far.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
