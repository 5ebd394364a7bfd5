//! Flags.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use p2p_transport::iroh::{IrohConfig, generate_secret_key};
use p2p_transport::{
    Backoff, ConnectionConfig, FailoverPolicy, ReconnectPolicy, RelayUrl, SecretKey,
};

use super::Failure;
use super::ending::complain;
use super::files;

/// The flags of every peer.
#[derive(clap::Args, Debug)]
pub(crate) struct PeerArgs {
    /// URL of a relay, https://HOST[:PORT]; may be given several times
    #[arg(long = "relay", value_name = "URL")]
    relays: Vec<RelayUrl>,
    /// Certificate that vouches for the relays, PEM or DER; may be given several times
    #[arg(long, value_name = "FILE")]
    relay_ca: Vec<PathBuf>,
    /// UDP port for address discovery on the relays
    #[arg(long, value_name = "PORT", default_value_t = 7842)]
    relay_quic: u16,
    /// File with the secret key; made if it is not there. Without it, a new identity each time
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// UDP port to listen on, 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Keeps the connection when its link is lost: both sides need this. Dead links are found within
    /// a fraction of a second
    #[arg(long)]
    lasting: bool,
    /// How a lasting connection gets over a dead link
    #[arg(long, value_enum, default_value_t = Failover::Redial, requires = "lasting")]
    failover: Failover,
    /// One JSON object per line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Failover {
    /// Waits until the transport finds out
    Off,
    /// Dials again
    Redial,
    /// Keeps a second link ready, over a relay
    Standby,
}

impl PeerArgs {
    /// The secret key of `--identity`, or a new one.
    pub(crate) fn secret(&self) -> Result<SecretKey, Failure> {
        match &self.identity {
            Some(path) => files::identity(path),
            None => Ok(generate_secret_key()),
        }
    }

    /// The configuration that the flags, and the files they name, stand for.
    pub(crate) fn config(&self, secret: SecretKey) -> Result<IrohConfig, Failure> {
        let mut config = IrohConfig::default()
            .with_secret_key(secret)
            .with_listen_port(self.port)
            .with_relay_quic_port(Some(self.relay_quic));
        if self.lasting {
            let connection = ConnectionConfig::default()
                .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
                .with_failover(match self.failover {
                    Failover::Off => FailoverPolicy::Off,
                    Failover::Redial => FailoverPolicy::REDIAL,
                    Failover::Standby => FailoverPolicy::STANDBY,
                });
            config = config.with_connection(connection);
        }
        for relay in &self.relays {
            config = config.with_relay(relay.clone());
        }
        for path in &self.relay_ca {
            config = files::trust(config, path)?;
        }
        Ok(config)
    }
}

/// Reads the command line; what is wrong with it is said in one line.
pub(crate) fn parse<A: Parser>() -> Result<A, ExitCode> {
    A::try_parse().map_err(|error| {
        if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
            // Nobody to help if it cannot be printed.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = error.render().to_string();
        let sentence: Vec<_> =
            text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let sentence = sentence.join(" ");
        complain(&format!("{} (see --help)", sentence.trim_start_matches("error: ")));
        ExitCode::from(2)
    })
}
