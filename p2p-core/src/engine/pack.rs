//! Messages made smaller: LZ4 blocks (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>)
//! after the length of what they hold.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

use crate::engine::frame;

/// So many messages in a row that did not shrink, and the lane does not try for a while.
const PATIENCE: u32 = 8;
/// How many messages a lane goes on without trying.
const PAUSE: u32 = 256;

/// Packs a lane's messages, as long as that pays.
#[derive(Debug)]
pub(crate) struct Packer {
    /// Messages of fewer bytes go as they are.
    threshold: usize,
    failures: u32,
    pause: u32,
}

impl Packer {
    pub(crate) const fn new(threshold: usize) -> Self {
        Self { threshold, failures: 0, pause: 0 }
    }

    /// The packed form of a message, if it is smaller by at least an eighth.
    pub(crate) fn pack(&mut self, message: &[u8]) -> Option<Bytes> {
        if message.len() < self.threshold.max(1) {
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let most = frame::MAX_HEADER + lz4_flex::block::get_maximum_output_size(message.len());
        let mut out = BytesMut::with_capacity(most);
        frame::put_length(&mut out, message.len());
        let head = out.len();
        out.resize(most, 0);
        let packed = lz4_flex::block::compress_into(message, &mut out[head..]);
        let size = head + packed.unwrap_or(usize::MAX / 2);
        if size > message.len() - message.len() / 8 {
            self.failures += 1;
            if self.failures >= PATIENCE {
                (self.failures, self.pause) = (0, PAUSE);
            }
            return None;
        }
        self.failures = 0;
        out.truncate(size);
        // A copy of its own size: it may be kept until it is acknowledged.
        Some(Bytes::copy_from_slice(&out))
    }
}

/// What a peer must not send in place of a packed message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum UnpackError {
    #[error("a packed message of {actual} bytes, where at most {max} were agreed")]
    TooLarge { max: usize, actual: u64 },
    #[error("a packed message that does not unpack to the {stated} bytes that it states")]
    Damaged { stated: usize },
}

/// The message in its packed form. No memory is set aside before the stated size has passed the
/// bound, and no more than that size.
pub(crate) fn unpack(mut packed: Bytes, max: usize) -> Result<Bytes, UnpackError> {
    let Some(stated) = take_length(&mut packed) else {
        return Err(UnpackError::Damaged { stated: 0 });
    };
    if stated > max as u64 {
        return Err(UnpackError::TooLarge { max, actual: stated });
    }
    let stated = stated as usize;
    let mut message = BytesMut::zeroed(stated);
    match lz4_flex::block::decompress_into(&packed, &mut message) {
        Ok(size) if size == stated => Ok(message.freeze()),
        _ => Err(UnpackError::Damaged { stated }),
    }
}

/// Takes a variable-length integer of at most four bytes from the front.
fn take_length(bytes: &mut Bytes) -> Option<u64> {
    let size = 1_usize << (bytes.first()? >> 6);
    if size > frame::MAX_HEADER || bytes.len() < size {
        return None;
    }
    let value = bytes[..size].iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    bytes.advance(size);
    Some(value & (u64::MAX >> (66 - 8 * size)))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_unpacks_to_the_same(
            words in prop::collection::vec(any::<[u8; 5]>(), 1..4),
            choice in prop::collection::vec(0usize..3, 0..5000),
        ) {
            let message: Vec<u8> =
                choice.iter().flat_map(|&word| words[word % words.len()]).collect();
            if let Some(packed) = Packer::new(64).pack(&message) {
                prop_assert!(packed.len() < message.len());
                prop_assert_eq!(unpack(packed, message.len()), Ok(Bytes::from(message)));
            }
        }

        #[test]
        fn any_bytes_unpack_or_fail_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(message) = unpack(bytes.into(), 1000) {
                prop_assert!(message.len() <= 1000);
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let bomb = Packer::new(0).pack(&vec![0; 10_000_000]).expect("zeros shrink");
        assert!(bomb.len() < 50_000);
        let error = unpack(bomb, 1 << 20).expect_err("too large");
        assert_eq!(error, UnpackError::TooLarge { max: 1 << 20, actual: 10_000_000 });
    }

    #[test]
    fn one_that_lies_about_its_size_is_refused() {
        let mut out = BytesMut::new();
        frame::put_length(&mut out, 10);
        let mut block = [0; 6000];
        let size = lz4_flex::block::compress_into(&[0; 5000], &mut block).expect("shrinks");
        out.put_slice(&block[..size]);
        assert_eq!(unpack(out.freeze(), 1 << 20), Err(UnpackError::Damaged { stated: 10 }));
    }

    #[test]
    fn a_lane_whose_messages_do_not_shrink_stops_trying_and_tries_again_later() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = (0..2000).map(|_| random()).collect();
        let zeros = vec![0; 2000];
        let mut packer = Packer::new(100);
        for _ in 0..PATIENCE {
            assert_eq!(packer.pack(&noise), None);
        }
        assert_eq!(packer.pack(&zeros), None, "it pauses");
        for _ in 1..PAUSE {
            packer.pack(&zeros);
        }
        assert!(packer.pack(&zeros).is_some(), "it tries again");
    }
}
