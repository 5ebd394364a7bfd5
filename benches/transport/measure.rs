//! How each metric is measured, on any stack.
//!
//! Rates are those at the receiver in the middle of a longer run: a warm-up lets windows open, then
//! two readings of what was delivered are set in relation to the time between them. Afterwards the
//! run is brought to its end, and what was sent must all have arrived. Every measurement has new
//! ends and a new connection, whose handshake it does not count; only connecting is about that.

use std::future::Future;
use std::time::Duration;

use p2p_benches::{Metric, Result, percentile};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::metrics::{self, Trial};
use crate::stack::{Connection, Ends, Stack};

mod connect;
mod datagrams;
mod ping_pong;
mod rate;

/// What a step may take: binding, connecting, bringing a measurement to its end. Far more than any
/// needs: past it, something hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a message that goes to and fro, and of a datagram.
const SMALL: usize = 64;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    pub(crate) pings: usize,
    pub(crate) connects: usize,
}

/// What a trial gives: one number for each of its metrics.
pub(crate) type Samples = Vec<(Metric, f64)>;

/// Measures one thing on one stack. `None` if the stack does not have it.
pub(crate) async fn run<S: Stack>(trial: Trial, plan: Plan) -> Result<Option<Samples>> {
    let samples = match trial {
        Trial::Bulk => {
            let mib_per_s = rate::bulk::<S>(plan).await? / f64::from(1 << 20);
            vec![(metrics::BULK, mib_per_s)]
        }
        Trial::Messages64 => vec![(metrics::MESSAGES_64, rate::messages::<S>(64, plan).await?)],
        Trial::Messages1k => vec![(metrics::MESSAGES_1K, rate::messages::<S>(1024, plan).await?)],
        Trial::PingPong => {
            let round_trips = ping_pong::ping_pong::<S>(plan).await?;
            let at = |percent| percentile(&round_trips, percent).ok_or("no round trip");
            vec![(metrics::PING_PONG_P50, at(50.0)?), (metrics::PING_PONG_P99, at(99.0)?)]
        }
        Trial::Datagrams if !S::DATAGRAMS => return Ok(None),
        Trial::Datagrams => datagrams::datagrams::<S>(plan).await?,
        Trial::Connect => connect::connect::<S>(plan).await?,
    };
    Ok(Some(samples))
}

/// The time limit that turns a hang into an error with a name.
async fn within<T>(stage: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, future).await {
        Ok(result) => result.map_err(|error| format!("{stage}: {error}").into()),
        Err(_) => Err(format!("{stage}: not done after {PATIENCE:?}").into()),
    }
}

/// Two new ends, connected, with streams open.
async fn ready<S: Stack>() -> Result<(S, Ends<S::Connection>)> {
    let stack = within("bind", S::bind()).await?;
    let mut ends = within("connect", stack.connect()).await?;
    within("open", S::Connection::open(&mut ends)).await?;
    Ok((stack, ends))
}

/// A task of one side of a connection.
type Task<T> = JoinHandle<Result<T>>;

fn spawn<T: Send + 'static>(side: impl Future<Output = Result<T>> + Send + 'static) -> Task<T> {
    tokio::spawn(side)
}
