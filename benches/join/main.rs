//! Joining through the coordinator: how long a player waits, and how many a second there can be.
//!
//! ```text
//! cargo bench -p p2p-benches --bench join
//! ```
//!
//! # What is measured
//!
//! Everything is real and in this process, on one tokio runtime with two worker threads: the
//! coordinator with its SQLite file behind HTTP on loopback, hosts and players with endpoints of iroh
//! on loopback. Each measurement has a new coordinator with a new file; a cell of the table is the
//! median of the rounds.
//!
//! | metric | what |
//! |---|---|
//! | `join_p50_ms`, `join_p99_ms` | from `Client::join` to the host's answer to the first message; one player after the other, on one endpoint and client |
//! | `join_place_ms` | the part of it until the coordinator has given a place |
//! | `join_dial_ms` | the part until the host has let the player in |
//! | `join_message_ms` | the part until its answer to the first message |
//! | `join_new_p50_ms` | the same as `join_p50_ms`, each player with a new endpoint and a new client |
//! | `joins_per_s` | places given, to 32 who ask at once, in 8 zones on 8 hosts that are registered only |
//! | `joins_refused_percent` | how many of these requests the coordinator refused as contended; they are made again |
//! | `joins_power_per_s` | the same, each acknowledged place surviving a loss of power |
//! | `joins_connected_per_s` | joins to the host's answer, 16 at once, each on an endpoint of its own |
//!
//! The parts are measured on joins of their own, with the calls that `Client::join` makes; hence
//! their medians add up to its median only nearly. Clients, hosts and the coordinator share the
//! processor: on machines of their own each of them does more.

use std::fmt::Write as _;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use p2p_benches::{Arguments, Report, Result};
use tokio::time::timeout;

mod metrics;
mod places;
mod players;
mod service;
mod world;

use metrics::Trial;

/// Measures joins through the coordinator, with SQLite and real connections, on loopback
#[derive(Debug, Parser)]
#[command(name = "join")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

/// How long to measure.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Joins one after the other.
    joins: usize,
    /// The same with a new endpoint each.
    new_joins: usize,
    warm_up: Duration,
    window: Duration,
}

impl Plan {
    const fn new(quick: bool) -> Self {
        let millis = Duration::from_millis;
        if quick {
            Self { joins: 10, new_joins: 5, warm_up: millis(50), window: millis(200) }
        } else {
            Self { joins: 200, new_joins: 50, warm_up: millis(500), window: millis(3000) }
        }
    }
}

fn main() -> ExitCode {
    match run(CommandLine::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("join: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let known: Vec<_> =
        Trial::ALL.iter().flat_map(|trial| trial.metrics()).map(|metric| metric.name).collect();
    if let Some(name) = arguments.only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no {name:?} here: {}", known.join(", ")).into());
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // In a task, so that all work is on the two workers and none on this thread.
    let measured = runtime.block_on(async { runtime.spawn(rounds(arguments)).await });
    // After a hang, tasks may be left that never end.
    runtime.shutdown_background();
    let report = measured??;

    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    Ok(())
}

async fn rounds(arguments: Arguments) -> Result<Report> {
    let plan = Plan::new(arguments.quick);
    let mut report = Report::new("join", &["ours"]);
    for round in 1..=arguments.rounds() {
        for trial in Trial::ALL {
            if !trial.metrics().iter().any(|metric| arguments.wants(metric.name)) {
                continue;
            }
            let mut progress = format!("round {round} of {}, {trial:?}:", arguments.rounds());
            let samples = trial.run(plan).await.map_err(|error| format!("{trial:?}: {error}"))?;
            for (metric, value) in samples {
                if arguments.wants(metric.name) {
                    write!(progress, " {} {value:.4},", metric.name)?;
                    report.add(&metric, "ours", value);
                }
            }
            eprintln!("{}", progress.trim_end_matches(','));
        }
    }
    report.note("Goals: join_p50_ms at most 20, joins_per_s at least 500.");
    Ok(report)
}

/// What a step may take. Far more than any needs: past it, something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time limit that turns a hang into an error with a name.
async fn within<T>(stage: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(PATIENCE, future).await {
        Ok(result) => result.map_err(|error| format!("{stage}: {error}").into()),
        Err(_) => Err(format!("{stage}: not done after {PATIENCE:?}").into()),
    }
}
