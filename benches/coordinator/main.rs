//! The coordinator's requests: how many a second, on SQLite and on PostgreSQL.
//!
//! ```text
//! cargo bench -p p2p-benches --bench coordinator
//! ```
//!
//! # What is measured
//!
//! One coordinator with the program's router and door, on a runtime with one worker thread; 32
//! connections over loopback that ask as fast as they are answered, on a runtime with another. Each
//! measurement has a new coordinator with new records; a cell of the table is the median of the rounds.
//! PostgreSQL is a real server, started from the system's packages, with its defaults of durability.
//!
//! | metric | what |
//! |---|---|
//! | `health_per_s` | `GET /health`, beside a bare axum server that says hello |
//! | `heartbeat_sqlite_per_s`, `heartbeat_postgres_per_s` | heartbeats of 10 000 hosts in turn, absorbed and written once a second |
//! | `register_sqlite_per_s`, `register_postgres_per_s` | new hosts, each durable before it is answered |
//! | `session_per_s` | new sessions of one player, placed among 10 000 hosts, durable (SQLite) |
//! | `session_p99_ms` | the same at 1500 a second, half of what one instance is meant to do, from the moment each was due |
//! | `session_own_p99_ms` | the same at half of `session_per_s` |
//! | `session_power_per_s`, `session_postgres_per_s` | the same, surviving a loss of power; on PostgreSQL |
//! | `list_per_s` | `GET /hosts/?limit=100` of 10 000 (SQLite) |
//!
//! Beside each `*_per_s` there is a `*_cpu_us`: the CPU time of the coordinator for one request, of
//! all its threads and the kernel's part included, in microseconds. A core does at most a million of
//! them a second, so this is what says how many requests a core of its own would answer; of a database
//! with a process of its own it has nothing.
//!
//! Server, clients and databases share the processor: on machines of their own each does more.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use p2p_benches::{Arguments, Report, Result};

mod load;
mod meter;
mod metrics;
#[path = "../../p2p-coordinator/tests/postgres/server.rs"]
mod server;
mod service;
mod trials;

use metrics::Trial;

/// Measures the coordinator's requests on loopback
#[derive(Debug, Parser)]
#[command(name = "coordinator")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

/// How long to measure, and of how much.
#[derive(Clone, Copy, Debug)]
struct Plan {
    hosts: usize,
    warm_up: Duration,
    window: Duration,
}

impl Plan {
    const fn new(quick: bool) -> Self {
        let millis = Duration::from_millis;
        if quick {
            Self { hosts: 500, warm_up: millis(50), window: millis(300) }
        } else {
            Self { hosts: 10_000, warm_up: millis(1000), window: millis(3000) }
        }
    }
}

fn main() -> ExitCode {
    match run(CommandLine::parse().arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coordinator: {error}");
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
    let one = |name: &str| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name(name).enable_all().build()
    };
    let (serving, asking) = (one("serving")?, one("asking")?);
    let plan = Plan::new(arguments.quick);
    let mut report = Report::new("coordinator", &["ours", "axum"]);
    for round in 1..=arguments.rounds() {
        for trial in Trial::ALL {
            if !trial.metrics().iter().any(|metric| arguments.wants(metric.name)) {
                continue;
            }
            let mut progress = format!("round {round} of {}, {trial:?}:", arguments.rounds());
            let samples = trial
                .run(plan, &serving, &asking)
                .map_err(|error| format!("{trial:?}: {error}"))?;
            for (metric, contestant, value) in samples {
                if arguments.wants(metric.name) {
                    write!(progress, " {} {contestant} {value:.2},", metric.name)?;
                    report.add(&metric, contestant, value);
                }
            }
            eprintln!("{}", progress.trim_end_matches(','));
        }
    }
    report.note(
        "Goals: health_per_s 0.8 of axum's; heartbeats 20 000; register 5 000 on SQLite and 3 000 on \
         PostgreSQL; session_per_s 3 000 with session_p99_ms at most 20; list_per_s 10 000.",
    );
    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    serving.shutdown_background();
    asking.shutdown_background();
    Ok(())
}
