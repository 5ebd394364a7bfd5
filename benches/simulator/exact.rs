//! Whether messages arrive exactly when the links' latencies say.

use std::time::Duration;

use p2p_benches::{Error, Result};
use p2p_simulator::{LinkProfile, Simulation};
use tokio::time::sleep;

use crate::meter::Plan;
use crate::pair::YEAR;
use crate::wire::{Receiver, Sender, Wire};

/// Pairs of hosts that talk at the same time.
const PAIRS: u64 = 25;

/// The largest difference in nanoseconds. Requests leave on a timer's whole milliseconds, replies in
/// between, at once when the request has come.
pub(crate) fn error<W: Wire>(plan: Plan) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async |network| {
        let (mut talks, mut endpoints) = (Vec::new(), Vec::new());
        for number in 0..PAIRS {
            // No two alike, none of whole microseconds, some less than tokio's millisecond.
            let latency =
                move |way: u64| Duration::from_nanos(300_007 + (2 * number + way) * 1_299_721);
            let (a, b) = (network.host("a"), network.host("b"));
            network.set_link_one_way(&a, &b, &LinkProfile::new().with_latency(latency(0)))?;
            network.set_link_one_way(&b, &a, &LinkProfile::new().with_latency(latency(1)))?;
            let (a, b) = (W::endpoint(&a).await?, W::endpoint(&b).await?);
            let (near, far) = W::connect(&a, &b).await?;
            let ((mut requests, mut replies), (mut replying, mut requested)) =
                (W::split(near), W::split(far));
            let replier = tokio::spawn({
                let network = network.clone();
                async move {
                    let mut worst = 0;
                    while let Ok(request) = requested.recv().await {
                        worst = worst.max(off(&request, network.elapsed(), latency(0))?);
                        replying.send(&stamp(network.elapsed())).await?;
                    }
                    Ok::<_, Error>(worst)
                }
            });
            endpoints.push((a, b));
            let clock = network.clone();
            talks.push(tokio::spawn(async move {
                let mut worst = 0;
                for count in 0..plan.arrivals {
                    sleep(Duration::from_millis(count % 7)).await;
                    requests.send(&stamp(clock.elapsed())).await?;
                    let reply = replies.recv().await?;
                    worst = worst.max(off(&reply, clock.elapsed(), latency(1))?);
                }
                drop((requests, replies));
                let replied = replier.await??;
                Ok::<_, Error>(worst.max(replied))
            }));
        }
        let mut worst = 0;
        for talk in talks {
            worst = worst.max(talk.await??);
        }
        Ok::<_, Error>(vec![worst as f64])
    })?;
    run.output
}

fn stamp(now: Duration) -> [u8; 16] {
    now.as_nanos().to_be_bytes()
}

fn off(message: &[u8], now: Duration, latency: Duration) -> Result<u128> {
    let sent = u128::from_be_bytes(message.try_into()?);
    Ok(now.as_nanos().abs_diff(sent + latency.as_nanos()))
}
