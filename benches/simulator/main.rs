//! The simulator: how much of a network a second of one core pays for, beside its peers.
//!
//! ```text
//! cargo bench -p p2p-benches --bench simulator
//! cargo bench -p p2p-benches --bench simulator --features peers
//! ```
//!
//! # What is measured
//!
//! Every trial runs on one thread of a process of its own (this program, started again), so that
//! neither the heap nor the warm caches of one count for another. Rates are **per second of that
//! process's CPU time**: other load on the machine does not lower them much. The whole link model
//! and the trace hash are on; latency is 1 ms unless said otherwise.
//!
//! | metric | what |
//! |---|---|
//! | `sim_pair_64_per_s`, `sim_pair_1k_per_s` | reliable messages from one host to another, 64 in flight: length prefix on one stream, a write for each |
//! | `sim_pingpong_per_s` | 64 bytes there and back, both ways counted |
//! | `sim_hosts_<n>_virtual_s` | virtual seconds: each of n hosts sends 64 bytes a second to another, over 40 to 60 ms |
//! | `sim_hosts_100000_mib` | the most memory that this took, with the links' setting up |
//! | `sim_kib_per_host`, `sim_kib_per_link` | resident memory of an idle endpoint; of an idle connection, both its ends |
//! | `sim_seeds_per_s` | whole runs: 10 hosts, 60 virtual seconds, 600 messages, with set-up and end |
//! | `sim_silent_year_ms` | CPU time of a virtual year in which 1000 connected hosts say nothing |
//! | `sim_delivery_error_ns` | how far the arrivals are from the links' latencies, at worst |
//! | `sim_differing_hashes` | how many of 10 000 seeds (200 with `--quick`) have another trace hash in a second process |
//!
//! | `sim_connect_40ms_rtt_ms` | virtual time of the dialler's side of connecting, at 20 ms one way |
//! | `sim_features_cost` | CPU time for a message of 64 bytes with everything on but unused (resumption, failover, compression from 1 KiB on, `Limited`, metrics), in relation to all off |
//! | `sim_under_attack_cpu` | CPU time for a message of an honest peer (64 bytes, echoed, 64 in flight) while four strangers dial the node a thousand times a second each, with a hello that is none or, one in fifty, without a word; less what that attack costs by itself, in relation to no attack |
//! | `sim_attack_dial_us` | CPU time of such a dial, the stranger's part and the simulator's with the node's |
//!
//! `sim_` is on the raw link: the transport below the connection engine. `sim_connection_` is the same
//! through the public connection's `send` and `recv` (`sim_connection_64_per_s` beside
//! `sim_pair_64_per_s`); a note says how the rates are in relation. Setting up counts in
//! `sim_seeds_per_s` only.
//!
//! # The peers
//!
//! With `--features peers`, turmoil and madsim do what they can of it in the same run, on what each
//! has for the purpose. turmoil: TCP with its default capacity of 64 segments, which is its window,
//! and UDP between many hosts, where TCP would cost it more; ticks of 1 ms. madsim: its `Endpoint`,
//! whose `send_to` waits a virtual millisecond, so that no window is needed. madsim wants a
//! compiler flag for its whole tree, hence it is a crate of its own, `benches/madsim`, which this
//! program builds first. turmoil, whose jitter is exponential, has a latency of 50 ms between many
//! hosts; 1000 of them would take it days.
//!
//! A hang in virtual time ends as an error, when a virtual year is over.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Parser;
use p2p_benches::{Arguments, Metric, Report, Result};

mod attack;
mod child;
mod connect;
mod exact;
mod hosts;
#[cfg(feature = "peers")]
mod madsim;
mod memory;
mod meter;
mod metrics;
mod pair;
mod seeds;
mod silence;
mod trials;
#[cfg(feature = "peers")]
mod turmoil;
mod wire;

use child::Task;
use meter::Plan;
use trials::{Frequency, TRIALS, Trial};

