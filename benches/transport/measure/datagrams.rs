//! The rate of datagrams that arrive, and how many do not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_benches::Result;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::measure::rate::Gauge;
use crate::measure::{Plan, SMALL, Samples, Task, ready, spawn, within};
use crate::metrics;
use crate::stack::{Connection, Ends, Stack};

/// Datagrams that may be on their way: as many as every stack's buffers hold. Nothing else would
/// hold the sender back, and who sends without an eye on the receiver measures what is thrown away.
const DATAGRAMS_UNDERWAY: usize = 4096;
/// How many datagrams' arrival is reported to the sender at once.
const DATAGRAM_BATCH: u32 = 64;
/// After so long without news from the receiver, a batch counts as lost.
const DATAGRAM_LOST_AFTER: Duration = Duration::from_millis(5);

/// Datagrams delivered per second, and how many of a hundred were lost.
pub(super) async fn datagrams<S: Stack>(plan: Plan) -> Result<Samples> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    let gauge = Arc::new(Gauge::default());
    let room = Arc::new(Semaphore::new(DATAGRAMS_UNDERWAY));
    let receiver: Task<()> = spawn({
        let (gauge, room) = (gauge.clone(), room.clone());
        async move {
            let mut received = 0;
            loop {
                let length = acceptor.recv_datagram().await?.len();
                if length != SMALL {
                    return Err(format!("a datagram of {length} bytes").into());
                }
                received += 1;
                gauge.set_delivered(received);
                if received % u64::from(DATAGRAM_BATCH) == 0 {
                    room.add_permits(DATAGRAM_BATCH as usize);
                }
            }
        }
    });
    let sender = spawn({
        let gauge = gauge.clone();
        async move {
            let datagram = Bytes::from(vec![0x5a; SMALL]);
            let mut sent = 0;
            while gauge.goes_on() {
                // Room that nobody gives back belongs to datagrams that are lost.
                if let Ok(permit) =
                    timeout(DATAGRAM_LOST_AFTER, room.acquire_many(DATAGRAM_BATCH)).await
                {
                    permit?.forget();
                }
                for _ in 0..DATAGRAM_BATCH {
                    dialler.send_datagram(datagram.clone())?;
                    sent += 1;
                }
            }
            Ok((dialler, sent))
        }
    });
    let rate = gauge.rate(plan).await;
    let (_dialler, sent) = within("bring to an end", async { sender.await? }).await?;
    let received = within("drain", drain(&gauge, sent)).await?;
    if receiver.is_finished() {
        // It never ends but by an error.
        receiver.await??;
    } else {
        receiver.abort();
    }
    within("shut down", stack.shutdown()).await?;
    let lost_percent = (sent - received) as f64 / sent as f64 * 100.0;
    Ok(vec![
        (metrics::DATAGRAMS_64, rate.per_s),
        (metrics::DATAGRAMS_64_CPU, rate.cpu_s_each * 1e9),
        (metrics::DATAGRAMS_LOST, lost_percent),
    ])
}

/// Waits until all has come, or nothing more does, and tells how many that is.
async fn drain(gauge: &Gauge, sent: u64) -> Result<u64> {
    let mut before = None;
    loop {
        let received = gauge.delivered();
        if received >= sent || before == Some(received) {
            return Ok(received);
        }
        before = Some(received);
        sleep(10 * DATAGRAM_LOST_AFTER).await;
    }
}
