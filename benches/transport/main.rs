//! Our iroh backend beside raw iroh, quinn and TCP, on loopback, in one interleaved run.
//!
//! ```text
//! cargo bench -p p2p-benches --bench transport
//! ```
//!
//! # What is compared
//!
//! Both ends live in this process, on one tokio runtime with two worker threads. In each round each
//! metric is measured on all stacks in turn, the order moving on by one with every round; a cell of
//! the table is the median of the rounds. *Ours* is [`P2PConnection`](p2p_transport::P2PConnection)
//! over the iroh backend as it comes. The baseline is iroh with its default settings, and quinn has
//! its own too: what a user of either would have. (The backend's windows are iroh's defaults as well,
//! but for the bound on all streams of a connection together, which no metric here comes near.)
//!
//! | metric | ours | the others |
//! |---|---|---|
//! | `bulk_mib_per_s` | a stream, chunks of 64 KiB | the same |
//! | `msg_64_per_s`, `msg_1k_per_s` | `send` and `recv` | length prefix on one stream, written by hand in batches of 16 KiB |
//! | `pingpong_p50_us`, `pingpong_p99_us` | `send` and `recv` of 64 bytes, there and back | the same framing |
//! | `datagram_64_per_s` | delivered, at most 4096 on their way | the same; TCP has none |
//! | `connect_cold_ms` | new endpoints: `connect` and `accept`, hello and admission included | both handshakes done |
//! | `connect_warm_ms` | a second connection beside the first | the same |
//! | `connect_40ms_rtt_ms` | `connect` at 20 ms one way | the same |
//! | `urgent_beside_bulk_p50_ms`, `.._p99_ms` | 8 bytes there and back each 10 ms, realtime beside a saturated bulk lane | two streams with priorities |
//! | `urgent_wait_at_sender_p99_ms` | how much of that is before the bottleneck, at most | the same |
//! | `features_cost` | CPU time for a message of 64 bytes with everything on but unused, in relation to all off | |
//! | `.._cpu_..` | CPU time for one of the above, both ends and the kernel's work together | the same |
//!
//! The last link is a shaper in this process: UDP from an IPv4 to an IPv6 socket on loopback, so that
//! iroh finds no way around it, 20 ms each way; beside bulk, 20 Mbit/s behind a queue of at most 100 ms.
//! There the goal is 40 ms, the queue's 100 ms and 5 ms more, of which 1 ms at the sender.
//!
//! *Everything on* is resumption, failover, compression from 1 KiB on, `Limited` with its default
//! limits, and the metrics. The counters behind the metrics are the connection's own and always on.
//!
//! TCP neither encrypts nor authenticates: it is the machine's floor, not a rival. With
//! `--features libp2p` there is a column for libp2p over QUIC as well.
//!
//! Ratios hold on a busy machine too; single cells do not. A round trip takes twice as long or more
//! when it changes threads at each step, which depends on whether there is an idle core to change to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use p2p_benches::{Arguments, Report, Result, median};

mod framing;
#[cfg(feature = "libp2p")]
mod libp2p;
mod measure;
mod metrics;
mod ours;
mod quinn;
mod raw_iroh;
mod shaper;
mod stack;
mod tcp;

use measure::{Plan, Samples};
use metrics::{DATAGRAMS_LOST, Trial};
use ours::{Everything, Ours, Plain};
use stack::{Apart, Stack};

/// In what pieces bulk is written, and how much is asked of a stream at once.
const CHUNK: usize = 64 * 1024;

/// Measures our transport beside raw iroh, quinn and TCP, on loopback
#[derive(Debug, Parser)]
#[command(name = "transport")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
    /// Measure only this stack; may be repeated. Without ours there is nothing to report
    #[arg(long, value_name = "NAME")]
    stack: Vec<String>,
}

/// A stack whose type nobody needs to know any more.
struct Contestant {
    name: &'static str,
    run: fn(Trial, Plan) -> Run,
}

type Run = Pin<Box<dyn Future<Output = Result<Option<Samples>>> + Send>>;

impl Contestant {
    const fn of<S: Stack>() -> Self {
        Self { name: S::NAME, run: |trial, plan| Box::pin(measure::run::<S>(trial, plan)) }
    }

