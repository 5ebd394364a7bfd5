//! What the engines say to each other after the hello, as frames of the control stream: a kind, and
//! what belongs to it. Frames of unknown kinds are a later version's, and ignored.

use bytes::{BufMut, Bytes, BytesMut};

use crate::engine::frame;

/// A frame of the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    /// The acceptor's admission hook has let the dialler in.
    Admitted,
    /// How much the program has taken of the messages sent so far, as [`credit`](super::credit)
    /// counts it.
    Taken(u64),
    /// How many bytes of the lane the engine has read so far, for [`packets`](super::packets).
    Read(u64),
}

const ADMITTED: u8 = 0x01;
const TAKEN: u8 = 0x02;
const READ: u8 = 0x03;

impl ControlFrame {
    /// The frame with its length.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(10);
        match self {
            Self::Admitted => {
                frame::put_length(&mut out, 1);
                out.put_u8(ADMITTED);
            }
            Self::Taken(total) => put_count(&mut out, TAKEN, total),
            Self::Read(total) => put_count(&mut out, READ, total),
        }
        out.freeze()
    }

    /// Reads a frame's payload; `None` is one to ignore. What follows the known fields is ignored
    /// too.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        match payload.split_first()? {
            (&ADMITTED, _) => Some(Self::Admitted),
            (&TAKEN, rest) => Some(Self::Taken(u64::from_be_bytes(*rest.first_chunk()?))),
            (&READ, rest) => Some(Self::Read(u64::from_be_bytes(*rest.first_chunk()?))),
            _ => None,
        }
    }
}

fn put_count(out: &mut BytesMut, kind: u8, count: u64) {
    frame::put_length(out, 9);
    out.put_u8(kind);
    out.put_u64(count);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_went(total: u64) {
            let counts = [ControlFrame::Taken(total), ControlFrame::Read(total)];
            for sent in counts.into_iter().chain([ControlFrame::Admitted]) {
                let encoded = sent.encode();
                prop_assert_eq!(usize::from(encoded[0]), encoded.len() - 1);
                prop_assert_eq!(ControlFrame::decode(&encoded[1..]), Some(sent));
            }
        }

        #[test]
        fn any_bytes_are_a_frame_or_ignored(bytes: Vec<u8>) {
            let _ = ControlFrame::decode(&bytes);
        }
    }
}
