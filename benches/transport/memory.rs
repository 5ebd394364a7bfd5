//! What our connection takes of the heap above raw iroh's, with a counting allocator.
//!
//! ```text
//! cargo bench -p p2p-benches --bench memory
//! ```
//!
//! A bench of its own, because counting makes each allocation dearer, and would be measured along with
//! everything else in `--bench transport`.
//!
//! | metric | what |
//! |---|---|
//! | `idle_connection_kib` | heap that an end of a connection holds that says nothing |
//! | `connection_kib` | how much of that is above raw iroh's |
//! | `allocations_per_message` | 64 bytes, `send` and `recv`, as fast as they go: all allocations of the process, QUIC's and the runtime's among them. Raw iroh's messages are framed by hand, in batches of 16 KiB |
//! | `allocations_per_round_trip` | the same of 64 bytes there and back, one at a time |
//!
//! Both ends live in this process, on one runtime with two worker threads; connections are many between
//! the same two endpoints.

use std::alloc::System;
use std::fmt::Write as _;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use p2p_benches::{Arguments, Better, Metric, Report, Result, median};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tokio::time::{sleep, timeout};

mod framing;
#[allow(dead_code, reason = "the transport bench uses the rest")]
mod ours;
mod raw_iroh;
#[allow(dead_code, reason = "the transport bench uses the rest")]
mod stack;

use ours::{Ours, Plain};
use raw_iroh::RawIroh;
use stack::{Connection, Ends, Stack};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How much is asked of a stream at once.
const CHUNK: usize = 64 * 1024;
const MESSAGE: usize = 64;
/// Far more than any step needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Handshakes leave work behind: acknowledgements, the search for the largest packet.
const REST: Duration = Duration::from_secs(1);

const IDLE: Metric = Metric::new("idle_connection_kib", "KiB", Better::Lower);
const CONNECTION: Metric = Metric::new("connection_kib", "KiB above raw iroh", Better::Lower);
const PER_MESSAGE: Metric = Metric::new("allocations_per_message", "allocations", Better::Lower);
const PER_ROUND_TRIP: Metric =
    Metric::new("allocations_per_round_trip", "allocations", Better::Lower);

/// Counts what our connection takes of the heap, beside raw iroh's
#[derive(Debug, Parser)]
#[command(name = "memory")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

#[derive(Clone, Copy)]
struct Plan {
    connections: usize,
    messages: usize,
    round_trips: usize,
}

