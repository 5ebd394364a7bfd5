//! Every check repeats to the byte: the same seed, the same trace.

use std::sync::{Mutex, PoisonError};

use p2p_core::conformance::{Failure, Fixture, NAMES, Outcome, run_check};
use p2p_simulator::{Simulation, TraceHash};

use super::super::{Hosts, Simulated, simulated};

/// Keeps the hash of each run.
struct Hashed(Simulated, Mutex<Vec<(TraceHash, u64)>>);

impl Fixture for Hashed {
    type World = Hosts;

    fn run<F>(&self, check: impl FnOnce(Hosts) -> F + Send + 'static) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let simulation: &Simulation = &self.0.0;
        let run = simulation.run(|network| check(Hosts::on(network)));
        let run = run.map_err(|error| Failure::new(error.to_string()))?;
        let mut hashes = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.push((run.trace_hash, run.trace_count));
        run.output
    }
}

#[test]
fn every_check_repeats_to_the_byte() {
    for name in NAMES {
        let hashed = Hashed(simulated(), Mutex::default());
        for _ in 0..2 {
            run_check(&hashed, name).expect("the suite passes");
        }
        let hashes = hashed.1.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{name}: {hashes:?}");
    }
}
