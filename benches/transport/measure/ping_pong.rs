//! The latency of a small message.

use bytes::Bytes;
use p2p_benches::Result;
use tokio::time::Instant;

use crate::measure::{Plan, SMALL, ready, spawn, within};
use crate::stack::{Connection, Ends, Stack};

/// The round trips of a small message, one at a time, in microseconds.
pub(super) async fn ping_pong<S: Stack>(plan: Plan) -> Result<Vec<f64>> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    let echo = spawn(async move {
        loop {
            let message = acceptor.recv().await?;
            if message.is_empty() {
                return Ok(acceptor);
            }
            acceptor.send(&message).await?;
        }
    });
    let pings = spawn(async move {
        let message = Bytes::from(vec![0x5a; SMALL]);
        let mut round_trips = Vec::with_capacity(plan.pings);
        let warm_up = plan.pings / 5;
        for ping in 0..warm_up + plan.pings {
            let start = Instant::now();
            dialler.send(&message).await?;
            let answer = dialler.recv().await?;
            if answer.len() != SMALL {
                return Err(format!("an answer of {} bytes", answer.len()).into());
            }
            if ping >= warm_up {
                round_trips.push(start.elapsed().as_secs_f64() * 1e6);
            }
        }
        dialler.send(&Bytes::new()).await?;
        Ok((dialler, round_trips))
    });
    let (_acceptor, (_dialler, round_trips)) = within("ping and pong", async {
        let (acceptor, pings) = tokio::try_join!(echo, pings)?;
        Ok((acceptor?, pings?))
    })
    .await?;
    within("shut down", stack.shutdown()).await?;
    Ok(round_trips)
}