fn main() -> ExitCode {
    match run(&CommandLine::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let metrics = [IDLE, CONNECTION, PER_MESSAGE, PER_ROUND_TRIP].map(|metric| metric.name);
    if let Some(name) = arguments.only.iter().find(|name| !metrics.contains(&name.as_str())) {
        return Err(format!("no {name:?} here: {}", metrics.join(", ")).into());
    }
    let plan = if arguments.quick {
        Plan { connections: 20, messages: 50_000, round_trips: 500 }
    } else {
        Plan { connections: 200, messages: 1_000_000, round_trips: 5_000 }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments = arguments.clone();
    let measured = runtime.block_on(async { runtime.spawn(rounds(arguments, plan)).await });
    runtime.shutdown_background();
    let report = measured??;
    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    Ok(())
}

async fn rounds(arguments: Arguments, plan: Plan) -> Result<Report> {
    let mut report = Report::new("memory", &[Ours::<Plain>::NAME, RawIroh::NAME]);
    for round in 1..=arguments.rounds() {
        let mut progress = format!("round {round} of {}:", arguments.rounds());
        if arguments.wants(IDLE.name) || arguments.wants(CONNECTION.name) {
            let (ours, raw) = (idle::<Ours>(plan).await?, idle::<RawIroh>(plan).await?);
            write!(progress, " idle connection {ours:.2} KiB, raw iroh {raw:.2},")?;
            report.add(&IDLE, Ours::<Plain>::NAME, ours);
            report.add(&IDLE, RawIroh::NAME, raw);
            report.add(&CONNECTION, Ours::<Plain>::NAME, ours - raw);
        }
        if arguments.wants(PER_MESSAGE.name) {
            let (ours, raw) = (messages::<Ours>(plan).await?, messages::<RawIroh>(plan).await?);
            write!(progress, " for a message {ours:.3}, raw iroh {raw:.3},")?;
            report.add(&PER_MESSAGE, Ours::<Plain>::NAME, ours);
            report.add(&PER_MESSAGE, RawIroh::NAME, raw);
        }
        if arguments.wants(PER_ROUND_TRIP.name) {
            let (ours, raw) = (trips::<Ours>(plan).await?, trips::<RawIroh>(plan).await?);
            write!(progress, " for a round trip {ours:.2}, raw iroh {raw:.2},")?;
            report.add(&PER_ROUND_TRIP, Ours::<Plain>::NAME, ours);
            report.add(&PER_ROUND_TRIP, RawIroh::NAME, raw);
        }
        eprintln!("{}", progress.trim_end_matches(','));
    }
    report.note("Heap as asked for, without the allocator's own; a connection's two ends, halved.");
    Ok(report)
}

/// KiB that an end of an idle connection holds.
async fn idle<S: Stack>(plan: Plan) -> Result<f64> {
    let stack = within("bind", S::bind()).await?;
    let mut held = Vec::with_capacity(plan.connections + 1);
    // What is made once.
    held.push(within("connect", stack.connect()).await?);
    sleep(REST).await;
    let region = Region::new(HEAP);
    for _ in 0..plan.connections {
        held.push(within("connect", stack.connect()).await?);
    }
    // Several looks: now and then something is on its way.
    let mut looks = Vec::new();
    for _ in 0..5 {
        sleep(REST).await;
        looks.push(live(region.change()) / 1024.0 / (2 * plan.connections) as f64);
    }
    within("shut down", stack.shutdown()).await?;
    median(&looks).ok_or_else(|| "no look".into())
}

/// Bytes that were taken and not given back.
fn live(change: Stats) -> f64 {
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

const fn allocations(change: &Stats) -> f64 {
    (change.allocations + change.reallocations) as f64
}

/// Allocations for a message, many of them in one direction.
async fn messages<S: Stack>(plan: Plan) -> Result<f64> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    // Windows and buffers have grown by then.
    let warm_up = plan.messages / 5;
    let count = warm_up + plan.messages;
    let sender = tokio::spawn(async move {
        let message = Bytes::from(vec![0x5a; MESSAGE]);
        for _ in 0..count {
            dialler.queue(&message).await?;
        }
        dialler.flush().await?;
        Result::<_>::Ok(dialler)
    });
    let receiver = tokio::spawn(async move {
        let mut region = Region::new(HEAP);
        for received in 0..count {
            if received == warm_up {
                region.reset();
            }
            acceptor.recv().await?;
        }
        Result::<_>::Ok((acceptor, allocations(&region.change())))
    });
    let both = async { Ok(tokio::try_join!(sender, receiver)?) };
    let (dialler, received) = within("send and receive", both).await?;
    let (_dialler, (_acceptor, allocations)) = (dialler?, received?);
    within("shut down", stack.shutdown()).await?;
    Ok(allocations / plan.messages as f64)
}

/// Allocations for a message there and back.
async fn trips<S: Stack>(plan: Plan) -> Result<f64> {
    let (stack, Ends { mut dialler, mut acceptor }) = ready::<S>().await?;
    let echo = tokio::spawn(async move {
        while let Ok(message) = acceptor.recv().await {
            if acceptor.send(&message).await.is_err() {
                break;
            }
        }
    });
    let message = Bytes::from(vec![0x5a; MESSAGE]);
    let mut region = Region::new(HEAP);
    let warm_up = plan.round_trips / 5;
    for trip in 0..warm_up + plan.round_trips {
        if trip == warm_up {
            region.reset();
        }
        within("send", dialler.send(&message)).await?;
        within("receive", dialler.recv()).await?;
    }
    let allocations = allocations(&region.change());
    echo.abort();
    within("shut down", stack.shutdown()).await?;
    Ok(allocations / plan.round_trips as f64)
}

async fn ready<S: Stack>() -> Result<(S, Ends<S::Connection>)> {
    let stack = within("bind", S::bind()).await?;
    let mut ends = within("connect", stack.connect()).await?;
    within("open", S::Connection::open(&mut ends)).await?;
    Ok((stack, ends))
}

/// The time limit that turns a hang into an error with a name.
async fn within<T>(stage: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, future).await {
        Ok(result) => result.map_err(|error| format!("{stage}: {error}").into()),
        Err(_) => Err(format!("{stage}: not done after {PATIENCE:?}").into()),
    }
}
