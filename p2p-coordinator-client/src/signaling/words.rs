//! What is said to the coordinator, and what it says.

use p2p_coordinator_api::Routing;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Delivery, SignalError};

/// What the program wants.
#[derive(Debug)]
pub(super) enum Order {
    Join { session: String, answer: Answer },
    Leave,
    Send { kind: &'static str, field: &'static str, to: String, payload: Value, answer: Answer },
}

pub(super) type Answer = oneshot::Sender<Result<Delivery, SignalError>>;

/// What the coordinator says. Kinds of a later version are left out.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Said {
    Ack {
        id: u64,
        status: String,
    },
    Answer {
        from: String,
        sdp: Value,
    },
    Error {
        message: String,
        id: Option<u64>,
    },
    IceCandidate {
        from: String,
        candidate: Value,
    },
    Offer {
        from: String,
        sdp: Value,
    },
    PeerJoined {
        peer_id: String,
    },
    PeerLeft {
        peer_id: String,
    },
    Reconnect,
    Routing {
        routing: Routing,
        session_id: Value,
    },
    Resumed {
        peers: Vec<String>,
        missed: u64,
        seq: u64,
    },
    SessionJoined {
        session_id: Value,
        peers: Vec<String>,
    },
    SessionLeft,
    TokenExpiring,
    Welcome {
        resume_token: String,
    },
    #[serde(other)]
    Other,
}

/// The number of a message, if it has one.
#[derive(Debug, Deserialize)]
pub(super) struct Numbered {
    #[serde(default)]
    pub(super) seq: Option<u64>,
}
