//! The rates of what is reliable: bulk and messages.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use p2p_benches::{Result, cpu_time};
use tokio::time::{Instant, sleep};

use crate::CHUNK;
use crate::measure::{Plan, ready, spawn, within};
use crate::stack::{Connection, Ends, Stack};

/// Bytes on one stream.
pub(super) async fn bulk<S: Stack>(plan: Plan) -> Result<Rate> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    let gauge = Arc::new(Gauge::default());
    let sender = {
        let gauge = gauge.clone();
        async move {
            let chunk = Bytes::from(vec![0x5a; CHUNK]);
            let mut sent = 0;
            while gauge.goes_on() {
                dialler.write(chunk.clone()).await?;
                sent += chunk.len() as u64;
            }
            dialler.finish().await?;
            Ok((dialler, sent))
        }
    };
    let receiver = {
        let gauge = gauge.clone();
        async move {
            let mut received = 0;
            loop {
                match acceptor.read().await? {
                    0 => return Ok((acceptor, received)),
                    bytes => received += bytes as u64,
                }
                gauge.set_delivered(received);
            }
        }
    };
    let rate = rate(plan, gauge, sender, receiver).await?;
    within("shut down", stack.shutdown()).await?;
    Ok(rate)
}

/// Messages, as fast as they go.
pub(super) async fn messages<S: Stack>(size: usize, plan: Plan) -> Result<Rate> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    let gauge = Arc::new(Gauge::default());
    let sender = {
        let gauge = gauge.clone();
        async move {
            let message = Bytes::from(vec![0x5a; size]);
            let mut sent = 0;
            while gauge.goes_on() {
                dialler.queue(&message).await?;
                sent += 1;
            }
            // Empty: the last.
            dialler.queue(&Bytes::new()).await?;
            dialler.flush().await?;
            Ok((dialler, sent))
        }
    };
    let receiver = {
        let gauge = gauge.clone();
        async move {
            let mut received = 0;
            loop {
                match acceptor.recv().await?.len() {
                    0 => return Ok((acceptor, received)),
                    length if length == size => received += 1,
                    length => return Err(format!("a message of {length} bytes").into()),
                }
                gauge.set_delivered(received);
            }
        }
    };
    let rate = rate(plan, gauge, sender, receiver).await?;
    within("shut down", stack.shutdown()).await?;
    Ok(rate)
}

/// What sender, receiver and the one who measures tell each other.
#[derive(Default)]
pub(super) struct Gauge {
    delivered: Apart<AtomicU64>,
    stop: Apart<AtomicBool>,
}

/// In a cache line of its own, and its neighbour: what one side reads for each message must not be where
/// the other writes for each, or they measure the machine's caches.
#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl Gauge {
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.0.load(Ordering::Relaxed)
    }

    /// A plain store: it must not cost the receiver more than its own work does.
    pub(super) fn set_delivered(&self, total: u64) {
        self.delivered.0.store(total, Ordering::Relaxed);
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.0.load(Ordering::Relaxed)
    }

    /// What is delivered, once warm; then tells the sender to stop.
    pub(super) async fn rate(&self, plan: Plan) -> Rate {
        sleep(plan.warm_up).await;
        let (before, start, spent_before) = (self.delivered(), Instant::now(), cpu_time());
        sleep(plan.window).await;
        let (after, time, spent) = (self.delivered(), start.elapsed(), cpu_time() - spent_before);
        self.stop.0.store(true, Ordering::Relaxed);
        let count = (after - before) as f64;
        Rate { per_s: count / time.as_secs_f64(), cpu_s_each: spent.as_secs_f64() / count }
    }
}

/// How fast something was delivered, and at what cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_s: f64,
    /// Of both ends.
    pub(super) cpu_s_each: f64,
}

/// Runs sender and receiver until the rate is known, then to their end. They resolve to their side
/// of the connection, because dropping it would close it, and to how much they sent and received.
async fn rate<C: Send + 'static>(
    plan: Plan,
    gauge: Arc<Gauge>,
    sender: impl Future<Output = Result<(C, u64)>> + Send + 'static,
    receiver: impl Future<Output = Result<(C, u64)>> + Send + 'static,
) -> Result<Rate> {
    let (sender, receiver) = (spawn(sender), spawn(receiver));
    let rate = gauge.rate(plan).await;
    let ((_dialler, sent), (_acceptor, received)) = within("bring to an end", async {
        let (sender, receiver) = tokio::try_join!(sender, receiver)?;
        Ok((sender?, receiver?))
    })
    .await?;
    if sent != received {
        return Err(format!("{sent} were sent and {received} received").into());
    }
    Ok(rate)
}