    const fn apart<S: Apart>() -> Self {
        Self { name: S::NAME, run: |trial, plan| Box::pin(measure::run_apart::<S>(trial, plan)) }
    }

    const fn ours() -> Self {
        let run = |trial, plan| -> Run {
            if trial != Trial::Features {
                return Box::pin(measure::run_apart::<Ours<Plain>>(trial, plan));
            }
            Box::pin(async move {
                measure::features::<Ours<Plain>, Ours<Everything>>(plan).await.map(Some)
            })
        };
        Self { name: Ours::<Plain>::NAME, run }
    }
}

/// Ours, the baseline, the others: the columns of the report.
const CONTESTANTS: &[Contestant] = &[
    Contestant::ours(),
    Contestant::apart::<raw_iroh::RawIroh>(),
    Contestant::of::<quinn::Quinn>(),
    Contestant::of::<tcp::Tcp>(),
    #[cfg(feature = "libp2p")]
    Contestant::of::<libp2p::Libp2p>(),
];

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transport: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: CommandLine) -> Result<()> {
    check_names(&command_line)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // In a task, so that all work is on the two workers and none on this thread.
    let measured = runtime.block_on(async { runtime.spawn(rounds(command_line)).await });
    // After a hang, tasks may be left that never end.
    runtime.shutdown_background();
    let report = measured??;

    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    Ok(())
}

fn check_names(command_line: &CommandLine) -> Result<()> {
    let metrics: Vec<_> =
        Trial::ALL.iter().flat_map(|trial| trial.metrics()).map(|metric| metric.name).collect();
    let stacks = names();
    for (names, known) in [(&command_line.arguments.only, metrics), (&command_line.stack, stacks)] {
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no {name:?} here: {}", known.join(", ")).into());
        }
    }
    Ok(())
}

const fn plan(quick: bool) -> Plan {
    let millis = Duration::from_millis;
    if quick {
        Plan {
            warm_up: millis(20),
            window: millis(80),
            pings: 500,
            connects: 2,
            far_connects: 1,
            urgent: 50,
        }
    } else {
        Plan {
            warm_up: millis(150),
            window: millis(500),
            pings: 5000,
            connects: 15,
            far_connects: 5,
            urgent: 500,
        }
    }
}

async fn rounds(command_line: CommandLine) -> Result<Report> {
    let CommandLine { arguments, stack: chosen } = command_line;
    let wanted = |contestant: &&Contestant| {
        chosen.is_empty() || chosen.iter().any(|name| name == contestant.name)
    };
    let mut in_turn: Vec<_> = CONTESTANTS.iter().filter(wanted).collect();
    let plan = plan(arguments.quick);

    let mut report = Report::new("transport", &names());
    let mut lost = BTreeMap::<&str, Vec<f64>>::new();
    for round in 1..=arguments.rounds() {
        for trial in Trial::ALL {
            if !trial.metrics().iter().any(|metric| arguments.wants(metric.name)) {
                continue;
            }
            let mut progress = format!("round {round} of {}, {trial:?}:", arguments.rounds());
            for contestant in &in_turn {
                let failed = |error| format!("{}, {trial:?}: {error}", contestant.name);
                let samples = (contestant.run)(trial, plan).await.map_err(failed)?;
                for (metric, value) in samples.into_iter().flatten() {
                    if metric == DATAGRAMS_LOST {
                        lost.entry(contestant.name).or_default().push(value);
                    } else if arguments.wants(metric.name) {
                        write!(progress, " {} {value:.4},", contestant.name)?;
                        report.add(&metric, contestant.name, value);
                    }
                }
            }
            eprintln!("{}", progress.trim_end_matches(','));
        }
        in_turn.rotate_left(1);
    }
    if let Some(note) = datagrams_lost(&lost) {
        report.note(note);
    }
    Ok(report)
}

fn datagrams_lost(lost: &BTreeMap<&str, Vec<f64>>) -> Option<String> {
    let one = |name: &str| Some(format!("{name} {:.2} %", median(lost.get(name)?)?));
    let all: Vec<_> = names().into_iter().filter_map(one).collect();
    (!all.is_empty()).then(|| format!("Datagrams lost: {}.", all.join(", ")))
}

fn names() -> Vec<&'static str> {
    CONTESTANTS.iter().map(|contestant| contestant.name).collect()
}
