//! From one connection to the next.

use std::collections::BTreeMap;

use p2p_coordinator_api::{PlayerId, paths};
use p2p_core::{BoxError, P2PProvider};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::dial::dial;
use super::socket::{Draw, Socket};
use super::talk::{End, Renewing, Standing, Talk};
use super::words::Order;
use super::{SignalEvent, SignalingConfig};
use crate::backoff::{Backoff, split_mix};
use crate::client::Client;
use crate::error::{RequestError, sentence};

pub(super) struct Keeper<P: P2PProvider> {
    client: Client<P>,
    peer: PlayerId,
    config: SignalingConfig,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<SignalEvent>,
    standing: Standing,
    draws: u64,
}

impl<P: P2PProvider> Keeper<P> {
    pub(super) fn new(
        client: Client<P>,
        peer: PlayerId,
        config: SignalingConfig,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<SignalEvent>,
    ) -> Self {
        let (standing, draws) = (Standing::default(), config.seed);
        Self { client, peer, config, orders, events, standing, draws }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new().with_jitter_seed(Some(self.config.seed));
        let client = self.client.clone();
        let renew = move |shown: String| -> Renewing {
            let client = client.clone();
            Box::pin(async move { client.token_after(&shown).await })
        };
        // Whether a token that seemed good was refused since it was last welcome.
        let mut was_refused = false;
        loop {
            let token = match self.token().await {
                Ok(token) => token,
                Err(error @ RequestError::LoggedOut { .. }) => {
                    let why = error.to_string();
                    let _ = self.events.send(SignalEvent::Ended { why }).await;
                    return;
                }
                Err(error) => {
                    if !self.pause(sentence(&error), &mut backoff).await {
                        return;
                    }
                    continue;
                }
            };
            let connecting = timeout(self.config.timeout, self.connect(token.as_deref()));
            let (end, was_welcome) = match connecting.await {
                Ok(Ok((socket, held))) => {
                    let mut talk = Talk {
                        socket,
                        config: &self.config,
                        standing: &mut self.standing,
                        events: &self.events,
                        calls: BTreeMap::new(),
                        problem: None,
                        is_welcome: false,
                        renew: self.config.token.is_none().then_some(&renew),
                        shown: token.clone().unwrap_or_default(),
                        renewing: None,
                    };
                    let end = talk.run(&mut self.orders).await;
                    let was_welcome = talk.is_welcome;
                    drop(held);
                    (end, was_welcome)
                }
                Ok(Err(error)) => (End::Broken(sentence(&*error)), false),
                Err(_) => (End::Broken("the coordinator did not answer in time".into()), false),
            };
            if was_welcome {
                backoff.reset();
                was_refused = false;
            }
            let why = match end {
                End::Dropped => return,
                End::Broken(why) => why,
                // Once more with another token, if one is to be had.
                End::Unknown(why) if !was_refused && self.refused(token.as_deref()) => {
                    was_refused = !was_welcome;
                    why
                }
                End::Unknown(why) | End::Unwanted(why) => {
                    let _ = self.events.send(SignalEvent::Ended { why }).await;
                    return;
                }
            };
            if !self.pause(why, &mut backoff).await {
                return;
            }
        }
    }

    /// Tells that there is no connection, and waits until the next attempt. Whether anybody wants one.
    async fn pause(&self, why: String, backoff: &mut Backoff) -> bool {
        let retry_in = backoff.next_delay();
        let event = SignalEvent::Disconnected { why, retry_in };
        let heard = self.events.send(event).await.is_ok();
        if heard {
            sleep(retry_in).await;
        }
        heard
    }

    /// The token to show.
    async fn token(&self) -> Result<Option<String>, RequestError> {
        match &self.config.token {
            Some(token) => Ok(Some(token.clone())),
            None => self.client.access_token().await,
        }
    }

    /// The coordinator did not take the token. Whether there may be another.
    fn refused(&self, token: Option<&str>) -> bool {
        self.config.token.is_none() && token.is_some_and(|token| self.client.token_refused(token))
    }

    async fn connect(&mut self, token: Option<&str>) -> Result<(Socket, Box<dyn Send>), BoxError> {
        let way = dial(&self.client).await?;
        let plain = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let resume = self.standing.token.as_deref().unwrap_or("new");
        let mut target = format!(
            "{}{}/signaling/ws?peer_id={}&resume={resume}&seq={}",
            way.path,
            paths::PREFIX,
            plain(self.peer.as_str()),
            self.standing.seq
        );
        if let Some(token) = token {
            target.push_str("&token=");
            target.push_str(&plain(token));
        }
        let mut state = split_mix(&mut self.draws);
        let draw: Draw = Box::new(move || split_mix(&mut state));
        Ok((Socket::open(way.io, &way.host, &target, draw).await?, way.held))
    }
}
