//! Says where two traces part that `Outcome::write_trace` has written.
//!
//! ```sh
//! cargo run -p p2p-simulator --example trace-diff -- one.jsonl other.jsonl
//! ```
//!
//! Ends with 0 if they are the same, 1 if they differ, and 2 if they cannot be read, as `diff` does.

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use p2p_simulator::TraceFile;

/// Events before the difference that are shown.
const CONTEXT: usize = 20;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [one, other] = &files[..] else {
        eprintln!("usage: trace-diff ONE.jsonl OTHER.jsonl");
        return ExitCode::from(2);
    };
    match (read(one), read(other)) {
        (Ok(one), Ok(other)) => {
            let comparison = one.compare(&other, CONTEXT);
            println!("{comparison}");
            ExitCode::from(u8::from(!comparison.is_same()))
        }
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn read(path: &str) -> Result<TraceFile, String> {
    let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
    TraceFile::read(BufReader::new(file)).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{path}: {error}{}", cause.unwrap_or_default())
    })
}
