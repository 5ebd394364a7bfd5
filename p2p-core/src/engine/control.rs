//! What the engines say to each other after the hello, as frames of the control stream: a kind, and
//! what belongs to it. Frames of unknown kinds are a later version's, and ignored.

use bytes::{BufMut, Bytes, BytesMut};

use crate::engine::frame;
use crate::engine::standby::Reliance;
use crate::identity::PeerId;
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
    /// A standby link is going to come from this peer, which is the dialler too.
    Standby(PeerId),
    /// The standby is awaited.
    Awaited,
    /// How far the side that says so relies on the standby now: on the standby's control stream.
    Rely(Reliance),
    /// A question whether both control streams still carry: a number.
    Ping(u64),
    /// The answer: the question's number.
    Pong(u64),
}

const ADMITTED: u8 = 0x01;
const TAKEN: u8 = 0x02;
const READ: u8 = 0x03;
const STANDBY: u8 = 0x04;
const AWAITED: u8 = 0x05;
const RELY: u8 = 0x06;
const PING: u8 = 0x07;
const PONG: u8 = 0x08;

impl ControlFrame {
    /// The frame with its length.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(34);
        match self {
            Self::Admitted => {
                frame::put_length(&mut out, 1);
                out.put_u8(ADMITTED);
            }
            Self::Taken(lane, total) => put_count(&mut out, TAKEN, total, lane),
            Self::Read(lane, offset) => put_count(&mut out, READ, offset, lane),
            Self::Standby(id) => {
                frame::put_length(&mut out, 33);
                out.put_u8(STANDBY);
                out.extend_from_slice(id.as_bytes());
            }
            Self::Awaited => {
                frame::put_length(&mut out, 1);
                out.put_u8(AWAITED);
            }
            Self::Rely(reliance) => {
                frame::put_length(&mut out, 2);
                out.put_u8(RELY);
                out.put_u8(reliance as u8);
            }
            Self::Ping(number) => put_count(&mut out, PING, number, Priority::Normal),
            Self::Pong(number) => put_count(&mut out, PONG, number, Priority::Normal),
        }
        out.freeze()
    }

    /// Reads a frame's payload; `None` is one to ignore. What follows the known fields is ignored
    /// too.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (&kind, rest) = payload.split_first()?;
        match kind {
            ADMITTED => return Some(Self::Admitted),
            AWAITED => return Some(Self::Awaited),
            STANDBY => {
                let id = PeerId::from_bytes(*rest.first_chunk()?).ok()?;
                return Some(Self::Standby(id));
            }
            RELY => {
                return match rest.first()? {
                    0 => Some(Self::Rely(Reliance::None)),
                    1 => Some(Self::Rely(Reliance::Hedged)),
                    2 => Some(Self::Rely(Reliance::Switched)),
                    _ => None,
                };
            }
            _ => {}
        }
        let (count, rest) = rest.split_first_chunk()?;
        let count = u64::from_be_bytes(*count);
        let lane =
            rest.first().map_or(Some(Priority::Normal), |&byte| Priority::from_byte(byte))?;
        match kind {
            TAKEN => Some(Self::Taken(lane, count)),
            READ => Some(Self::Read(lane, count)),
            PING => Some(Self::Ping(count)),
            PONG => Some(Self::Pong(count)),
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
            let peer = crate::identity::SecretKey::from_bytes(&[7; 32]).peer_id();
            let others = [
                ControlFrame::Admitted,
                ControlFrame::Awaited,
                ControlFrame::Standby(peer),
                ControlFrame::Rely(Reliance::None),
                ControlFrame::Rely(Reliance::Hedged),
                ControlFrame::Rely(Reliance::Switched),
                ControlFrame::Ping(total),
                ControlFrame::Pong(total),
            ];
            for sent in counts.chain(others) {
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
