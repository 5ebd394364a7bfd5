//! How each metric is measured, on any stack.
//!
//! Rates are those at the receiver in the middle of a longer run: a warm-up lets windows open, then
//! two readings of what was delivered are set in relation to the time between them. Afterwards the
//! run is brought to its end, and what was sent must all have arrived. Every measurement has new
//! ends and a new connection, whose handshake it does not count; only connecting is about that.

use std::future::Future;
use std::time::Duration;

use p2p_benches::{Metric, Result, median, percentile};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::metrics::{self, Trial};
use crate::stack::{Apart, Connection, Ends, Stack};

mod connect;
mod datagrams;
mod far;
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
    pub(crate) far_connects: usize,
    /// Urgent messages.
    pub(crate) urgent: u32,
}

/// What a trial gives: one number for each of its metrics.
pub(crate) type Samples = Vec<(Metric, f64)>;

/// Measures one thing on one stack. `None` if the stack does not have it.
pub(crate) async fn run<S: Stack>(trial: Trial, plan: Plan) -> Result<Option<Samples>> {
    let samples = match trial {
        Trial::Bulk => {
            let (rate, mib) = (rate::bulk::<S>(plan).await?, f64::from(1 << 20));
            vec![
                (metrics::BULK, rate.per_s / mib),
                (metrics::BULK_CPU, rate.cpu_s_each * mib * 1e6),
            ]
        }
        Trial::Messages64 => {
            let rate = rate::messages::<S>(64, plan).await?;
            vec![
                (metrics::MESSAGES_64, rate.per_s),
                (metrics::MESSAGES_64_CPU, rate.cpu_s_each * 1e9),
            ]
        }
        Trial::Messages1k => {
            let rate = rate::messages::<S>(1024, plan).await?;
            vec![
                (metrics::MESSAGES_1K, rate.per_s),
                (metrics::MESSAGES_1K_CPU, rate.cpu_s_each * 1e9),
            ]
        }
        Trial::PingPong => {
            let round_trips = ping_pong::ping_pong::<S>(plan).await?;
            let at = |percent| percentile(&round_trips, percent).ok_or("no round trip");
            vec![(metrics::PING_PONG_P50, at(50.0)?), (metrics::PING_PONG_P99, at(99.0)?)]
        }
        Trial::Datagrams if !S::DATAGRAMS => return Ok(None),
        Trial::Datagrams => datagrams::datagrams::<S>(plan).await?,
        Trial::Connect => connect::connect::<S>(plan).await?,
        Trial::ConnectFar | Trial::Urgent | Trial::Features => return Ok(None),
    };
    Ok(Some(samples))
}

/// As [`run`], of a stack whose ends can be kept apart.
pub(crate) async fn run_apart<S: Apart>(trial: Trial, plan: Plan) -> Result<Option<Samples>> {
    match trial {
        Trial::ConnectFar => far::connect::<S>(plan).await.map(Some),
        Trial::Urgent => far::urgent::<S>(plan).await.map(Some),
        near => run::<S>(near, plan).await,
    }
}

/// What `With` costs in relation to `Without`: CPU time for each message of 64 bytes.
pub(crate) async fn features<Without: Stack, With: Stack>(plan: Plan) -> Result<Samples> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        with.push(rate::messages::<With>(SMALL, plan).await?.cpu_s_each);
        without.push(rate::messages::<Without>(SMALL, plan).await?.cpu_s_each);
    }
    let cost = |samples: &[f64]| median(samples).ok_or("nothing was delivered");
    Ok(vec![(metrics::FEATURES_COST, cost(&with)? / cost(&without)?)])
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
