//! What a coordinator knows of the world: the time, and chance.
//!
//! Both are passed in. In a simulation the clock starts at a fixed moment and runs with tokio's
//! virtual time, and chance follows from a seed; in a process they start from the system's.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use p2p_coordinator_api::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::time::Instant;

/// Wall time: a moment at the start, and how long ago that was by tokio's clock. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows `epoch` now.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.epoch.after(self.started.elapsed())
    }
}

/// Names, nonces and challenges are drawn here, and nowhere else.
pub struct Randomness(Mutex<ChaCha12Rng>);

impl Randomness {
    /// All that is drawn follows from the seed, which must be secret: nonces are to be unguessable.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha12Rng::from_seed(seed)))
    }

    pub(crate) fn bits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    pub(crate) fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
