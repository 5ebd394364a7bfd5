//! `[signaling]`: whom peers reach, whether they show who they are, and how much of everything.

use p2p_coordinator::domain::signaling::{Limits, Reach};
use p2p_coordinator::service::signaling::{Identity, SignalingSettings};
use serde::{Deserialize, Serialize};

use super::{seconds, whole};

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SignalingConfig {
    /// `required` or `ignored`; if not set, ignored on loopback only, and only if no
    /// keys are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensConfig>,
    /// `sessions`, those of the store with their members, or `open`; if not set, open where
    /// tokens are ignored if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<RoomsConfig>,
    peers: usize,
    members: usize,
    message_bytes: usize,
    messages_per_second: u32,
    messages_at_once: u32,
    backlog_messages: usize,
    backlog_bytes: usize,
    grace_seconds: u32,
    mailbox_seconds: u32,
    queue_messages: usize,
    queue_bytes: usize,
    ping_seconds: u32,
    idle_seconds: u32,
    token_warning_seconds: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum TokensConfig {
    Ignored,
    Required,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum RoomsConfig {
    Open,
    Sessions,
}

impl Default for SignalingConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            tokens: None,
            rooms: None,
            peers: limits.peers,
            members: limits.members,
            message_bytes: limits.message_bytes,
            messages_per_second: limits.per_second,
            messages_at_once: limits.burst,
            backlog_messages: limits.backlog_messages,
            backlog_bytes: limits.backlog_bytes,
            grace_seconds: seconds(limits.grace),
            mailbox_seconds: seconds(limits.mailbox),
            queue_messages: limits.queue_messages,
            queue_bytes: limits.queue_bytes,
            ping_seconds: seconds(limits.ping),
            idle_seconds: seconds(limits.idle),
            token_warning_seconds: seconds(limits.token_warning),
        }
    }
}

impl SignalingConfig {
    /// What has to be at least 1.
    pub(super) fn at_least_one(&self) -> [(&'static str, u64); 10] {
        [
            ("signaling.peers", self.peers as u64),
            ("signaling.members", self.members as u64),
            ("signaling.message_bytes", self.message_bytes as u64),
            ("signaling.messages_per_second", self.messages_per_second.into()),
            ("signaling.messages_at_once", self.messages_at_once.into()),
            ("signaling.mailbox_seconds", self.mailbox_seconds.into()),
            ("signaling.queue_messages", self.queue_messages as u64),
            ("signaling.queue_bytes", self.queue_bytes as u64),
            ("signaling.ping_seconds", self.ping_seconds.into()),
            ("signaling.idle_seconds", self.idle_seconds.into()),
        ]
    }

    /// For a service that others reach, or that asks for keys, or for one of which neither is true.
    pub(super) fn settings(&self, guarded: bool) -> SignalingSettings {
        let mut settings = SignalingSettings::default();
        settings.identity = match (self.tokens, guarded) {
            (Some(TokensConfig::Ignored), _) | (None, false) => Identity::Claimed,
            (Some(TokensConfig::Required), _) | (None, true) => Identity::Proven,
        };
        settings.reach = match (self.rooms, guarded) {
            (Some(RoomsConfig::Open), _) | (None, false) => Reach::Anyone,
            (Some(RoomsConfig::Sessions), _) | (None, true) => Reach::Room,
        };
        let limits = &mut settings.limits;
        limits.peers = self.peers;
        limits.members = self.members;
        limits.message_bytes = self.message_bytes;
        limits.per_second = self.messages_per_second;
        limits.burst = self.messages_at_once;
        limits.backlog_messages = self.backlog_messages;
        limits.backlog_bytes = self.backlog_bytes;
        limits.grace = whole(self.grace_seconds);
        limits.mailbox = whole(self.mailbox_seconds);
        limits.queue_messages = self.queue_messages;
        limits.queue_bytes = self.queue_bytes;
        limits.ping = whole(self.ping_seconds);
        limits.idle = whole(self.idle_seconds);
        limits.token_warning = whole(self.token_warning_seconds);
        settings
    }
}
