//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Who hosts, who plays where, who may connect to whom: hosts register, players join, peers meet
///
/// Without arguments it serves on 127.0.0.1:8001 and keeps its records in ./data/coordinator.db.
/// A flag counts before the environment, that before the .env file, that before the TOML file, and
/// that before defaults.
#[derive(Clone, Debug, Parser)]
#[command(name = "p2p-coordinator", version)]
pub(crate) struct Arguments {
    /// File with the configuration, in TOML; --check-config prints what it comes to
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// File with names and values as in the environment [default: .env in this folder, if there]
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Reads the configuration, prints each value and where it is from, and ends
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Asks the coordinator at the configured address how it is, and ends: 0 if it is ready
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) status: bool,
    /// Address for HTTP [default: 127.0.0.1:8001] [env: P2P_SERVICE_HOST, P2P_SERVICE_PORT]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// UDP address for peers, who reach the coordinator by its ticket; without it that door is shut
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) p2p: Option<SocketAddr>,
    /// The SQLite file, or the URL of a PostgreSQL database [default: data/coordinator.db]
    /// [env: P2P_COORDINATOR_DATABASE, DATABASE_URL]
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) database: Option<PathBuf>,
    /// Keeps records in memory: they end with the process
    #[arg(long, conflicts_with = "database")]
    pub(crate) memory: bool,
    /// Lets servers run all zones: joins and sessions by peers are refused [env: P2P_ENABLED]
    #[arg(long)]
    pub(crate) disable_p2p: bool,
    /// What is logged: error, warn, info, debug, trace [default: info] [env: LOG_LEVEL]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}
