//! Signaling: how many messages a second pass, how long each takes, and what an idle peer costs.
//!
//! ```text
//! cargo bench -p p2p-benches --bench signaling
//! ```
//!
//! # What is measured
//!
//! Each service is a process of its own on one thread; so is each client. Beside the coordinator, with
//! tokens, sessions and limits as in production, stands the least that a relay can be: axum's
//! WebSocket, a map of names to queues, and the text passed on as it came, without a check.
//!
//! | metric | what |
//! |---|---|
//! | `signaling_per_s` | messages delivered a second: 50 pairs, each with 8 messages on their way to and fro |
//! | `signaling_cpu_us` | the service's CPU time for one of them, all in all |
//! | `signaling_p50_ms`, `signaling_p99_ms` | from sending to arrival, at 40 000 messages a second sent by the clock |
//! | `connects_per_s` | handshakes with a token and a join a second, by two client processes |
//! | `connect_cpu_us` | the service's CPU time for one of them, with what it tells those who are there |
//! | `socket_kib` | resident memory of the service for each of 19 600 peers that have joined and say nothing |
//!
//! Clients and service share the machine's cores. The CPU times, in microseconds, say the same beside
//! busy neighbours: a core has a million of them a second.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use p2p_benches::{Arguments, Better, Metric, Report, Result};

#[path = "signaling/load.rs"]
mod load;
#[path = "signaling/peer.rs"]
mod peer;
#[path = "signaling/process.rs"]
mod process;
#[path = "signaling/relay.rs"]
mod relay;
#[path = "signaling/service.rs"]
mod service;

use process::{Plan, Process};

const RATE: Metric = Metric::new("signaling_per_s", "messages/s", Better::Higher);
const RATE_CPU: Metric = Metric::new("signaling_cpu_us", "us", Better::Lower);
const P50: Metric = Metric::new("signaling_p50_ms", "ms", Better::Lower);
const P99: Metric = Metric::new("signaling_p99_ms", "ms", Better::Lower);
const CONNECTS: Metric = Metric::new("connects_per_s", "connects/s", Better::Higher);
const CONNECT_CPU: Metric = Metric::new("connect_cpu_us", "us", Better::Lower);
const SOCKET: Metric = Metric::new("socket_kib", "KiB", Better::Lower);

/// Measures signaling over WebSockets, on loopback
#[derive(Debug, Parser)]
#[command(name = "signaling")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
    /// What this process is; the bench starts itself again for each.
    #[arg(long, hide = true, value_enum)]
    role: Option<Role>,
    /// Where the service is.
    #[arg(long, hide = true, default_value = "")]
    at: String,
    /// Of how many peers, from which on.
    #[arg(long, hide = true, num_args = 2)]
    peers: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The coordinator.
    Ours,
    /// The bare relay.
    Relay,
    /// Peers that send as fast as they can.
    Rate,
    /// Peers that send by the clock.
    Pace,
    /// Peers that say nothing.
    Idle,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let plan = Plan::new(line.arguments.quick);
    let done = match line.role {
        None => measure(&line.arguments, plan),
        Some(Role::Ours) => process::on_one_thread(service::serve(plan)),
        Some(Role::Relay) => process::on_one_thread(relay::serve()),
        Some(Role::Rate) => process::on_one_thread(load::rate(line.at, plan)),
        Some(Role::Pace) => process::on_one_thread(load::pace(line.at, plan)),
        Some(Role::Idle) => {
            process::on_one_thread(load::idle(line.at, line.peers[0], line.peers[1]))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments, plan: Plan) -> Result<()> {
    let known = [&RATE, &RATE_CPU, &P50, &P99, &CONNECTS, &CONNECT_CPU, &SOCKET];
    let known = known.map(|metric| metric.name);
    if let Some(name) = arguments.only.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no {name:?} here: {}", known.join(", ")).into());
    }
    let mut report = Report::new("signaling", &["ours", "bare relay"]);
    let wants = |metrics: &[&Metric]| metrics.iter().any(|metric| arguments.wants(metric.name));
    for round in 1..=arguments.rounds() {
        for (role, name) in [(Role::Ours, "ours"), (Role::Relay, "bare relay")] {
            let mut progress = format!("round {round} of {}, {name}:", arguments.rounds());
            let mut add = |metric: &Metric, value: f64| -> Result<()> {
                if arguments.wants(metric.name) {
                    write!(progress, " {} {value:.3},", metric.name)?;
                    report.add(metric, name, value);
                }
                Ok(())
            };
            if wants(&[&RATE, &RATE_CPU]) {
                let service = Process::serve(role, plan)?;
                let before = service.cpu()?;
                let numbers = service.client(Role::Rate, plan, None)?.numbers(2)?;
                add(&RATE, numbers[0])?;
                let spent = service.cpu()? - before;
                add(&RATE_CPU, spent.as_secs_f64() * 1e6 / numbers[1])?;
            }
            if wants(&[&P50, &P99]) {
                let service = Process::serve(role, plan)?;
                let numbers = service.client(Role::Pace, plan, None)?.numbers(2)?;
                add(&P50, numbers[0])?;
                add(&P99, numbers[1])?;
            }
            if wants(&[&CONNECTS, &CONNECT_CPU, &SOCKET]) {
                let crowd = process::crowd(role, plan)?;
                add(&CONNECTS, crowd.per_s)?;
                add(&CONNECT_CPU, crowd.cpu_us)?;
                add(&SOCKET, crowd.kib)?;
            }
            eprintln!("{}", progress.trim_end_matches(','));
        }
    }
    report.note("Goals: signaling_per_s 80 000, signaling_p99_ms at most 5, connects_per_s 2 000, socket_kib at most 10.");
    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    Ok(())
}
