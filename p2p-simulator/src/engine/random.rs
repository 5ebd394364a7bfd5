//! Randomness: one ChaCha stream for each purpose and place, so that one more draw in one place
//! moves nothing in another.
//!
//! Sampling is in whole numbers: no logarithm, no sine, nothing that differs between platforms.

use std::borrow::BorrowMut;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::chunks::Chunks;
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

/// One stream of randomness, ChaCha12, and how far it has been drawn from, which may lie elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Random<D = Drawn> {
    seed: u64,
    stream: u64,
    drawn: D,
}

/// How far a stream of randomness has been drawn from, with the words that come next. One line of a
/// cache: there is one of these for each purpose on each link, and a cipher that is ready to go on has
/// four times the size.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Drawn {
    words: u64,
    next: [u32; KEPT],
}

/// Words that are made at once.
const KEPT: usize = 14;

impl Random {
    /// The stream for `purpose` between or at these places (24 bits each are used).
    pub(crate) fn new(seed: u64, purpose: Purpose, from: u32, to: u32) -> Self {
        Self::from(seed, purpose, [from, to], Drawn::default())
    }
}

impl<D: BorrowMut<Drawn>> Random<D> {
    /// The same, drawn from so far already.
    const fn from(seed: u64, purpose: Purpose, [from, to]: [u32; 2], drawn: D) -> Self {
        let place = ((from & 0xff_ffff) as u64) << 24 | (to & 0xff_ffff) as u64;
        Self { seed, stream: (purpose as u64) << 48 | place, drawn }
    }

    fn next_u32(&mut self) -> u32 {
        let drawn = self.drawn.borrow_mut();
        let place = (drawn.words % KEPT as u64) as usize;
        if place == 0 {
            drawn.make_words(self.seed, self.stream);
        }
        drawn.words += 1;
        drawn.next[place]
    }

    fn next_u64(&mut self) -> u64 {
        let low = self.next_u32();
        u64::from(self.next_u32()) << 32 | u64::from(low)
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

impl Drawn {
    #[cold]
    fn make_words(&mut self, seed: u64, stream: u64) {
        let mut cipher = ChaCha12Rng::seed_from_u64(seed);
        cipher.set_stream(stream);
        cipher.set_word_pos(self.words.into());
        self.next.fill_with(|| cipher.next_u32());
    }
}

/// The randomness of all links: for each purpose, by the number of the link. So it can be fetched at the
/// same time as the link, and costs nothing where a link leaves nothing to chance.
#[derive(Debug, Default)]
pub(crate) struct LinkRandoms(Vec<(Purpose, Chunks<Drawn>)>);

impl LinkRandoms {
    #[cfg(test)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fetches all that a link draws from.
    pub(super) fn fetch(&self, link: u32) {
        for (_, links) in &self.0 {
            std::hint::black_box(links.get(link as usize).map(|drawn| drawn.words));
        }
    }

    fn get(&mut self, purpose: Purpose, link: u32) -> &mut Drawn {
        let known = self.0.iter().position(|(known, _)| *known == purpose);
        let index = known.unwrap_or_else(|| {
            self.0.push((purpose, Chunks::default()));
            self.0.len() - 1
        });
        self.0[index].1.get_or_make(link as usize, Drawn::default)
    }
}

/// What one link draws.
#[derive(Debug)]
pub(crate) struct Draws<'a> {
    pub(crate) randoms: &'a mut LinkRandoms,
    pub(crate) seed: u64,
    /// The link's number.
    pub(crate) link: u32,
    /// From where to where it goes.
    pub(crate) places: [u32; 2],
}

impl Draws<'_> {
    /// The link's stream for a purpose.
    pub(crate) fn of(&mut self, purpose: Purpose) -> Random<&mut Drawn> {
        Random::from(self.seed, purpose, self.places, self.randoms.get(purpose, self.link))
    }

    /// Whether something of this probability happens. No draw where there is no question.
    pub(crate) fn happens(&mut self, purpose: Purpose, share: Probability) -> bool {
        share.is_possible() && self.of(purpose).happens(share)
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
    fn what_is_kept_takes_a_line_of_a_cache() {
        assert_eq!((size_of::<Drawn>(), align_of::<Drawn>()), (64, 64));
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
