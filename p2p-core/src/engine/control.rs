//! What the engines say to each other after the hello, as frames of the control stream: a kind, and
//! what belongs to it. Frames of unknown kinds are a later version's, and ignored.

use bytes::{BufMut, Bytes, BytesMut};

use crate::engine::frame;
use crate::priority::Priority;

/// A frame of the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    /// The acceptor's admission hook has let the dialler in.
    Admitted,
    /// How much the program has taken of a lane's messages so far, as [`credit`](super::credit)
    /// counts it.
    Taken(Priority, u64),
    /// How far the engine has read a lane, for [`packets`](super::packets), and so that the sender
    /// need keep it no longer.
    Read(Priority, u64),
}

const ADMITTED: u8 = 0x01;
const TAKEN: u8 = 0x02;
const READ: u8 = 0x03;

impl ControlFrame {
    /// The frame with its length.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(11);
        match self {
            Self::Admitted => {
                frame::put_length(&mut out, 1);
                out.put_u8(ADMITTED);
            }
            Self::Taken(lane, total) => put_count(&mut out, TAKEN, total, lane),
            Self::Read(lane, offset) => put_count(&mut out, READ, offset, lane),
        }
        out.freeze()
    }

    /// Reads a frame's payload; `None` is one to ignore. What follows the known fields is ignored
    /// too.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (&kind, rest) = payload.split_first()?;
        if kind == ADMITTED {
            return Some(Self::Admitted);
        }
        let (count, rest) = rest.split_first_chunk()?;
        let count = u64::from_be_bytes(*count);
        let lane =
            rest.first().map_or(Some(Priority::Normal), |&byte| Priority::from_byte(byte))?;
        match kind {
            TAKEN => Some(Self::Taken(lane, count)),
            READ => Some(Self::Read(lane, count)),
            _ => None,
        }
    }
}

/// The normal lane goes without saying: a peer of version 1 knows no other.
fn put_count(out: &mut BytesMut, kind: u8, count: u64, lane: Priority) {
    let named = lane != Priority::Normal;
    frame::put_length(out, 9 + usize::from(named));
    out.put_u8(kind);
    out.put_u64(count);
    if named {
        out.put_u8(lane.to_byte());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_went(total: u64) {
            let counts = Priority::ALL.into_iter().flat_map(|lane| {
                [ControlFrame::Taken(lane, total), ControlFrame::Read(lane, total)]
            });
            for sent in counts.chain([ControlFrame::Admitted]) {
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
