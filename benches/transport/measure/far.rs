//! What is measured over a slow and distant link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_benches::{Result, median, percentile};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use crate::measure::{Plan, Samples, Task, spawn, within};
use crate::metrics;
use crate::shaper::{Passed, Profile, Shaper};
use crate::stack::{Apart, Connection, Ends, Lanes};

const DELAY: Duration = Duration::from_millis(20);
/// The bottleneck: 20 Mbit/s behind a queue of at most 100 ms.
const SLOW: Profile =
    Profile { delay: DELAY, rate: Some(20_000_000), queue: Duration::from_millis(100) };
const DISTANT: Profile = Profile { delay: DELAY, rate: None, queue: Duration::ZERO };

const BULK: usize = 16 * 1024;
const URGENT: usize = 8;
/// Between urgent messages.
const PACE: Duration = Duration::from_millis(10);
/// Until bulk has filled the queue, and its congestion controller has settled.
const SETTLE: Duration = Duration::from_secs(3);

/// How long the dialler's side of connecting takes at 20 ms one way.
pub(super) async fn connect<S: Apart>(plan: Plan) -> Result<Samples> {
    let mut times = Vec::new();
    for _ in 0..plan.far_connects {
        let (_shaper, stack, _ends, time) = connected::<S>(DISTANT).await?;
        times.push(time.as_secs_f64() * 1e3);
        within("shut down", stack.shutdown()).await?;
    }
    let time = median(&times).ok_or("no connection")?;
    Ok(vec![(metrics::CONNECT_40MS_RTT, time)])
}

async fn connected<S: Apart>(
    profile: Profile,
) -> Result<(Shaper, S, Ends<S::Connection>, Duration)> {
    let stack = within("bind", S::bind_apart()).await?;
    let shaper = Shaper::start(stack.acceptor_addr()?, profile)?;
    let dial = async {
        let start = Instant::now();
        let dialler = stack.dial(shaper.entrance()).await?;
        Result::<_>::Ok((dialler, start.elapsed()))
    };
    let both = async { tokio::try_join!(dial, stack.accept()) };
    let ((dialler, time), acceptor) = within("connect", both).await?;
    Ok((shaper, stack, Ends { dialler, acceptor }, time))
}

/// How long an urgent message and its echo take beside bulk that fills the bottleneck, and how much of
/// that the message waits at its sender.
pub(super) async fn urgent<S: Apart>(plan: Plan) -> Result<Samples> {
    let (shaper, stack, ends, _) = connected::<S>(SLOW).await?;
    let Lanes { mut bulk, urgent, echoes, takers, echo } = within("open", S::lanes(ends)).await?;
    let flood: Task<()> = spawn(async move {
        let chunk = Bytes::from(vec![0x5a; BULK]);
        loop {
            bulk.send(&chunk).await?;
        }
    });
    let echo = Arc::new(Mutex::new(echo));
    let (came, mut cames) = unbounded_channel();
    let takers = takers.into_iter();
    let takers = takers.map(|taker| spawn(take(taker, echo.clone(), shaper.forth(), came.clone())));
    let takers: Vec<Task<()>> = takers.collect();
    sleep(SETTLE).await;

    let pacing = spawn(pace(urgent, plan.urgent));
    let echoed = within("echo", echoed(echoes, plan.urgent)).await?;
    let (_urgent, sent) = pacing.await??;
    let millis =
        |later: Instant, earlier| later.saturating_duration_since(earlier).as_secs_f64() * 1e3;
    let trips: Vec<_> = sent.iter().zip(&echoed).map(|(sent, back)| millis(*back, *sent)).collect();
    let mut waits = Vec::new();
    for sent in sent {
        let came = cames.recv().await.flatten().ok_or("no packet brought it")?;
        waits.push(millis(came, sent));
    }
    takers.iter().for_each(Task::abort);
    flood.abort();
    within("shut down", stack.shutdown()).await?;
    let at = |samples: &[f64], percent| percentile(samples, percent).ok_or("no sample");
    Ok(vec![
        (metrics::URGENT_P50, at(&trips, 50.0)?),
        (metrics::URGENT_P99, at(&trips, 99.0)?),
        (metrics::URGENT_WAIT_P99, at(&waits, 99.0)?),
    ])
}

/// Receives, and sends back what is urgent. Tells when the packet that brought it came to the link: the
/// last that has gone on, or one before it, so that is the latest that it can have been.
async fn take<C: Connection>(
    mut taker: C,
    echo: Arc<Mutex<C>>,
    passed: Arc<Passed>,
    came: UnboundedSender<Option<Instant>>,
) -> Result<()> {
    loop {
        let message = taker.recv().await?;
        if message.len() == URGENT {
            came.send(passed.came_of_last(Instant::now()))?;
            echo.lock().await.send(&message).await?;
        }
    }
}

/// Sends by the clock, whatever comes back.
async fn pace<C: Connection>(mut urgent: C, count: u32) -> Result<(C, Vec<Instant>)> {
    let (message, start) = (Bytes::from(vec![0x5a; URGENT]), Instant::now());
    let mut sent = Vec::new();
    for number in 0..count {
        sleep_until(start + PACE * number).await;
        sent.push(Instant::now());
        urgent.send(&message).await?;
    }
    Ok((urgent, sent))
}

async fn echoed<C: Connection>(mut echoes: C, count: u32) -> Result<Vec<Instant>> {
    let mut echoed = Vec::new();
    for _ in 0..count {
        echoes.recv().await?;
        echoed.push(Instant::now());
    }
    Ok(echoed)
}
