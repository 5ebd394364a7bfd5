//! Randomness: one ChaCha stream for each purpose and place, so that one more draw in one place
//! moves nothing in another.
//!
//! Sampling is in whole numbers: no logarithm, no sine, nothing that differs between platforms.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::normal;

/// What a stream of randomness is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Identity = 1,
    Loss = 2,
    Jitter = 3,
    ConnectFailure = 4,
    Latency = 16,
    Burst = 17,
    Reordering = 18,
    Duplication = 19,
    FaultDial = 5,
    Schedule = 6,
    Program = 7,
}

/// One stream of randomness: ChaCha12, of which the present block is kept. A cipher that is ready to go
/// on has four times the size, and there is one of these for each purpose on each link.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    seed: u64,
    stream: u64,
    /// Words drawn so far.
    drawn: u64,
    block: [u32; WORDS],
}

/// Words in a block of ChaCha.
const WORDS: usize = 16;

impl Random {
    /// The stream for `purpose` between or at these places (24 bits each are used).
    pub(crate) const fn new(seed: u64, purpose: Purpose, from: u32, to: u32) -> Self {
        let place = ((from & 0xff_ffff) as u64) << 24 | (to & 0xff_ffff) as u64;
        Self { seed, stream: (purpose as u64) << 48 | place, drawn: 0, block: [0; WORDS] }
    }

    fn next_u32(&mut self) -> u32 {
        let place = (self.drawn % WORDS as u64) as usize;
        if place == 0 {
            self.turn_block();
        }
        self.drawn += 1;
        self.block[place]
    }

    fn next_u64(&mut self) -> u64 {
        let low = self.next_u32();
        u64::from(self.next_u32()) << 32 | u64::from(low)
    }

    #[cold]
    fn turn_block(&mut self) {
        let mut cipher = ChaCha12Rng::seed_from_u64(self.seed);
        cipher.set_stream(self.stream);
        cipher.set_word_pos(u128::from(self.drawn));
        self.block.fill_with(|| cipher.next_u32());
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for word in bytes.chunks_exact_mut(4) {
            word.copy_from_slice(&self.next_u32().to_le_bytes());
        }
        bytes
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: Probability) -> bool {
        // No draw where there is no question, so that a faultless link costs nothing.
        probability.0 > 0 && u64::from(self.next_u32()) < probability.0
    }

    /// From the normal distribution with this mean and deviation, truncated at 0.
    pub(crate) fn normal(&mut self, mean: u64, deviation: u64) -> u64 {
        // At least half of all draws are on the mean's upper side, so that 64 in vain do not happen.
        for _ in 0..64 {
            let scaled = i128::from(normal::standard(self.next_u64())) * i128::from(deviation);
            // Rounded to the nearest.
            let value = i128::from(mean) + ((scaled + (1 << 27)) >> 28);
            if let Ok(value) = u64::try_from(value) {
                return value;
            }
        }
        mean
    }

    /// Evenly from 0 to `max`, both included.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        ((u128::from(self.next_u64()) * (u128::from(max) + 1)) >> 64) as u64
    }
}

/// A probability in units of 2^-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probability(u64);

impl Probability {
    pub(crate) const fn is_possible(self) -> bool {
        self.0 > 0
    }

    pub(crate) fn new(share: f64) -> Self {
        // One multiplication and one rounding, both exact in IEEE 754.
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_share_a_stream() {
        let draw = |purpose, from, to| Random::new(7, purpose, from, to).bytes();
        let all = [
            draw(Purpose::Loss, 1, 2),
            draw(Purpose::Loss, 2, 1),
            draw(Purpose::Jitter, 1, 2),
            Random::new(8, Purpose::Loss, 1, 2).bytes(),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
        assert_eq!(all[0], draw(Purpose::Loss, 1, 2));
    }

    #[test]
    fn the_stream_is_chacha12() {
        let mut random = Random::new(7, Purpose::Jitter, 1, 2);
        let mut cipher = ChaCha12Rng::seed_from_u64(7);
        cipher.set_stream(3 << 48 | 1 << 24 | 2);
        for _ in 0..100 {
            assert_eq!(random.next_u64(), cipher.next_u64());
            assert_eq!(random.next_u32(), cipher.next_u32());
        }
    }

    #[test]
    fn a_share_happens_as_often_as_it_says() {
        let mut random = Random::new(1, Purpose::Loss, 0, 0);
        let share = Probability::new(0.01);
        let hits = (0..1_000_000).filter(|_| random.happens(share)).count();
        // 10 000 expected, standard deviation 99.5; five of them.
        assert!((9_500..=10_500).contains(&hits), "{hits}");
        let (never, always) = (Probability::new(0.0), Probability::new(1.0));
        assert!((0..1000).all(|_| !random.happens(never) && random.happens(always)));
    }

    #[test]
    fn jitter_reaches_both_ends() {
        let mut random = Random::new(1, Purpose::Jitter, 0, 0);
        let draws: Vec<_> = (0..1000).map(|_| random.up_to(3)).collect();
        assert!((0..=3).all(|value| draws.contains(&value)));
        assert!(draws.iter().all(|&value| value <= 3));
    }
}
