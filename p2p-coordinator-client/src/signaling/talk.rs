//! One connection: from the coordinator's welcome to the end.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;

use p2p_coordinator_api::websocket::{POLICY_VIOLATION, TOKEN_ENDED};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::socket::{Heard, Socket};
use super::words::{Answer, Numbered, Order, Said};
use super::{Delivery, SignalError, SignalEvent, SignalingConfig};

/// What lasts over breaks.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// What shows that it is the same peer.
    pub(super) token: Option<String>,
    /// The number of the last message.
    pub(super) seq: u64,
    /// The session to be in.
    pub(super) session: Option<String>,
    /// The number of the last call.
    calls: u64,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// It broke, or the coordinator asks to come back.
    Broken(String),
    /// The program wants no more.
    Dropped,
    /// The token is none (any more): with another it may go on.
    Unknown(String),
    /// The coordinator does not want this peer.
    Unwanted(String),
}

/// Waits for the token, and for ever if none is on its way. Cancel safe.
async fn renewed(renewing: &mut Option<Renewing>) -> Option<String> {
    let token = match renewing {
        Some(renewing) => renewing.await,
        None => std::future::pending().await,
    };
    *renewing = None;
    token
}

/// A session's name, as it was called.
fn name(session: &Value) -> String {
    session.as_str().map_or_else(|| session.to_string(), Into::into)
}

pub(super) struct Talk<'a> {
    pub(super) socket: Socket,
    pub(super) config: &'a SignalingConfig,
    pub(super) standing: &'a mut Standing,
    pub(super) events: &'a mpsc::Sender<SignalEvent>,
    /// Calls without an answer. Dropping them tells that the connection broke.
    pub(super) calls: BTreeMap<u64, Answer>,
    /// The last thing that was wrong.
    pub(super) problem: Option<String>,
    pub(super) is_welcome: bool,
    /// How to get a newer token, if there is a login.
    pub(super) renew: Option<&'a (dyn Fn(String) -> Renewing + Send + Sync)>,
    /// The token that was shown last.
    pub(super) shown: String,
    /// It is being got.
    pub(super) renewing: Option<Renewing>,
}

/// A newer access token, on its way; nothing if there is none to be had now.
pub(super) type Renewing = Pin<Box<dyn Future<Output = Option<String>> + Send>>;

