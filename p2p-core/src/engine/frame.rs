//! Frames: a length as a QUIC variable-length integer (RFC 9000, section 16), then that many bytes.
//!
//! Where compression was agreed, the integer is twice the length, plus one for a payload that is
//! [packed](super::pack).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The most bytes in a frame that the format is used for.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;
/// The most bytes of a frame's length.
pub(crate) const MAX_HEADER: usize = 4;

/// Payloads up to this size are copied out of the chunk they came in: a message that waits, or that a
/// program keeps, must not keep a whole receive buffer (64 KiB with segmentation offload) alive. On the
/// usual paths this is more than a packet, and a chunk is no more than a packet's content.
const COPY_UP_TO: usize = 2048;
/// Payloads up to this size are copied together with those that follow them, up to [`TOGETHER`] bytes
/// in all (a packet's content): an allocation for each would cost more than the rest of what is done
/// for it.
const TOGETHER_UP_TO: usize = 128;
const TOGETHER: usize = 1536;
/// How much is set aside on the word of a frame's length, before its bytes are there.
const MAX_ADVANCE: usize = 64 * 1024;

/// Writes a frame's length, and tells in how many bytes. `length` is at most twice [`MAX_PAYLOAD`], for
/// lengths with a mark.
pub(crate) fn put_length(out: &mut impl BufMut, length: usize) -> usize {
    debug_assert!(length <= 2 * MAX_PAYLOAD + 1, "checked against the bound by the caller");
    let header = header_of(length);
    match header {
        1 => out.put_u8(length as u8),
        2 => out.put_u16(length as u16 | 0x4000),
        _ => out.put_u32(length as u32 | 0x8000_0000),
    }
    header
}

/// How many bytes a frame's length takes.
pub(crate) const fn header_of(length: usize) -> usize {
    match length {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        _ => MAX_HEADER,
    }
}

/// Cuts a stream of chunks into the payloads of its frames. Payloads are slices of the chunks, but
/// for those that straddle two chunks and small ones.
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    max: usize,
    /// Whether lengths carry a mark.
    marked: bool,
    /// Where the last whole frame ended.
    offset: u64,
    chunk: Bytes,
    /// A copy of the chunk's front, of which small payloads are slices.
    copied: Bytes,
    /// The part of a frame that came in earlier chunks: its length, then its payload.
    state: State,
}

#[derive(Debug)]
enum State {
    /// `have` of the length's bytes are there.
    Header { bytes: [u8; 8], have: usize },
    /// `payload` has the first of `length` bytes, after a header of `header` bytes.
    Payload { payload: BytesMut, length: usize, mark: bool, header: usize },
}

/// A frame's payload, and whether it was marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) payload: Bytes,
    pub(crate) mark: bool,
}

impl State {
    const START: Self = Self::Header { bytes: [0; 8], have: 0 };
}

/// A frame larger than the bound.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a frame of {actual} bytes, where at most {max} were agreed")]
pub(crate) struct FrameTooLarge {
    pub(crate) max: usize,
    pub(crate) actual: u64,
}

impl FrameDecoder {
    /// Accepts payloads of up to `max` bytes.
    pub(crate) const fn new(max: usize) -> Self {
        Self::marked(max, false, 0)
    }

    /// Of frames whose lengths carry a mark, if `marked`, the first of them at `offset`.
    pub(crate) const fn marked(max: usize, marked: bool, offset: u64) -> Self {
        Self { max, marked, offset, chunk: Bytes::new(), copied: Bytes::new(), state: State::START }
    }

    /// Where the last whole frame ended: all bytes of frames so far, from the first one's offset.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next chunk. All frames of the one before must have been taken by
    /// [`next`](Self::next).
    pub(crate) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "next() returned None before");
        self.copied = Bytes::new();
        self.chunk = chunk;
    }

    /// Whether the stream may end here: not in the middle of a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.chunk.is_empty() && matches!(self.state, State::Header { have: 0, .. })
    }

    /// The next frame, or `None` if the chunk does not hold the rest of one.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, FrameTooLarge> {
        loop {
            match &mut self.state {
                State::Header { bytes, have } => {
                    let Some(&first) = (if *have > 0 { bytes.first() } else { self.chunk.first() })
                    else {
                        return Ok(self.out_of_bytes());
                    };
                    let header = 1 << (first >> 6);
                    let take = (header - *have).min(self.chunk.len());
                    self.chunk.copy_to_slice(&mut bytes[*have..*have + take]);
                    self.copied.advance(take.min(self.copied.len()));
                    *have += take;
                    if *have < header {
                        return Ok(self.out_of_bytes());
                    }
                    let value = read_varint(&bytes[..header]);
                    let (length, mark) =
                        if self.marked { (value >> 1, value & 1 == 1) } else { (value, false) };
                    if length > self.max as u64 {
                        return Err(FrameTooLarge { max: self.max, actual: length });
                    }
                    let length = length as usize;
                    if length <= self.chunk.len() {
                        self.state = State::START;
                        self.offset += (header + length) as u64;
                        return Ok(Some(Frame { payload: self.slice(length), mark }));
                    }
                    let payload = BytesMut::with_capacity(length.min(MAX_ADVANCE));
                    self.state = State::Payload { payload, length, mark, header };
                }
                State::Payload { payload, length, mark, header } => {
                    let take = (*length - payload.len()).min(self.chunk.len());
                    payload.extend_from_slice(&self.chunk[..take]);
                    self.chunk.advance(take);
                    if payload.len() < *length {
                        return Ok(self.out_of_bytes());
                    }
                    self.offset += (*header + *length) as u64;
                    let frame = Frame { payload: std::mem::take(payload).freeze(), mark: *mark };
                    self.state = State::START;
                    return Ok(Some(frame));
                }
            }
        }
    }

    /// Lets go of what has been read: a slice without a byte keeps a whole receive buffer alive too.
    fn out_of_bytes(&mut self) -> Option<Frame> {
        (self.chunk, self.copied) = (Bytes::new(), Bytes::new());
        None
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Bytes {
        if length > COPY_UP_TO {
            self.copied = Bytes::new();
            return self.chunk.split_to(length);
        }
        if self.copied.len() < length {
            let together = if length <= TOGETHER_UP_TO { TOGETHER } else { length };
            self.copied = Bytes::copy_from_slice(&self.chunk[..together.min(self.chunk.len())]);
        }
        self.chunk.advance(length);
        self.copied.split_to(length)
    }
}

