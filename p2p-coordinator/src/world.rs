//! What a coordinator knows of the world: the time, and chance.
//!
//! Both are passed in. In a simulation the clock starts at a fixed moment and runs with tokio's
//! virtual time, and chance follows from a seed; in a process they start from the system's.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
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
pub struct Randomness {
    secret: Mutex<ChaCha12Rng>,
    /// Names of requests: what they begin with, and how many there were.
    requests: (u64, AtomicU64),
}

impl Randomness {
    /// All that is drawn follows from the seed, which must be secret: nonces are to be unguessable.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut names = ChaCha12Rng::from_seed(seed);
        // Another stream of the same seed: it tells nothing of the secret one.
        names.set_stream(1);
        let secret = Mutex::new(ChaCha12Rng::from_seed(seed));
        Self { secret, requests: (names.next_u64(), AtomicU64::new(0)) }
    }

    pub(crate) fn bits(&self) -> u64 {
        self.secret.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    pub(crate) fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.secret.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A name that no other request has. It can be guessed.
    pub(crate) fn request_id(&self) -> RequestId {
        let (beginning, count) = &self.requests;
        let mut room = [0; RequestId::MOST];
        let mut left = &mut room[..];
        // It fits: two numbers of at most 16 digits, and a dash.
        let _ = write!(left, "{beginning:016x}-{:x}", count.fetch_add(1, Ordering::Relaxed));
        let length = RequestId::MOST - left.len();
        RequestId { room, length }
    }
}

/// What tells one request from others. Each request has one, so it takes no allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId {
    room: [u8; Self::MOST],
    length: usize,
}

impl RequestId {
    const MOST: usize = 33;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Randomness")
    }
}
