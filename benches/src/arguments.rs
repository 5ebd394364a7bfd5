//! The command line that all benches have.

use clap::Args;

/// How long to measure, and what. A bench flattens it into its own command line, so that
/// `cargo bench -p p2p-benches --bench <bench> -- --help` reads alike everywhere.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Arguments {
    /// Rounds, of which the medians are taken [default: 7, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Measure for moments only: shows that everything runs; the numbers mean little
    #[arg(long)]
    pub quick: bool,
    /// Measure only what this metric needs; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// What cargo passes to every bench; it says nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// How many rounds to measure.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 7 })
    }

    /// Whether a metric was asked for.
    pub fn wants(&self, metric: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == metric)
    }
}
