//! What all benches of the stack share: one form of arguments, of results and of files.
//!
//! A bench measures one thing of ours beside its peers, in rounds that interleave them, so that
//! whatever else the machine does meets all alike. It gives each sample to a [`Report`], which
//! prints one table with medians, spreads and ratios, and writes `target/measure/<bench>.json` and
//! `target/measure/<bench>.svg`. **Read ratios, not absolutes**: the latter are those of one
//! machine at one hour.
//!
//! ```
//! use p2p_benches::{Better, Metric, Report};
//!
//! const EVENTS: Metric = Metric::new("events_per_s", "events/s", Better::Higher);
//!
//! let mut report = Report::new("simulator", &["ours", "turmoil"]);
//! for _round in 0..5 {
//!     report.add(&EVENTS, "ours", 2.0e6);
//!     report.add(&EVENTS, "turmoil", 1.0e6);
//! }
//! assert_eq!(report.results()[0].ratio, Some(2.0));
//! ```
//!
//! No bench asserts a time: a slow machine is not an error. A hang is one, and says where.
//!
//! # Layout
//!
//! - [`Report`]: samples in, table and files out; [`Outcome`] is a line of the JSON file;
//! - [`Arguments`]: the command line that all benches have;
//! - [`median`], [`percentile`], [`spread`]: what is said of several samples;
//! - [`cpu_time`]: what the process has cost, which other load changes little;
//! - `table`, `chart`, `files`: the forms a report takes.

mod arguments;
mod chart;
mod clock;
mod files;
mod report;
mod statistics;
mod table;

pub use arguments::Arguments;
pub use clock::cpu_time;
pub use files::measure_dir;
pub use report::{Better, Metric, Outcome, Report};
pub use statistics::{median, percentile, spread};

/// Why a bench failed, in words for whoever started it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a step of a bench comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;
