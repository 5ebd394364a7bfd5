//! Two hosts: many messages in one direction, or one to and fro.

use std::sync::Arc;
use std::time::Duration;

use p2p_benches::{Error, Result, median};
use p2p_simulator::{Network, Simulation};
use tokio::sync::Semaphore;

use crate::meter::{Meter, Plan};
use crate::wire::{Conn, Featured, Receiver, Sender, Wire};

/// Messages on their way at most.
const IN_FLIGHT: u32 = 64;
/// Messages between two looks at the clock: a thousandth of a second or so.
const LOOK_EVERY: f64 = 2048.0;
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Messages per second of CPU time. The receiver lets the sender go on within the process, by no
/// packet of its own: so do turmoil's credits.
pub(crate) fn messages<W: Wire>(plan: Plan, size: usize) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async |network| {
        let ends = endpoints::<W>(&network).await?;
        let (from, to) = W::connect(&ends.0, &ends.1).await?;
        let ((mut sender, _back), (_replies, mut receiver)) = (W::split(from), W::split(to));
        let room = Arc::new(Semaphore::new(IN_FLIGHT as usize));
        let sending = tokio::spawn({
            let room = room.clone();
            async move {
                let framed = W::Sender::frame(&vec![7; size])?;
                while let Ok(permits) = room.acquire_many(IN_FLIGHT).await {
                    permits.forget();
                    for _ in 0..IN_FLIGHT {
                        sender.send_framed(framed.clone()).await?;
                    }
                }
                Ok::<_, Error>(())
            }
        });
        let mut meter = Meter::start(plan, LOOK_EVERY);
        let rate = loop {
            for _ in 0..IN_FLIGHT {
                if receiver.recv().await?.len() != size {
                    return Err("a message has another size".into());
                }
            }
            if let Some(rate) = meter.add(IN_FLIGHT.into()) {
                break rate;
            }
            room.add_permits(IN_FLIGHT as usize);
        };
        sending.abort();
        Ok::<_, Error>(rate)
    })?;
    run.output.map(|rate| vec![rate])
}

/// Messages per second of CPU time, one in flight.
pub(crate) fn ping_pong<W: Wire>(plan: Plan) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async |network| {
        let ends = endpoints::<W>(&network).await?;
        let (from, to) = W::connect(&ends.0, &ends.1).await?;
        let ((mut sender, mut receiver), (mut replies, mut requests)) =
            (W::split(from), W::split(to));
        let framed = W::Sender::frame(&[7; 64])?;
        let echo = framed.clone();
        let echoing = tokio::spawn(async move {
            while requests.recv().await.is_ok() {
                if replies.send_framed(echo.clone()).await.is_err() {
                    break;
                }
            }
        });
        let pinging = tokio::spawn(async move {
            let mut meter = Meter::start(plan, LOOK_EVERY);
            loop {
                sender.send_framed(framed.clone()).await?;
                receiver.recv().await?;
                if let Some(rate) = meter.add(2.0) {
                    return Ok::<_, Error>(rate);
                }
            }
        });
        let rate = pinging.await?;
        echoing.abort();
        rate
    })?;
    run.output.map(|rate| vec![rate])
}

/// What everything costs that is on and not used, in relation to all off: of messages of 64 bytes.
pub(crate) fn features(plan: Plan) -> Result<Vec<f64>> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        with.extend(messages::<Featured>(plan, 64)?);
        without.extend(messages::<Conn>(plan, 64)?);
    }
    let rate = |samples: &[f64]| median(samples).ok_or("no sample");
    Ok(vec![rate(&without)? / rate(&with)?])
}

async fn endpoints<W: Wire>(network: &Network) -> Result<(W::Endpoint, W::Endpoint)> {
    Ok((W::endpoint(&network.host("a")).await?, W::endpoint(&network.host("b")).await?))
}
