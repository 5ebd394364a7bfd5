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

pub(crate) const CONNECT_40MS_RTT: Metric = Metric::new("connect_40ms_rtt_ms", "ms", Better::Lower);
pub(crate) const URGENT_P50: Metric = Metric::new("urgent_beside_bulk_p50_ms", "ms", Better::Lower);
pub(crate) const URGENT_P99: Metric = Metric::new("urgent_beside_bulk_p99_ms", "ms", Better::Lower);
pub(crate) const URGENT_WAIT_P99: Metric =
    Metric::new("urgent_wait_at_sender_p99_ms", "ms", Better::Lower);
pub(crate) const FEATURES_COST: Metric = Metric::new("features_cost", "of all off", Better::Lower);

// What one costs, both ends and the kernel's work for them together: on a busy machine these move
// less than rates.
pub(crate) const BULK_CPU: Metric = Metric::new("bulk_cpu_us_per_mib", "CPU µs", Better::Lower);
pub(crate) const MESSAGES_64_CPU: Metric = Metric::new("msg_64_cpu_ns", "CPU ns", Better::Lower);
pub(crate) const MESSAGES_1K_CPU: Metric = Metric::new("msg_1k_cpu_ns", "CPU ns", Better::Lower);
pub(crate) const DATAGRAMS_64_CPU: Metric =
    Metric::new("datagram_64_cpu_ns", "CPU ns", Better::Lower);

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
    /// Connecting at 20 ms one way.
    ConnectFar,
    /// Urgent messages beside bulk, through a bottleneck.
    Urgent,
    /// What our features cost that are not used.
    Features,
}

impl Trial {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Self; 9] = [
        Self::Bulk,
        Self::Messages64,
        Self::Messages1k,
        Self::PingPong,
        Self::Datagrams,
        Self::Connect,
        Self::ConnectFar,
        Self::Urgent,
        Self::Features,
    ];

    /// What it gives to the report.
    pub(crate) const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Bulk => &[BULK, BULK_CPU],
            Self::Messages64 => &[MESSAGES_64, MESSAGES_64_CPU],
            Self::Messages1k => &[MESSAGES_1K, MESSAGES_1K_CPU],
            Self::PingPong => &[PING_PONG_P50, PING_PONG_P99],
            Self::Datagrams => &[DATAGRAMS_64, DATAGRAMS_64_CPU],
            Self::Connect => &[CONNECT_COLD, CONNECT_WARM],
            Self::ConnectFar => &[CONNECT_40MS_RTT],
            Self::Urgent => &[URGENT_P50, URGENT_P99, URGENT_WAIT_P99],
            Self::Features => &[FEATURES_COST],
        }
    }
}
