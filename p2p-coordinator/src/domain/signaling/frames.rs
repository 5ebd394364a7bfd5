//! The texts that are sent: JSON objects, written once each.
//!
//! Names come quoted, and what peers send to each other as the JSON it came as, so that nothing is
//! parsed or written twice.

use std::fmt::Write as _;

use bytes::Bytes;
use p2p_coordinator_api::{Routing, Timestamp};

use super::{Excess, Kind, ResumeToken};

/// A text that is whole but for its last brace, so that a number can be added.
#[derive(Debug)]
pub(super) struct Draft(String);

impl Draft {
    pub(super) fn done(mut self) -> Bytes {
        self.0.push('}');
        self.0.into()
    }

    pub(super) fn numbered(&self, number: u64) -> Bytes {
        let mut text = String::with_capacity(self.0.len() + 28);
        text.push_str(&self.0);
        // Writing to a string does not fail.
        let _ = write!(text, r#","seq":{number}}}"#);
        text.into()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() + 28
    }

    pub(super) fn plain(&self) -> Bytes {
        let mut text = String::with_capacity(self.0.len() + 1);
        text.push_str(&self.0);
        text.push('}');
        text.into()
    }
}

/// Text as JSON has it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn relay(kind: Kind, from: &str, payload: &str, at: &str) -> Draft {
    let (name, field) = (kind.as_str(), kind.field());
    let room = name.len() + from.len() + field.len() + payload.len() + at.len() + 80;
    let mut text = String::with_capacity(room);
    for part in [
        r#"{"type":""#,
        name,
        r#"","from":"#,
        from,
        ",\"",
        field,
        "\":",
        payload,
        r#","timestamp":""#,
        at,
        "\"",
    ] {
        text.push_str(part);
    }
    Draft(text)
}

pub(super) fn peer_joined(peer: &str) -> Draft {
    Draft(format!(r#"{{"type":"peer-joined","peer_id":{peer}"#))
}

pub(super) fn peer_left(peer: &str) -> Draft {
    Draft(format!(r#"{{"type":"peer-left","peer_id":{peer}"#))
}

pub(super) fn session_joined(shown: &str, peers: &str) -> Draft {
    Draft(format!(r#"{{"type":"session-joined","session_id":{shown},"peers":[{peers}]"#))
}

pub(super) fn session_left(shown: &str) -> Draft {
    Draft(format!(r#"{{"type":"session-left","session_id":{shown}"#))
}

/// The session's records do not have the peer any more.
pub(super) fn session_lost(shown: &str) -> Draft {
    Draft(format!(r#"{{"type":"session-left","session_id":{shown},"reason":"not a member""#))
}

/// Over what the members of a room reach each other from now on.
pub(super) fn routing(routing: Routing, shown: &str) -> Draft {
    let what = match routing {
        Routing::Peers => "P2P is switched on",
        Routing::Server => "P2P is switched off: go on over the game's server",
    };
    Draft(format!(
        r#"{{"type":"routing","routing":"{}","session_id":{shown},"message":"{what}""#,
        routing.as_str()
    ))
}

/// The token is about to end: a newer one is to be shown.
pub(super) fn token_expiring(now: Timestamp, at: Timestamp) -> Bytes {
    let seconds = at.since(now).as_millis().div_ceil(1000);
    let text = format!(
        r#"{{"type":"token-expiring","expires_in":{seconds},"expires_at":"{at}","message":"The access token is about to expire: send authenticate with a newer one""#
    );
    Draft(text).done()
}

/// The token has ended, and the connection with it.
pub(super) fn token_ended(word: &str) -> Bytes {
    let what = r#"{"type":"error","message":"Invalid or expired authentication token""#;
    Draft(format!(r#"{what},"error":"{word}""#)).done()
}

/// A newer token is good until then.
pub(super) fn authenticated(now: Timestamp, at: Timestamp, id: Option<&str>) -> Bytes {
    let seconds = at.since(now).as_secs();
    let mut text =
        format!(r#"{{"type":"authenticated","expires_in":{seconds},"expires_at":"{at}""#);
    if let Some(id) = id {
        let _ = write!(text, r#","id":{id}"#);
    }
    Draft(text).done()
}

pub(super) fn welcome(peer: &str, token: &ResumeToken) -> Bytes {
    let text = format!(r#"{{"type":"welcome","peer_id":{peer},"resume_token":"{token}""#);
    Draft(text).done()
}

/// How a peer that came back finds things.
pub(super) struct Resumed<'a> {
    pub(super) peer: &'a str,
    pub(super) token: &'a ResumeToken,
    pub(super) session: &'a str,
    pub(super) peers: &'a str,
    pub(super) missed: u64,
    pub(super) seq: u64,
}

pub(super) fn resumed(now: &Resumed<'_>) -> Bytes {
    let Resumed { peer, token, session, peers, missed, seq } = now;
    Draft(format!(
        r#"{{"type":"resumed","peer_id":{peer},"resume_token":"{token}","session_id":{session},"peers":[{peers}],"missed":{missed},"seq":{seq}"#
    ))
    .done()
}

pub(super) fn ack(id: &str, is_kept: bool) -> Bytes {
    let status = if is_kept { "kept" } else { "delivered" };
    Draft(format!(r#"{{"type":"ack","id":{id},"status":"{status}""#)).done()
}

/// An error; with the message's id if it had one, which is JSON.
pub(super) fn error(message: &str, id: Option<&str>) -> Bytes {
    let mut text = format!(r#"{{"type":"error","message":{}"#, quoted(message));
    if let Some(id) = id {
        let _ = write!(text, r#","id":{id}"#);
    }
    Draft(text).done()
}

/// The fields of the contract's answer 429, as an error.
pub(super) fn excess(excess: &Excess, now: Timestamp, id: Option<&str>) -> Bytes {
    let seconds = excess.retry_after.as_millis().div_ceil(1000);
    let message = format!("Rate limit exceeded. Try again in {seconds} seconds.");
    let reset = now.after(excess.retry_after).as_millis().div_ceil(1000);
    let mut text = format!(
        r#"{{"type":"error","message":"{message}","error":"rate_limit_exceeded","limit":{},"window_seconds":{},"reset_time":{reset}"#,
        excess.burst, excess.window
    );
    if let Some(id) = id {
        let _ = write!(text, r#","id":{id}"#);
    }
    Draft(text).done()
}

/// A moment as text, which many messages of one millisecond share.
#[derive(Debug)]
pub(super) struct Stamp {
    at: Timestamp,
    text: String,
}

impl Stamp {
    pub(super) fn new() -> Self {
        let at = Timestamp::from_millis(0);
        Self { at, text: at.to_string() }
    }

    pub(super) fn of(&mut self, now: Timestamp) -> &str {
        if self.at != now {
            self.at = now;
            self.text.clear();
            let _ = write!(self.text, "{now}");
        }
        &self.text
    }
}
