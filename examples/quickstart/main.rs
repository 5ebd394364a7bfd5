//! The main job, twice: a coordinator, a host and three players. Players join a zone through the
//! coordinator, exchange 100 000 messages each way with the host, and one downloads a file. First on
//! real parts: HTTP and SQLite, QUIC over loopback. Then the same function in a simulation: links of
//! 40 ms with loss, records in memory, the coordinator's router on the streams of peers.
//!
//! ```text
//! cargo run --release --example quickstart [FILE]
//! ```
//!
//! Without FILE, 256 MiB of generated data. What arrives is verified by BLAKE3 and not stored.
//!
//! - `job`: the one generic function, and what it measures;
//! - `worlds`: the real parts and the simulated ones;
//! - `content`: what is downloaded.

mod content;
mod job;
mod worlds;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use content::Content;
use job::{Figures, MESSAGE_BYTES, MESSAGES};
use worlds::Scratch;

/// A coordinator, a host and three players: on real parts, then in a simulation
#[derive(Parser)]
struct Arguments {
    /// The file to download; 256 MiB of generated data if not given. It is read, never changed
    file: Option<PathBuf>,
}

type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run(Arguments::parse().file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut sentence = format!("quickstart: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                sentence += &format!(": {error}");
                cause = error.source();
            }
            let _ = writeln!(io::stderr(), "{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: Option<PathBuf>) -> Result<(), AnyError> {
    let content = Content::new(file)?;
    let scratch = Scratch::new()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let to_remove = scratch.path().to_owned();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = std::fs::remove_dir_all(to_remove);
            let _ = writeln!(io::stderr(), "\nquickstart: interrupted; nothing was left behind");
            std::process::exit(130);
        }
    });

    say("1. real parts: HTTP and SQLite for the coordinator, QUIC over loopback, wall clock");
    let real = runtime.block_on(worlds::real(&scratch, &content))?;
    say("2. simulator: 40 ms each way, 1 ms of jitter, 1 % loss, 200 Mbit/s, virtual time");
    let outcome = worlds::simulated(&content)?;
    let simulated = outcome.output?;

    say("");
    say(format_args!(
        "{:<10} {:<7} {:>10} {:>10} {:>12} {:>9}  clock",
        "backend", "path", "RTT", "join", "messages/s", "MiB/s"
    ));
    print_row("iroh", &real, "wall clock");
    print_row("simulator", &simulated, "virtual time");
    say("");
    say(
        "join: from asking the coordinator to the host's first answer, the median of three players",
    );
    say(format_args!(
        "messages: {MESSAGES} of {MESSAGE_BYTES} bytes each way for each player, all at once"
    ));
    say(format_args!("file: {} bytes, hashed at both ends, equal both times", content.bytes));
    say(format_args!("simulated trace: seed {}, hash {}", outcome.seed, outcome.trace_hash));
    Ok(())
}

fn print_row(backend: &str, figures: &Figures, clock: &str) {
    let ms = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    let rtt = figures.path.rtt.map_or("-".into(), |rtt| ms(rtt.as_secs_f64()));
    let (path, join) = (figures.path.kind, ms(figures.join.as_secs_f64()));
    let (messages, mib) = (figures.messages_per_s, figures.mib_per_s);
    say(format_args!(
        "{backend:<10} {path:<7} {rtt:>10} {join:>10} {messages:>12.0} {mib:>9.1}  {clock}"
    ));
}

/// Prints a line. A reader that has gone away is no reason to stop.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
