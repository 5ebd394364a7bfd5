//! A year in which nothing happens.

use std::time::Duration;

use p2p_benches::{Error, Result, cpu_time};
use p2p_simulator::Simulation;
use tokio::time::sleep;

use crate::hosts::Ring;
use crate::meter::Plan;
use crate::pair::YEAR;
use crate::wire::Wire;

/// Before that the hosts connect, and a run may not take more than a year.
const SETTING_UP: Duration = Duration::from_secs(3600);

/// Milliseconds of CPU time, without setting up.
pub(crate) fn year<W: Wire>(_plan: Plan) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async |network| {
        let mut ways = Vec::new();
        let ring = Ring::<W>::start(&network, 1000, |from, to| ways.push((from, to))).await?;
        let before = cpu_time();
        sleep(YEAR - SETTING_UP).await;
        let spent = cpu_time() - before;
        drop((ring, ways));
        Ok::<_, Error>(vec![spent.as_secs_f64() * 1000.0])
    })?;
    run.output
}
