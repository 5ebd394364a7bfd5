//! Many hosts, each with a little to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_benches::{Error, Result};
use p2p_simulator::{LinkProfile, Network, Simulation};
use tokio::time::{Instant, sleep, sleep_until};

use crate::meter::{Meter, Plan, peak_resident_kib};
use crate::pair::YEAR;
use crate::wire::{Receiver, Sender, Wire};

const SECOND: Duration = Duration::from_secs(1);
/// More than it takes to connect two of them.
const CONNECTING: Duration = SECOND;

/// 40 to 60 ms.
pub(crate) fn far() -> LinkProfile {
    let millis = Duration::from_millis;
    LinkProfile::new().with_latency(millis(40)).with_jitter(millis(20))
}

/// Virtual seconds per second of CPU time, and the most memory in MiB.
pub(crate) fn virtual_seconds<W: Wire>(plan: Plan, hosts: usize) -> Result<Vec<f64>> {
    let run = Simulation::new(1).with_link(far()).with_time_limit(YEAR).run(async |network| {
        // A time of which all know already when they are made, one by one: so nobody is kept twice.
        let begin = Instant::now() + CONNECTING * u32::try_from(hosts)?;
        let arrived = Arc::new(AtomicU64::new(0));
        let mut random = Random::new(1);
        let ring = Ring::<W>::start(&network, hosts, |mut sender, mut receiver| {
            let offset = Duration::from_millis(random.below(1000) as u64);
            tokio::spawn(async move {
                sleep_until(begin + offset).await;
                while sender.send(&[7; 64]).await.is_ok() {
                    sleep(SECOND).await;
                }
            });
            let arrived = arrived.clone();
            tokio::spawn(async move {
                while receiver.recv().await.is_ok() {
                    arrived.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let ring = ring.await?;
        // Past the first second of all, and what that needs for the first time.
        sleep_until(begin + 2 * SECOND).await;
        arrived.store(0, Ordering::Relaxed);
        let mut meter = Meter::start(plan, 1.0);
        let mut seconds = 0;
        let rate = loop {
            sleep(SECOND).await;
            seconds += 1;
            if let Some(rate) = meter.add(1.0) {
                break rate;
            }
        };
        let (arrived, expected) = (arrived.load(Ordering::Relaxed), hosts as u64 * seconds);
        // A jitter of 20 ms in a second of random offsets moves some 2 % of a second's arrivals.
        if arrived.abs_diff(expected) > hosts as u64 / 4 {
            return Err(format!("{arrived} of {expected} messages arrived").into());
        }
        // This process ends next. To take the hosts down one by one is not what is measured, and may
        // take far longer.
        std::mem::forget(ring);
        Ok::<_, Error>(rate)
    })?;
    Ok(vec![run.output?, peak_resident_kib()? / 1024.0])
}

/// Hosts in a circle of no order, each connected to the next.
pub(crate) struct Ring<W: Wire> {
    /// The directions from each to the one before, and the endpoints: they must live on.
    _rest: Vec<(W::Receiver, W::Sender)>,
    _endpoints: Vec<W::Endpoint>,
}

impl<W: Wire> Ring<W> {
    /// Gives each direction from one to the next away as it is made: where the one sends, and where
    /// the other receives.
    pub(crate) async fn start(
        network: &Network,
        hosts: usize,
        mut way: impl FnMut(W::Sender, W::Receiver),
    ) -> Result<Self> {
        let mut endpoints = Vec::with_capacity(hosts);
        for number in 0..hosts {
            endpoints.push(W::endpoint(&network.host(&number.to_string())).await?);
        }
        let order = Random::new(2).order(hosts);
        let mut rest = Vec::with_capacity(hosts);
        for (place, &from) in order.iter().enumerate() {
            let to = order[(place + 1) % hosts];
            let (near, far) = W::connect(&endpoints[from], &endpoints[to]).await?;
            let ((sender, back), (replies, receiver)) = (W::split(near), W::split(far));
            way(sender, receiver);
            rest.push((back, replies));
        }
        Ok(Self { _rest: rest, _endpoints: endpoints })
    }
}

/// SplitMix64: enough to shuffle hosts by, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..count).collect();
        for place in (1..count).rev() {
            order.swap(place, self.below(place + 1));
        }
        order
    }
}
