//! Whole runs, one after the other, each with a seed of its own.

use std::time::Duration;

use p2p_benches::{Error, Result};
use p2p_simulator::{LinkProfile, Simulation, TraceHash};
use tokio::time::sleep;

use crate::child::{Task, expect_answer, start};
use crate::hosts::{Random, Ring, far};
use crate::meter::{Meter, Plan};
use crate::wire::{Receiver, Sender, Wire};

const HOSTS: usize = 10;
/// From each host, one a second.
const MESSAGES: usize = 60;

/// Runs per second of CPU time.
pub(crate) fn rate<W: Wire>(plan: Plan) -> Result<Vec<f64>> {
    let mut meter = Meter::start(plan, 1.0);
    let mut seed = 0;
    loop {
        one::<W>(seed, far())?;
        seed += 1;
        if let Some(rate) = meter.add(1.0) {
            return Ok(vec![rate]);
        }
    }
}

fn one<W: Wire>(seed: u64, link: LinkProfile) -> Result<TraceHash> {
    let run = Simulation::new(seed).with_link(link).run(async |network| {
        let mut random = Random::new(seed);
        let mut ways = Vec::with_capacity(HOSTS);
        let _ring = Ring::<W>::start(&network, HOSTS, |from, to| ways.push((from, to))).await?;
        let mut receiving = Vec::new();
        let mut sending = Vec::new();
        for (mut sender, mut receiver) in ways {
            let offset = Duration::from_millis(random.below(1000) as u64);
            sending.push(tokio::spawn(async move {
                sleep(offset).await;
                for _ in 0..MESSAGES {
                    sender.send(&[7; 64]).await?;
                    sleep(Duration::from_secs(1)).await;
                }
                // Returned, as dropping it would end the link.
                Ok::<_, Error>(sender)
            }));
            receiving.push(tokio::spawn(async move {
                for _ in 0..MESSAGES {
                    receiver.recv().await?;
                }
                Ok::<_, Error>(())
            }));
        }
        for receiver in receiving {
            receiver.await??;
        }
        for sender in sending {
            sender.await??;
        }
        Ok::<_, Error>(())
    })?;
    run.output?;
    Ok(run.trace_hash)
}

/// The trace hashes of so many runs on links with every fault that costs no message.
pub(crate) fn hashes<W: Wire>(seeds: u64) -> Result<Vec<String>> {
    let link = far().with_loss(0.05).with_bandwidth(1_000_000);
    (0..seeds).map(|seed| Ok(one::<W>(seed, link.clone())?.to_string())).collect()
}

/// How many seeds have another hash in a second process.
pub(crate) fn differing_hashes(plan: Plan, task: Task) -> Result<Vec<f64>> {
    let children = [start(task, plan)?, start(task, plan)?];
    let [one, other] = children.map(expect_answer::<String>);
    let (one, other) = (one?, other?);
    if one.len() as u64 != plan.seeds || other.len() != one.len() {
        return Err("a process did not run all the seeds".into());
    }
    Ok(vec![one.iter().zip(&other).filter(|(one, other)| one != other).count() as f64])
}
