//! A pool keeps all promises but those that sharing breaks on purpose.

use p2p_core::conformance::{Wrapped, run_all};
use p2p_core::{PoolConfig, Pooled};

use super::super::simulated;

#[test]
fn which() {
    let pooled = Wrapped::new(simulated(), |inner| {
        Pooled::new(inner, PoolConfig::default()).expect("the default can be meant")
    });
    for (name, outcome) in run_all(&pooled) {
        if let Err(error) = outcome {
            println!("{name}: {error}");
        }
    }
    panic!("look");
}
