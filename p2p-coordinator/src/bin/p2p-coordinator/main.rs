//! The coordinator's program: chooses a store and doors by its configuration, and serves until it is
//! told to stop.
//!
//! - `arguments`: the command line;
//! - `config`: what may be configured, by files, environment and flags;
//! - `files`: the signing key;
//! - `reload`: takes what changed in the configuration while it runs;
//! - `serve`: from the configuration to a running service, and back;
//! - `status`: asks a running one how it is.

mod arguments;
mod config;
mod files;
mod reload;
mod serve;
mod status;

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use arguments::Arguments;
use clap::Parser;
use config::Config;

/// What went wrong, as one sentence for people.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The error with all its causes.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut sentence = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !sentence.contains(&words) {
                sentence += &format!(": {words}");
            }
            cause = error.source();
        }
        Self(sentence)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(Failure(sentence)) => {
            let _ = writeln!(io::stderr(), "p2p-coordinator: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (config, findings) = Config::load(arguments, environment())?;
    if arguments.check_config {
        say(&findings.annotate(&config.describe()));
        say(&format!("# {}", config.consequences()?));
        for note in &findings.notes {
            say(&format!("# note: {note}"));
        }
        say("the configuration is fine");
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    if arguments.status {
        return runtime.block_on(status::ask(&config));
    }
    let ended = runtime.block_on(serve::serve(arguments, config, &findings.notes));
    // What did not end by itself has had its time.
    runtime.shutdown_background();
    ended
}

/// The names and values of the environment that are text.
fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Prints a line. A reader that has gone away is no reason to stop.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
