//! How long connecting takes.

use p2p_benches::{Metric, Result, median};
use tokio::time::Instant;

use crate::measure::{Plan, Samples, within};
use crate::metrics;
use crate::stack::Stack;

/// The time of a first connection between new ends, and of a second beside it.
pub(super) async fn connect<S: Stack>(plan: Plan) -> Result<Samples> {
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..plan.connects {
        let stack = within("bind", S::bind()).await?;
        let timed = async |stage| {
            let start = Instant::now();
            let ends = within(stage, stack.connect()).await?;
            Result::<_>::Ok((start.elapsed().as_secs_f64() * 1e3, ends))
        };
        let (time, _first) = timed("connect cold").await?;
        cold.push(time);
        if S::SECOND_CONNECTION {
            let (time, _second) = timed("connect warm").await?;
            warm.push(time);
        }
        within("shut down", stack.shutdown()).await?;
    }
    let cold = (metrics::CONNECT_COLD, median(&cold));
    let warm = (metrics::CONNECT_WARM, median(&warm));
    let known = |(metric, time): (Metric, Option<f64>)| Some((metric, time?));
    Ok([cold, warm].into_iter().filter_map(known).collect())
}