impl Talk<'_> {
    pub(super) async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        match self.converse(orders).await {
            Ok(end) => end,
            Err(error) => End::Broken(error.to_string()),
        }
    }

    async fn converse(&mut self, orders: &mut mpsc::Receiver<Order>) -> io::Result<End> {
        let mut heard = Instant::now();
        let mut ping_at = heard + self.config.ping;
        loop {
            // A ping goes out at the latest so long after anything was heard.
            let dead_at = heard + self.config.ping + self.config.timeout;
            tokio::select! {
                biased;
                what = self.socket.hear() => {
                    heard = Instant::now();
                    match what? {
                        Heard::Text(text) => self.understand(&text).await?,
                        Heard::Pong => {}
                        Heard::Close(close) => return Ok(self.closed(close)),
                    }
                }
                // Nothing is said before it is known as whom.
                order = orders.recv(), if self.is_welcome => match order {
                    Some(order) => self.order(order).await?,
                    None => {
                        self.socket.close(1000).await;
                        return Ok(End::Dropped);
                    }
                },
                token = renewed(&mut self.renewing) => {
                    if let Some(token) = token {
                        self.say(&json!({ "type": "authenticate", "token": token })).await?;
                        self.shown = token;
                    }
                }
                () = sleep_until(ping_at) => {
                    ping_at = Instant::now() + self.config.ping;
                    let seq = self.standing.seq;
                    self.say(&json!({ "type": "ping", "seq": seq })).await?;
                }
                () = sleep_until(dead_at) => {
                    return Ok(End::Broken("nothing was heard for too long".into()));
                }
            }
        }
    }

    fn closed(&mut self, close: Option<(u16, String)>) -> End {
        let (code, reason) = close.unwrap_or_default();
        let why = match self.problem.take() {
            Some(problem) => format!("{reason} ({code}): {problem}"),
            None => format!("{reason} ({code})"),
        };
        match code {
            TOKEN_ENDED => End::Unknown(why),
            POLICY_VIOLATION if !self.is_welcome => End::Unknown(why),
            // Not allowed; or another program is this peer now.
            POLICY_VIOLATION | 4001 => End::Unwanted(why),
            _ => End::Broken(why),
        }
    }

    async fn order(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Leave => {
                self.standing.session = None;
                self.say(&json!({ "type": "leave" })).await
            }
            Order::Join { session, answer } => {
                self.standing.session = Some(session.clone());
                self.call(json!({ "type": "join", "session_id": session }), answer).await
            }
            Order::Send { kind, field, to, payload, answer } => {
                self.call(json!({ "type": kind, "to": to, field: payload }), answer).await
            }
        }
    }

    async fn call(&mut self, mut message: Value, answer: Answer) -> io::Result<()> {
        self.standing.calls += 1;
        let id = self.standing.calls;
        message["id"] = id.into();
        self.calls.insert(id, answer);
        self.say(&message).await
    }

    async fn say(&mut self, message: &Value) -> io::Result<()> {
        self.socket.say(&message.to_string()).await
    }

    async fn understand(&mut self, text: &str) -> io::Result<()> {
        let Ok(said) = serde_json::from_str::<Said>(text) else { return Ok(()) };
        if !matches!(said, Said::Resumed { .. }) {
            let numbered = serde_json::from_str(text).unwrap_or(Numbered { seq: None });
            self.standing.seq = numbered.seq.unwrap_or(self.standing.seq);
        }
        let event = match said {
            Said::Ack { id, status } => {
                let delivery = if status == "kept" { Delivery::Kept } else { Delivery::Delivered };
                self.answer(id, Ok(delivery));
                return Ok(());
            }
            Said::Error { message, id: Some(id) } => {
                self.answer(id, Err(SignalError::Refused(message)));
                return Ok(());
            }
            Said::Error { message, id: None } => {
                self.problem = Some(message.clone());
                SignalEvent::Problem { what: message }
            }
            Said::Welcome { resume_token } => {
                self.standing.token = Some(resume_token);
                self.standing.seq = 0;
                self.is_welcome = true;
                if let Some(session) = self.standing.session.clone() {
                    self.say(&json!({ "type": "join", "session_id": session })).await?;
                }
                return Ok(());
            }
            Said::Resumed { peers, missed, seq } => {
                // A coordinator numbers from one; it has what we have, or is another.
                self.standing.seq = self.standing.seq.min(seq);
                self.is_welcome = true;
                SignalEvent::Resumed { missed, peers }
            }
            Said::Answer { from, sdp } => SignalEvent::Answer { from, sdp },
            Said::Offer { from, sdp } => SignalEvent::Offer { from, sdp },
            Said::IceCandidate { from, candidate } => SignalEvent::IceCandidate { from, candidate },
            Said::PeerJoined { peer_id } => SignalEvent::PeerJoined { peer: peer_id },
            Said::PeerLeft { peer_id } => SignalEvent::PeerLeft { peer: peer_id },
            Said::SessionJoined { session_id, peers } => {
                let session = name(&session_id);
                SignalEvent::SessionJoined { session, peers }
            }
            Said::SessionLeft => SignalEvent::SessionLeft,
            Said::Routing { routing, session_id } => {
                let session = (!session_id.is_null()).then(|| name(&session_id));
                SignalEvent::Routing { session, routing }
            }
            Said::TokenExpiring => {
                self.renewing = self.renew.map(|renew| renew(self.shown.clone()));
                return Ok(());
            }
            Said::Reconnect | Said::Other => return Ok(()),
        };
        // Who has dropped the handle has dropped this task as well.
        let _ = self.events.send(event).await;
        Ok(())
    }

    fn answer(&mut self, id: u64, outcome: Result<Delivery, SignalError>) {
        if let Some(answer) = self.calls.remove(&id) {
            // Whoever asked may have gone.
            let _ = answer.send(outcome);
        }
    }
}
