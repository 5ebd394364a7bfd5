//! How much of everything.

use std::time::Duration;

/// Whom a peer's messages reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Everybody who is connected, as in the service before this one. For development.
    Anyone,
    /// Members of its own room.
    #[default]
    Room,
}

/// What peers can make a coordinator keep or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Peers at once: connected, away, and with a mailbox. Default 20 000.
    pub peers: usize,
    /// Peers of one room. Default 256.
    pub members: usize,
    /// The most bytes of a message. Default 64 KiB.
    pub message_bytes: usize,
    /// Messages a second that a peer may send for long. A join counts once for each who is told of it.
    /// Default 2500.
    pub per_second: u32,
    /// Messages that it may send at once. Default 5000.
    pub burst: u32,
    /// How many messages beyond that are answered with an error, one after the other, before its
    /// connection is ended. Default 100.
    pub strikes: u32,
    /// Messages kept for a peer that is away or has a mailbox. Default 64.
    pub backlog_messages: usize,
    /// Their bytes. Default 64 KiB.
    pub backlog_bytes: usize,
    /// How long a peer that can resume may be away. Default 30 s.
    pub grace: Duration,
    /// How long a mailbox is kept for a peer that does not ask. Default 60 s.
    pub mailbox: Duration,
    /// Messages that wait for a connection to take them; past it, it is ended. Default 512.
    pub queue_messages: usize,
    /// Their bytes; one message is always taken. Default 1 MiB.
    pub queue_bytes: usize,
    /// How long a connection may be silent before it is sent a ping. Default 20 s.
    pub ping: Duration,
    /// How long a connection may be silent before it is ended. Default 60 s.
    pub idle: Duration,
    /// How long before its access token ends a connection is told, so that it can show a newer one; a
    /// fourth of the token's life if that is less. Default 60 s.
    pub token_warning: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peers: 20_000,
            members: 256,
            message_bytes: 64 << 10,
            per_second: 2500,
            burst: 5000,
            strikes: 100,
            backlog_messages: 64,
            backlog_bytes: 64 << 10,
            grace: Duration::from_secs(30),
            mailbox: Duration::from_secs(60),
            queue_messages: 512,
            queue_bytes: 1 << 20,
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            token_warning: Duration::from_secs(60),
        }
    }
}
