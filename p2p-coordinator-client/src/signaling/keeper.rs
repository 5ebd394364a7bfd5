//! From one connection to the next.

use std::collections::BTreeMap;

use p2p_coordinator_api::{PlayerId, paths};
use p2p_core::{BoxError, P2PProvider};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::dial::dial;
use super::socket::{Draw, Socket};
use super::talk::{End, Standing, Talk};
use super::words::Order;
use super::{SignalEvent, SignalingConfig};
use crate::backoff::{Backoff, split_mix};
use crate::client::Client;
use crate::error::sentence;

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
        loop {
            let (end, was_welcome) = match timeout(self.config.timeout, self.connect()).await {
                Ok(Ok((socket, held))) => {
                    let mut talk = Talk {
                        socket,
                        config: &self.config,
                        standing: &mut self.standing,
                        events: &self.events,
                        calls: BTreeMap::new(),
                        problem: None,
                        is_welcome: false,
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
            }
            let event = match end {
                End::Dropped => return,
                End::Unwanted(why) => {
                    let _ = self.events.send(SignalEvent::Ended { why }).await;
                    return;
                }
                End::Broken(why) => {
                    let retry_in = backoff.next_delay();
                    let event = SignalEvent::Disconnected { why, retry_in };
                    if self.events.send(event).await.is_err() {
                        return;
                    }
                    retry_in
                }
            };
            sleep(event).await;
        }
    }

    async fn connect(&mut self) -> Result<(Socket, Box<dyn Send>), BoxError> {
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
        if let Some(token) = &self.config.token {
            target.push_str("&token=");
            target.push_str(&plain(token));
        }
        let mut state = split_mix(&mut self.draws);
        let draw: Draw = Box::new(move || split_mix(&mut state));
        Ok((Socket::open(way.io, &way.host, &target, draw).await?, way.held))
    }
}
