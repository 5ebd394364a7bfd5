//! What is measured.

use p2p_benches::{Better, Metric};

pub(crate) const BULK: Metric = Metric::new("bulk_mib_per_s", "MiB/s", Better::Higher);
pub(crate) const MESSAGES_64: Metric = Metric::new("msg_64_per_s", "messages/s", Better::Higher);
pub(crate) const MESSAGES_1K: Metric = Metric::new("msg_1k_per_s", "messages/s", Better::Higher);
pub(crate) const PING_PONG_P50: Metric = Metric::new("pingpong_p50_us", "µs", Better::Lower);
pub(crate) const PING_PONG_P99: Metric = Metric::new("pingpong_p99_us", "µs", Better::Lower);
pub(crate) const DATAGRAMS_64: Metric =
    Metric::new("datagram_64_per_s", "datagrams/s", Better::Higher);
pub(crate) const CONNECT_COLD: Metric = Metric::new("connect_cold_ms", "ms", Better::Lower);
pub(crate) const CONNECT_WARM: Metric = Metric::new("connect_warm_ms", "ms", Better::Lower);

/// Not a row of its own: it says how far to trust the datagrams' row.
pub(crate) const DATAGRAMS_LOST: Metric = Metric::new("datagram_64_lost", "%", Better::Lower);

/// What is measured in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    Bulk,
    Messages64,
    Messages1k,
    PingPong,
    Datagrams,
    Connect,
}

impl Trial {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 6] = [
        Self::Bulk,
        Self::Messages64,
        Self::Messages1k,
        Self::PingPong,
        Self::Datagrams,
        Self::Connect,
    ];

    /// What it gives to the report.
    pub(crate) const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Bulk => &[BULK],
            Self::Messages64 => &[MESSAGES_64],
            Self::Messages1k => &[MESSAGES_1K],
            Self::PingPong => &[PING_PONG_P50, PING_PONG_P99],
            Self::Datagrams => &[DATAGRAMS_64],
            Self::Connect => &[CONNECT_COLD, CONNECT_WARM],
        }
    }
}
