//! How long the dialler's side of connecting takes, in virtual time.

use std::time::Duration;

use p2p_benches::Result;
use p2p_simulator::{LinkProfile, Simulation};
use tokio::time::Instant;

use crate::wire::Wire;

/// Milliseconds at 20 ms one way: the same in each run.
pub(crate) fn time<W: Wire>() -> Result<Vec<f64>> {
    let link = LinkProfile::new().with_latency(Duration::from_millis(20));
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let (from, to) = (network.host("a"), network.host("b"));
        let (from, to) = (W::endpoint(&from).await?, W::endpoint(&to).await?);
        let start = Instant::now();
        let dial = async {
            let near = W::dial(&from, &to).await?;
            Result::<_>::Ok((near, start.elapsed()))
        };
        let ((_near, time), _far) = tokio::try_join!(biased; dial, W::accept(&to))?;
        Result::<_>::Ok(time)
    })?;
    Ok(vec![run.output?.as_secs_f64() * 1e3])
}
