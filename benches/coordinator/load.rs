//! Connections that ask over and over, with as little work of their own as can be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use p2p_benches::{Result, percentile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Plan;
use crate::meter::service_cpu;

/// How many ask at once.
pub(crate) const AT_ONCE: u64 = 32;

/// What an answer may take. Far more than any needs: past it, something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked, by its number.
pub(crate) type Ask = Arc<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes()
}

pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection and what it has read.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(64 << 10) })
    }

    /// Asks, and waits for the whole answer, which must be a success.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<()> {
        match timeout(PATIENCE, self.answer(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer after {PATIENCE:?}").into()),
        }
    }

    async fn answer(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.read.len() < whole) {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err("the connection ended".into());
            }
            if whole.is_none() {
                whole = length(&self.read);
            }
        }
        if !self.read.starts_with(b"HTTP/1.1 2") {
            return Err(String::from_utf8_lossy(&self.read).into_owned().into());
        }
        Ok(())
    }
}

/// How long the answer is, once its headers are there.
fn length(read: &[u8]) -> Option<usize> {
    let end = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..end]).ok()?;
    let body = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    Some(end + body.parse::<usize>().ok()?)
}

/// What was measured over some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Answers a second.
    pub(crate) per_s: f64,
    /// What one cost the service, in microseconds.
    pub(crate) cpu_us: f64,
}

/// How many answers there are when each connection asks as soon as it was answered.
pub(crate) async fn rate(address: SocketAddr, ask: Ask, plan: Plan) -> Result<Rate> {
    let (asked, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut workers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (ask, asked, done) = (ask.clone(), asked.clone(), done.clone());
        workers.spawn(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                connection.ask(&ask(asked.fetch_add(1, Ordering::Relaxed))).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let count = async {
        sleep(plan.warm_up).await;
        let (before, start) = (done.load(Ordering::Relaxed), Instant::now());
        let spent = service_cpu().await?;
        sleep(plan.window).await;
        let answered = (done.load(Ordering::Relaxed) - before) as f64;
        let (took, spent) = (start.elapsed(), service_cpu().await? - spent);
        let cpu_us = spent.as_secs_f64() * 1e6 / answered;
        Ok(Rate { per_s: answered / took.as_secs_f64(), cpu_us })
    };
    tokio::select! {
        biased;
        Some(ended) = workers.join_next() => {
            ended??;
            Err("a connection has nothing more to ask".into())
        }
        rate = count => rate,
    }
}

/// The 99th percentile of the time to the answer, in milliseconds, from when the request was due, at
/// so many a second. Numbers go on from `first`.
pub(crate) async fn p99(
    address: SocketAddr,
    ask: Ask,
    first: u64,
    per_s: f64,
    plan: Plan,
) -> Result<f64> {
    let mut workers: JoinSet<Result<Vec<f64>>> = JoinSet::new();
    let each = Duration::from_secs_f64(AT_ONCE as f64 / per_s);
    let start = Instant::now() + Duration::from_millis(10);
    for worker in 0..AT_ONCE {
        let ask = ask.clone();
        workers.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut times = Vec::new();
            let mut due = start + each.mul_f64(worker as f64 / AT_ONCE as f64);
            let mut number = first + worker;
            while due < start + plan.warm_up + plan.window {
                sleep_until(due).await;
                connection.ask(&ask(number)).await?;
                if due >= start + plan.warm_up {
                    times.push(due.elapsed().as_secs_f64() * 1000.0);
                }
                due += each;
                number += AT_ONCE;
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = workers.join_next().await {
        times.extend(ended??);
    }
    percentile(&times, 99.0).ok_or_else(|| "no request was due".into())
}
