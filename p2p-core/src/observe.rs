//! What can be seen of a provider from outside: log events, [`Health`] and metrics.
//!
//! # Events
//!
//! Written with [`tracing`](https://docs.rs/tracing), target `p2p`; none for a single message. The
//! message of each is one of these words, to be searched for:
//!
//! | event | level | fields besides `local` and `peer` | when |
//! |---|---|---|---|
//! | `dial` | debug | `protocol` | a program connects |
//! | `connected` | debug | `connection`, `link`, `path`, `took` | the peer answered; on its side, this is `admitted` |
//! | `dial failed` | debug | `error` | no connection came about |
//! | `accepted` | debug | | a peer has proven who it is, and is judged next |
//! | `admitted` | debug | `connection`, `link`, `path`, `took` | it was let in |
//! | `refused` | debug | `cause`, `reason` | it was not; without a `peer` if it has not proven who it is |
//! | `suspect` | debug | `connection`, `link` | the link is silent for longer than it should |
//! | `standby ready` | debug | `connection` | a standby link is there |
//! | `standby lost` | debug | `connection`, `reason` | it is gone; another is sought |
//! | `standby unavailable` | info | `connection` | one was asked for, and transport or peer have none |
//! | `hedge` | debug | `connection`, `link` | messages go over the standby as well |
//! | `switch` | info | `connection`, `link` | the standby stands for the link |
//! | `heal` | info | `connection`, `link` | the link, or its successor, is used again |
//! | `failover` | info | `connection`, `link`, `silent` | the link was found dead and given up |
//! | `link lost` | info | `connection`, `link`, `reason` | a connection goes on without this link |
//! | `reconnecting` | debug | `connection`, `attempt`, `next` | an attempt at a next link begins after `next`; attempt 0 waits for the peer |
//! | `resumed` | info | `connection`, `link` | the connection goes on, on this link |
//! | `lost` | warn | `connection`, `reason` | it cannot go on |
//! | `lane` | debug | `connection`, `lane`, `acknowledged`, `unknown`, `never_sent` | after `lost`, for each lane in which messages were sent |
//! | `violation` | warn | `connection`, `detail` | the peer did what it must not |
//! | `closed` | debug | `connection`, `by`, `cause`, `reason` | the end, unless it was `lost` |
//!
//! The fields, always of the same meaning:
//!
//! - `local` and `peer`: the two names, in full;
//! - `connection`: its number, counted by this provider from 0;
//! - `link`: the number of the link below it, counted by the connection from 1;
//! - `lane`: the messages' [priority](crate::Priority).
//!
//! What comes from the peer (`reason`, `detail`, `error`) is at most 256 bytes and written with its
//! control characters escaped. How much is written is up to the subscriber, which can change its level
//! while it runs. Without a subscriber an event costs one comparison.
//!
//! # Metrics
//!
//! With feature `metrics`, `P2PProvider::metrics` gives a handle that
//! writes them as OpenMetrics text. Each provider counts for itself; what wraps one shows those of the
//! one within. Messages are counted where [`ConnectionStats`](crate::ConnectionStats) counts them, in
//! their connection, and summed up by who asks; the sums include connections that have ended. Bytes on
//! streams are not counted.
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `p2p_connect_seconds` | histogram | `direction` | from `connect`, or the first packet, to a connection |
//! | `p2p_connects_total` | counter | `direction` | connections that came about |
//! | `p2p_connect_failures_total` | counter | `direction`, `kind` | those that did not; attempts that the program gave up count nowhere |
//! | `p2p_connections` | gauge | `path` | those that live, by [`PathKind`](crate::PathKind) |
//! | `p2p_connections_reconnecting` | gauge | | those of them that are without a link |
//! | `p2p_connections_ended_total` | counter | `by`, `cause` | those that ended, by [`CloseReason`](crate::CloseReason) |
//! | `p2p_rtt_seconds` | gauge | `quantile` | the least, median and greatest round trip of those that live |
//! | `p2p_messages_total` | counter | `lane`, `direction` | messages |
//! | `p2p_message_bytes_total` | counter | `lane`, `direction` | their bytes, as programs gave and got them |
//! | `p2p_datagrams_total` | counter | `direction` | datagrams |
//! | `p2p_datagrams_dropped_total` | counter | `direction` | datagrams that this side threw away: before they were sent (there was no link, or newer ones came first), or because nobody received them in time |
//! | `p2p_send_queue_bytes` | gauge | `lane` | bytes that wait for the transport |
//! | `p2p_links_lost_total` | counter | | links that a connection went on without |
//! | `p2p_reconnect_attempts_total` | counter | | attempts at a next link by this side |
//! | `p2p_resumes_total` | counter | | connections that went on |
//! | `p2p_failovers_total` | counter | | links found dead by this side's own watch |
//! | `p2p_hedges_total`, `p2p_switches_total`, `p2p_heals_total` | counter | | times that a standby was used beside a link, in its stead, and no more |
//! | `p2p_standby_messages_total` | counter | `reason` | messages over a standby, `hedged` or `switched` |
//! | `p2p_standbys` | gauge | `state` | standby links, `ready` or `active` |
//! | `p2p_violations_total` | counter | | peers that did what they must not, once connected |
//!
//! `direction` is `dialled` or `accepted` of connections, `sent` or `received` of messages. `kind` is
//! the name of the [`P2PError`](crate::P2PError) or, for `accepted`, of the
//! [`CloseCause`](crate::CloseCause), written like `timed_out`.
//!
//! # Changes while running
//!
//! | what | by | holds for |
//! |---|---|---|
//! | `connect_timeout`, `handshake_timeout`, `max_handshakes_per_address`, `max_handshakes_per_peer` | [`P2PProvider::reconfigure`](crate::P2PProvider::reconfigure) | attempts that begin from now on |
//! | `max_listeners` | the same | the next `listen`; listeners that are there stay |
//! | `close_timeout`, the times in `reconnect` | the same | all connections, at their next close or attempt |
//! | `max_message_size`, `receive_window`, `send_queue`, `datagram_queue`, `datagram_drop`, `compress_from`, `failover`, whether to `reconnect` at all | the same | connections that begin from now on |
//! | `idle_timeout`, `keep_alive_interval`, `max_streams`, `max_handshakes` | nothing | they are the transport's, from when the node was made |
//! | [`Limits`](crate::Limits) | [`Limited::set_limits`](crate::Limited::set_limits) | all connections, at once |
//! | [`Admission`](crate::Admission) | the hook itself, which is asked each time | the next applicant |
//! | [`PoolConfig`](crate::PoolConfig), the bounds of [`ListenOptions`](crate::ListenOptions) | nothing | they are what they were when the pool or the listener was made |

mod health;
#[cfg(feature = "metrics")]
mod metrics;
mod monitor;
#[cfg(feature = "metrics")]
mod tally;
mod words;

pub use health::{Health, LastError};
#[cfg(feature = "metrics")]
pub use metrics::Metrics;

pub(crate) use health::Survey;
#[cfg(feature = "metrics")]
pub(crate) use metrics::Surveyed;
pub(crate) use monitor::{Direction, Monitor, Subject};