/// Measures the simulator, on one core
#[derive(Debug, Parser)]
#[command(name = "simulator")]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
    /// Measure only this contestant; may be repeated. Without ours there is nothing to report
    #[arg(long, value_name = "NAME")]
    contestant: Vec<String>,
    /// What this program tells itself when it starts itself again.
    #[arg(long, hide = true)]
    task: Option<String>,
}

/// Ours, the baseline, the other peer: the columns of the report.
const CONTESTANTS: &[&str] = if cfg!(feature = "peers") {
    &[trials::OURS, trials::TURMOIL, trials::MADSIM]
} else {
    &[trials::OURS]
};

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let plan = Plan::new(command_line.arguments.quick);
    let done = match &command_line.task {
        Some(task) => task.parse::<Task>().and_then(|task| task.answer(plan)),
        None => run(&command_line, plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: &CommandLine, plan: Plan) -> Result<()> {
    check_names(command_line)?;
    let report = rounds(command_line, plan)?;
    println!("{}", report.table());
    for path in report.write()? {
        println!("written: {}", path.display());
    }
    Ok(())
}

fn check_names(command_line: &CommandLine) -> Result<()> {
    let metrics: Vec<_> =
        TRIALS.iter().flat_map(|trial| trial.metrics).map(|metric| metric.name).collect();
    let CommandLine { arguments, contestant, .. } = command_line;
    for (names, known) in [(&arguments.only, &metrics[..]), (contestant, CONTESTANTS)] {
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no {name:?} here: {}", known.join(", ")).into());
        }
    }
    Ok(())
}

fn rounds(command_line: &CommandLine, plan: Plan) -> Result<Report> {
    let arguments = &command_line.arguments;
    let wanted = |trial: &&Trial| trial.metrics.iter().any(|metric| arguments.wants(metric.name));
    let mut report = Report::new("simulator", CONTESTANTS);
    let mut absent = Vec::new();
    for round in 1..=arguments.rounds() {
        for trial in TRIALS.iter().filter(wanted) {
            if round > 1 && trial.frequency == Frequency::Once {
                continue;
            }
            let mut progress = format!("round {round} of {}:", arguments.rounds());
            for name in trial.contestants() {
                let chosen = &command_line.contestant;
                if absent.contains(&name) || !(chosen.is_empty() || chosen.contains(&name.into())) {
                    continue;
                }
                let values = match trial.measure(name, plan) {
                    Ok(values) => values,
                    // A peer may need what is not to be had here; ours may not.
                    Err(error) if name != trials::OURS => {
                        eprintln!("{name}, {}: {error}", trial.name());
                        report.note(format!("{name} is missing: {error}"));
                        absent.push(name);
                        continue;
                    }
                    Err(error) => return Err(format!("{}: {error}", trial.name()).into()),
                };
                for (metric, value) in trial.metrics.iter().zip(values) {
                    write!(progress, " {name} {} {value:.4},", metric.name)?;
                    report.add(metric, name, value);
                }
            }
            eprintln!("{}", progress.trim_end_matches(','));
        }
    }
    report.note("Rates are per second of CPU time of a process with one thread.");
    if let Some(note) = above_link(&report) {
        report.note(note);
    }
    Ok(report)
}

/// How fast the connection is in relation to the link below it.
fn above_link(report: &Report) -> Option<String> {
    let results = report.results();
    let value = |metric: &Metric| {
        results.iter().find(|outcome| outcome.name == metric.name).map(|outcome| outcome.value)
    };
    let one = |(connection, link): &(Metric, Metric)| {
        Some(format!("{} {:.2}", connection.name, value(connection)? / value(link)?))
    };
    let all: Vec<_> = metrics::ABOVE_LINK.iter().filter_map(one).collect();
    (!all.is_empty()).then(|| format!("In relation to the link: {}.", all.join(", ")))
}
