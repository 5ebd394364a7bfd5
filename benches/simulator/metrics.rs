//! What is measured.

use p2p_benches::{Better, Metric};

const fn rate(name: &'static str, unit: &'static str) -> Metric {
    Metric::new(name, unit, Better::Higher)
}

const fn cost(name: &'static str, unit: &'static str) -> Metric {
    Metric::new(name, unit, Better::Lower)
}

const MESSAGES: &str = "messages/CPU s";
const VIRTUAL: &str = "virtual s/CPU s";

pub(crate) const PAIR_64: Metric = rate("sim_pair_64_per_s", MESSAGES);
pub(crate) const PAIR_1K: Metric = rate("sim_pair_1k_per_s", MESSAGES);
pub(crate) const PING_PONG: Metric = rate("sim_pingpong_per_s", MESSAGES);
pub(crate) const HOSTS_100: Metric = rate("sim_hosts_100_virtual_s", VIRTUAL);
pub(crate) const HOSTS_1000: Metric = rate("sim_hosts_1000_virtual_s", VIRTUAL);
pub(crate) const HOSTS_10000: Metric = rate("sim_hosts_10000_virtual_s", VIRTUAL);
pub(crate) const HOSTS_100000: Metric = rate("sim_hosts_100000_virtual_s", VIRTUAL);
pub(crate) const HOSTS_100000_MIB: Metric = cost("sim_hosts_100000_mib", "MiB");
pub(crate) const KIB_PER_HOST: Metric = cost("sim_kib_per_host", "KiB");
pub(crate) const KIB_PER_LINK: Metric = cost("sim_kib_per_link", "KiB");
pub(crate) const SEEDS: Metric = rate("sim_seeds_per_s", "runs/CPU s");
pub(crate) const SILENT_YEAR: Metric = cost("sim_silent_year_ms", "CPU ms");
pub(crate) const DELIVERY_ERROR: Metric = cost("sim_delivery_error_ns", "ns");
pub(crate) const DIFFERING_HASHES: Metric = cost("sim_differing_hashes", "hashes");

pub(crate) const CONNECT: Metric = cost("sim_connect_40ms_rtt_ms", "virtual ms");

pub(crate) const CONN_PAIR_64: Metric = rate("sim_connection_64_per_s", MESSAGES);
pub(crate) const CONN_PAIR_1K: Metric = rate("sim_connection_1k_per_s", MESSAGES);
pub(crate) const CONN_PING_PONG: Metric = rate("sim_connection_pingpong_per_s", MESSAGES);
pub(crate) const CONN_HOSTS_100: Metric = rate("sim_connection_hosts_100_virtual_s", VIRTUAL);
pub(crate) const CONN_HOSTS_1000: Metric = rate("sim_connection_hosts_1000_virtual_s", VIRTUAL);
pub(crate) const CONN_HOSTS_10000: Metric = rate("sim_connection_hosts_10000_virtual_s", VIRTUAL);
pub(crate) const CONN_HOSTS_100000: Metric = rate("sim_connection_hosts_100000_virtual_s", VIRTUAL);
pub(crate) const CONN_HOSTS_100000_MIB: Metric = cost("sim_connection_hosts_100000_mib", "MiB");
pub(crate) const CONN_KIB_PER_HOST: Metric = cost("sim_connection_kib_per_host", "KiB");
pub(crate) const CONN_KIB_PER_LINK: Metric = cost("sim_connection_kib_per_link", "KiB");
pub(crate) const CONN_SEEDS: Metric = rate("sim_connection_seeds_per_s", "runs/CPU s");
pub(crate) const CONN_SILENT_YEAR: Metric = cost("sim_connection_silent_year_ms", "CPU ms");
pub(crate) const CONN_DELIVERY_ERROR: Metric = cost("sim_connection_delivery_error_ns", "ns");
pub(crate) const CONN_DIFFERING_HASHES: Metric = cost("sim_connection_differing_hashes", "hashes");
pub(crate) const CONN_CONNECT: Metric = cost("sim_connection_connect_40ms_rtt_ms", "virtual ms");
pub(crate) const ATTACK_COST: Metric = cost("sim_under_attack_cpu", "of alone");
pub(crate) const ATTACK_DIAL: Metric = cost("sim_attack_dial_us", "CPU us");
pub(crate) const CONN_FEATURES: Metric = cost("sim_features_cost", "of all off");

/// Rows of the connection, and the same of the link below it.
pub(crate) const ABOVE_LINK: &[(Metric, Metric)] = &[
    (CONN_PAIR_64, PAIR_64),
    (CONN_PAIR_1K, PAIR_1K),
    (CONN_PING_PONG, PING_PONG),
    (CONN_HOSTS_100, HOSTS_100),
    (CONN_HOSTS_1000, HOSTS_1000),
    (CONN_HOSTS_10000, HOSTS_10000),
    (CONN_HOSTS_100000, HOSTS_100000),
    (CONN_SEEDS, SEEDS),
];
