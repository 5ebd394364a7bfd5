//! What idle hosts and connections weigh.

use p2p_benches::Result;
use p2p_simulator::Simulation;

use crate::meter::{Plan, resident_kib};
use crate::pair::YEAR;
use crate::wire::Wire;

/// KiB for an endpoint on a host of its own, and for a connection from it to the next.
pub(crate) fn idle<W: Wire>(plan: Plan) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async |network| {
        let hosts = plan.idle_hosts;
        let mut endpoints = Vec::with_capacity(hosts + 2);
        let mut connections = Vec::with_capacity(hosts + 2);
        // One pair first: what is made once, and the runtime's first pages.
        endpoints.push(W::endpoint(&network.host("first")).await?);
        endpoints.push(W::endpoint(&network.host("second")).await?);
        connections.push(W::connect(&endpoints[0], &endpoints[1]).await?);

        let before = resident_kib()?;
        for number in 0..hosts {
            endpoints.push(W::endpoint(&network.host(&number.to_string())).await?);
        }
        let with_hosts = resident_kib()?;
        for pair in endpoints[1..].windows(2) {
            connections.push(W::connect(&pair[0], &pair[1]).await?);
        }
        let with_links = resident_kib()?;
        Ok([with_hosts - before, with_links - with_hosts].map(|kib| kib / hosts as f64).into())
    })?;
    run.output
}
