//! Signaling: finding the other peers of a session, and exchanging WebRTC's offers, answers and
//! candidates with them.
//!
//! [`Client::signaling`] gives a [`Signaling`], which holds a WebSocket to the coordinator, and makes a
//! new one whenever it breaks: with the token that the coordinator gave, so that the others notice
//! nothing and what was sent meanwhile arrives. Messages are acknowledged: a call that succeeds has
//! reached the other's connection, or is kept for it.
//!
//! - `socket`: a WebSocket on anything that reads and writes; `dial`: how the coordinator is reached;
//! - `words`: what is said; `talk`: one connection; `keeper`: from one to the next.

mod dial;
mod keeper;
mod socket;
mod talk;
mod words;

use std::time::Duration;

use p2p_coordinator_api::{PlayerId, Routing};
use p2p_core::P2PProvider;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::client::Client;
use keeper::Keeper;
use words::Order;

/// How signaling is done. [`SignalingConfig::default`] is a sane start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalingConfig {
    /// The access token; when it ends, so does signaling. Default: that of the client's login, which is
    /// renewed; without one none, which a coordinator takes in development only.
    pub token: Option<String>,
    /// What the waits between attempts and the masks of frames follow from; two clients are to have
    /// different ones. Default 0.
    pub seed: u64,
    /// How often to say what has arrived, which also shows that the connection lives. Default 15 s.
    pub ping: Duration,
    /// How long a handshake, or silence after a ping, may last. Default 10 s.
    pub timeout: Duration,
}

impl SignalingConfig {
    /// Sets the access token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets what waits and masks follow from.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl Default for SignalingConfig {
    fn default() -> Self {
        let (ping, timeout) = (Duration::from_secs(15), Duration::from_secs(10));
        Self { token: None, seed: 0, ping, timeout }
    }
}

/// What a peer hears.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SignalEvent {
    /// An answer to an offer.
    Answer {
        /// From whom.
        from: String,
        /// SDP, as it was sent.
        sdp: Value,
    },
    /// The connection broke, or could not be made; another is tried.
    Disconnected {
        /// What happened.
        why: String,
        /// When.
        retry_in: Duration,
    },
    /// It is over: the coordinator does not want this peer. Nothing follows.
    Ended {
        /// Its words.
        why: String,
    },
    /// A candidate for a way between the peers.
    IceCandidate {
        /// From whom.
        from: String,
        /// As it was sent.
        candidate: Value,
    },
    /// An offer.
    Offer {
        /// From whom.
        from: String,
        /// SDP, as it was sent.
        sdp: Value,
    },
    /// A peer has come into the session.
    PeerJoined {
        /// Which.
        peer: String,
    },
    /// A peer has left the session.
    PeerLeft {
        /// Which.
        peer: String,
    },
    /// The coordinator has complained about something that was no call.
    Problem {
        /// Its words.
        what: String,
    },
    /// P2P was switched off, or on again: over what the game is to go on.
    Routing {
        /// In which session; `None` if in none.
        session: Option<String>,
        /// Over what.
        routing: Routing,
    },
    /// Connected again, as the same peer in the same session.
    Resumed {
        /// How many messages were lost meanwhile, because there were too many to keep.
        missed: u64,
        /// Who is in the session now.
        peers: Vec<String>,
    },
    /// In a session: after a join, and after a break that lasted too long to be the same peer.
    SessionJoined {
        /// Which, as it was called.
        session: String,
        /// Who was there before.
        peers: Vec<String>,
    },
    /// Not in the session any more.
    SessionLeft,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It has gone to the other's connection.
    Delivered,
    /// The other is away, and gets it when it is back in time.
    Kept,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignalError {
    /// The connection broke before there was an answer: it may have been done, or not.
    #[error("the connection broke before there was an answer")]
    Broken,
    /// Signaling has ended.
    #[error("signaling has ended")]
    Ended,
    /// The coordinator says no.
    #[error("the coordinator refused: {0}")]
    Refused(String),
}

/// Signaling as one peer. Dropping it ends it.
#[derive(Debug)]
pub struct Signaling {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<SignalEvent>,
    task: JoinHandle<()>,
}

/// Events that wait to be taken; then the connection waits.
const EVENTS: usize = 64;

/// Calls that wait for the connection.
const ORDERS: usize = 16;

impl<P: P2PProvider> Client<P> {
    /// Signaling as `peer`. Connects at once, and again whenever the connection breaks, until it is
    /// dropped or the coordinator says that this peer is not wanted.
    pub fn signaling(&self, peer: PlayerId, config: SignalingConfig) -> Signaling {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell, events) = mpsc::channel(EVENTS);
        let keeper = Keeper::new(self.clone(), peer, config, ordered, tell);
        Signaling { orders, events, task: tokio::spawn(keeper.run()) }
    }
}

impl Signaling {
    /// What is heard next; `None` after [`SignalEvent::Ended`]. Who takes nothing for long is sent away
    /// by the coordinator, and comes back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<SignalEvent> {
        self.events.recv().await
    }

    /// Goes into a session, and out of the one before. Who is there, [`SignalEvent::SessionJoined`] says.
    /// It holds until [`leave`](Self::leave), also over breaks.
    ///
    /// # Errors
    ///
    /// [`SignalError`].
    pub async fn join(&self, session: &str) -> Result<(), SignalError> {
        self.order(|answer| Order::Join { session: session.to_owned(), answer }).await.map(|_| ())
    }

    /// Leaves the session.
    ///
    /// # Errors
    ///
    /// [`SignalError::Ended`].
    pub async fn leave(&self) -> Result<(), SignalError> {
        self.orders.send(Order::Leave).await.map_err(|_| SignalError::Ended)
    }

    /// Sends an offer. Waits while there is no connection.
    ///
    /// # Errors
    ///
    /// [`SignalError`].
    pub async fn offer(&self, to: &str, sdp: impl Into<Value>) -> Result<Delivery, SignalError> {
        self.send("offer", "sdp", to, sdp.into()).await
    }

    /// Sends an answer. Waits while there is no connection.
    ///
    /// # Errors
    ///
    /// [`SignalError`].
    pub async fn answer(&self, to: &str, sdp: impl Into<Value>) -> Result<Delivery, SignalError> {
        self.send("answer", "sdp", to, sdp.into()).await
    }

    /// Sends a candidate. Waits while there is no connection.
    ///
    /// # Errors
    ///
    /// [`SignalError`].
    pub async fn ice(
        &self,
        to: &str,
        candidate: impl Into<Value>,
    ) -> Result<Delivery, SignalError> {
        self.send("ice-candidate", "candidate", to, candidate.into()).await
    }

    async fn send(
        &self,
        kind: &'static str,
        field: &'static str,
        to: &str,
        payload: Value,
    ) -> Result<Delivery, SignalError> {
        self.order(|answer| Order::Send { kind, field, to: to.to_owned(), payload, answer }).await
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<Delivery, SignalError>>) -> Order,
    ) -> Result<Delivery, SignalError> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| SignalError::Ended)?;
        answered.await.unwrap_or(Err(SignalError::Broken))
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.task.abort();
    }
}
