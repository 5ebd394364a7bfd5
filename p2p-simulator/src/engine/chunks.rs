//! Very many of a kind, by number, in chunks that stay where they are.
//!
//! One list of all would be copied as it grows, and be half empty after it: where there are a hundred
//! thousand hosts, that is most of the memory.

/// How many are in a chunk: a few pages.
const CHUNK: usize = 256;

/// A list that grows by whole chunks.
#[derive(Debug)]
pub(super) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunks<T> {
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number / CHUNK)?.get(number % CHUNK)
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.0.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }

    /// Adds one at the end. Returns its number.
    pub(super) fn push(&mut self, value: T) -> usize {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(value),
            // The first grows as it must: it may be all there is.
            None => self.0.push(vec![value]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.0.push(chunk);
            }
        }
        (self.0.len() - 1) * CHUNK + self.0.last().map_or(0, |chunk| chunk.len() - 1)
    }

    /// The one of this number, made with those before it in its chunk if need be. Not for lists that
    /// are pushed to.
    pub(super) fn get_or_make(&mut self, number: usize, make: impl FnMut() -> T) -> &mut T {
        let (chunk, place) = (number / CHUNK, number % CHUNK);
        if self.0.len() <= chunk {
            self.0.resize_with(chunk + 1, Vec::new);
        }
        let chunk = &mut self.0[chunk];
        if chunk.len() <= place {
            chunk.resize_with(place + 1, make);
        }
        &mut chunk[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_up_over_chunks() {
        let mut list = Chunks::default();
        let numbers: Vec<_> = (0..1000).map(|value| list.push(value * 2)).collect();
        assert!(numbers.iter().copied().eq(0..1000));
        assert_eq!((list.get(0), list.get(999), list.get(1000)), (Some(&0), Some(&1998), None));
        *list.get_mut(300).unwrap() += 1;
        assert_eq!(list.get(300), Some(&601));
    }

    #[test]
    fn one_far_away_needs_few_others() {
        let mut list = Chunks::default();
        assert_eq!(*list.get_or_make(70_000, || 5), 5);
        assert_eq!(list.get(70_000 / CHUNK * CHUNK), Some(&5), "of its own chunk");
        assert_eq!(list.get(0), None);
    }
}