/// Reads a variable-length integer that fills `bytes`.
fn read_varint(bytes: &[u8]) -> u64 {
    let value = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    // The first two bits said how long it is.
    value & (u64::MAX >> (66 - 8 * bytes.len().min(8)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn encode(messages: &[Vec<u8>]) -> Bytes {
        let mut out = BytesMut::new();
        for message in messages {
            put_length(&mut out, message.len());
            out.extend_from_slice(message);
        }
        out.freeze()
    }

    fn decode(stream: &Bytes, cuts: &[usize], max: usize) -> Result<Vec<Vec<u8>>, FrameTooLarge> {
        let mut decoder = FrameDecoder::new(max);
        let mut got = Vec::new();
        let mut rest = stream.clone();
        for &cut in cuts.iter().chain([&usize::MAX]) {
            decoder.push(rest.split_to(cut.min(rest.len())));
            while let Some(frame) = decoder.next()? {
                got.push(frame.payload.to_vec());
            }
        }
        assert!(decoder.is_between_frames());
        assert_eq!(decoder.offset(), stream.len() as u64);
        Ok(got)
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            cuts in prop::collection::vec(0usize..1500, 0..24),
        ) {
            prop_assert_eq!(decode(&encode(&messages), &cuts, 3000), Ok(messages));
        }

        #[test]
        fn marks_come_back_with_their_frames(
            frames in prop::collection::vec((0usize..40_000, any::<bool>()), 1..8),
            start: u32,
        ) {
            let mut out = BytesMut::new();
            for &(length, mark) in &frames {
                put_length(&mut out, length * 2 + usize::from(mark));
                out.put_bytes(7, length);
            }
            let end = u64::from(start) + out.len() as u64;
            let mut decoder = FrameDecoder::marked(40_000, true, start.into());
            decoder.push(out.freeze());
            for (length, mark) in frames {
                let frame = decoder.next().expect("fits").expect("whole");
                prop_assert_eq!((frame.payload.len(), frame.mark), (length, mark));
            }
            prop_assert_eq!(decoder.offset(), end);
        }

        #[test]
        fn any_bytes_decode_or_fail_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut decoder = FrameDecoder::new(100);
            decoder.push(bytes.into());
            while let Ok(Some(frame)) = decoder.next() {
                prop_assert!(frame.payload.len() <= 100);
            }
        }
    }

    #[test]
    fn lengths_are_those_of_rfc_9000() {
        // The examples of RFC 9000, appendix A.1.
        assert_eq!(read_varint(&[0x25]), 37);
        assert_eq!(read_varint(&[0x7b, 0xbd]), 15_293);
        assert_eq!(read_varint(&[0x9d, 0x7f, 0x3e, 0x7d]), 494_878_333);
        let long = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(read_varint(&long), 151_288_809_941_952_652);
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_before_its_bytes_come() {
        let mut out = BytesMut::new();
        put_length(&mut out, 101);
        let mut decoder = FrameDecoder::new(100);
        decoder.push(out.freeze());
        assert_eq!(decoder.next(), Err(FrameTooLarge { max: 100, actual: 101 }));
    }

    #[test]
    fn a_small_payload_does_not_keep_its_chunk_alive() {
        let chunk = encode(&[vec![1; 64], vec![3; 32], vec![2; 3000]]);
        let mut decoder = FrameDecoder::new(4000);
        decoder.push(chunk.clone());
        let inside = |part: &Bytes| chunk.as_ptr_range().contains(&part.as_ptr());
        let small = decoder.next().expect("fits").expect("whole").payload;
        let next = decoder.next().expect("fits").expect("whole").payload;
        let large = decoder.next().expect("fits").expect("whole").payload;
        assert!(!inside(&small) && !inside(&next), "copied");
        assert_eq!((&small[..], &next[..]), (&[1; 64][..], &[3; 32][..]));
        assert_eq!(next.as_ptr(), small.as_ptr_range().end.wrapping_add(1), "together");
        assert!(inside(&large), "a slice, not a copy");
    }

    #[test]
    fn a_chunk_is_let_go_when_its_frames_are_taken() {
        struct Owner(Bytes, #[expect(dead_code, reason = "held")] Arc<()>);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let alive = Arc::new(());
        let mut decoder = FrameDecoder::new(4000);
        let frames = encode(&[vec![1; 64], vec![2; 100]]);
        // The second frame comes in two pieces.
        for piece in [frames.slice(..80), frames.slice(80..)] {
            decoder.push(Bytes::from_owner(Owner(piece, alive.clone())));
            let taken = std::iter::from_fn(|| decoder.next().expect("fits")).count();
            assert_eq!((taken, Arc::strong_count(&alive)), (1, 1));
        }
    }
}
