//! Fuzz targets: whatever peers and people can hand in, as bytes or as steps.
//!
//! `cargo test -p p2p-core fuzz` runs each on its corpus (`__fuzz__/<name>/corpus`) and on a fixed number
//! of inputs that are drawn anew each time; a failure prints the seed that repeats it. With nightly and
//! `cargo install cargo-bolero`, `cargo bolero test -p p2p-core fuzz::hello` searches with libFuzzer.

use std::str::FromStr;

use bytes::Bytes;
use data_encoding::BASE32_NOPAD_NOCASE;

use crate::address::{PeerAddr, RelayUrl};
use crate::calls::wire::{RequestHead, ResponseHead};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::engine::StreamKind;
use crate::engine::control::ControlFrame;
use crate::engine::credit::{RecvCredit, SendCredit};
use crate::engine::frame::{Frame, FrameDecoder};
use crate::engine::hello::{Hello, MAX_HELLO};
use crate::engine::lane_tests::{self, Step};
use crate::engine::pack::{Packer, unpack};
use crate::engine::packets::PacketBudget;
use crate::engine::recv_lane::RecvLane;
use crate::engine::standby::Way;
use crate::identity::PeerId;
use crate::protocol::ProtocolName;

/// How many inputs each target has in `cargo test`, besides its corpus: together a few seconds.
const INPUTS: usize = 2000;

fn hello_of(bytes: &[u8]) -> Option<Hello> {
    let hello = Hello::decode(bytes).ok()?;
    assert!(hello.credential.len() <= crate::MAX_CREDENTIAL);
    assert!(hello.protocols.len() <= ConnectionConfig::MAX_LISTENERS);
    // It says the same again.
    let mut frames = FrameDecoder::new(usize::MAX);
    let encoded = hello.encode();
    assert_eq!(encoded[0], StreamKind::Control.to_byte());
    frames.push(encoded.slice(1..));
    let again = frames.next().expect("it fits").expect("it is whole").payload;
    assert_eq!(Hello::decode(&again).as_ref(), Ok(&hello));
    Some(hello)
}

#[test]
fn hello() {
    let ours = Hello::new(&ConnectionConfig::default(), Vec::new(), Bytes::new());
    bolero::check!(name = "hello").with_iterations(INPUTS).with_max_len(MAX_HELLO).for_each(
        |bytes: &[u8]| {
            let Some(theirs) = hello_of(bytes) else { return };
            let (here, there) = (ours.agree(&theirs), theirs.agree(&ours));
            assert_eq!(here.is_ok(), there.is_ok());
            if let Ok(agreed) = here {
                assert!(agreed.max_message_size <= ConnectionConfig::MAX_MESSAGE_SIZE);
                assert!(ours.capabilities.contains(agreed.capabilities));
                // Whatever window the peer states, counting by it does not fail.
                let mut credit = SendCredit::new(agreed.send_window);
                while credit.try_take(1 << 20) && agreed.send_window < 1 << 30 {}
                let _ = theirs.claim.lanes();
            }
        },
    );
}

#[test]
fn control() {
    bolero::check!(name = "control").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let Some(frame) = ControlFrame::decode(bytes) else { return };
        assert_eq!(ControlFrame::decode(&frame.encode()[1..]), Some(frame));
        let (mut budget, mut credit) = (PacketBudget::starting_at(0), SendCredit::new(0));
        budget.on_written(5000);
        match frame {
            ControlFrame::Read(_, offset) => budget.on_read(offset),
            ControlFrame::Taken(_, total) => assert_eq!(credit.on_taken(total).is_ok(), total == 0),
            ControlFrame::Admitted
            | ControlFrame::Awaited
            | ControlFrame::Ping(_)
            | ControlFrame::Pong(_)
            | ControlFrame::Rely(_)
            | ControlFrame::Standby(_) => {}
        }
    });
}

/// The first byte says how the rest is cut, and whether lengths carry a mark.
fn frames_of(bytes: &[u8], cut: usize, marked: bool) -> (Vec<Frame>, bool) {
    let mut decoder = FrameDecoder::marked(1000, marked, 0);
    let (mut frames, mut last) = (Vec::new(), 0);
    for chunk in bytes.chunks(cut) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    assert!(frame.payload.len() <= 1000 && decoder.offset() > last);
                    last = decoder.offset();
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(_) => return (frames, false),
            }
        }
    }
    assert!(last <= bytes.len() as u64);
    (frames, true)
}

#[test]
fn frame() {
    bolero::check!(name = "frame").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let Some((&first, rest)) = bytes.split_first() else { return };
        let (cut, marked) = (usize::from(first >> 1) + 1, first & 1 == 1);
        // However it is cut, it is the same.
        assert_eq!(frames_of(rest, cut, marked), frames_of(rest, rest.len().max(1), marked));
    });
}

#[test]
fn pack() {
    bolero::check!(name = "pack").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        if let Ok(message) = unpack(Bytes::copy_from_slice(bytes), 100_000) {
            assert!(message.len() <= 100_000);
        }
        if let Some(packed) = Packer::new(1).pack(bytes) {
            assert_eq!(unpack(packed, bytes.len()).as_deref(), Ok(bytes));
        }
    });
}

/// The bytes of a lane, in pieces; between them the program takes what has come.
#[test]
fn recv_lane() {
    bolero::check!(name = "recv_lane").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let Some((&first, rest)) = bytes.split_first() else { return };
        let (cut, marked) = (usize::from(first >> 2) * 8 + 1, first & 1 == 1);
        let mut lane = RecvLane::new(1 << 14, 1000, 0);
        let Ok(mut carried) = lane.carry(Way::Main, 0, marked) else {
            panic!("the start is no gap")
        };
        let mut waiting = RecvCredit::new(1 << 14);
        for chunk in rest.chunks(cut) {
            let taken = lane.take_in(&mut carried, Bytes::copy_from_slice(chunk));
            if first & 2 == 0 {
                while let Some(message) = lane.pop() {
                    assert!(message.len() <= 1000);
                    waiting.on_received(message.len()).expect("what waits is bounded");
                    waiting.on_taken(message.len());
                }
            }
            if taken.is_err() {
                return;
            }
            // A peer that comes back goes on anywhere up to where frames have come.
            let (end, _) = lane.standing();
            assert!(lane.carry(Way::Main, end + 1, marked).is_err(), "a gap");
        }
    });
}

/// Sends, deliveries, reports and lost links, against a list of messages.
#[test]
fn resume() {
    bolero::check!(name = "resume")
        .with_type::<(Vec<Step>, u32, Option<u8>)>()
        .with_iterations(INPUTS / 4)
        .for_each(|(steps, window, packing)| {
            let packing = packing.map(|from| usize::from(from) * 4);
            lane_tests::play(steps.iter().take(200), u64::from(window % 300_000), packing);
        });
}

#[test]
fn ticket() {
    bolero::check!(name = "ticket").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        // As text; and as a body whose checksum is right.
        let mut whole = vec![1];
        whole.extend(bytes);
        whole.extend(crc32fast::hash(&whole).to_be_bytes());
        let encoded = format!("p2p{}", BASE32_NOPAD_NOCASE.encode(&whole));
        for text in [std::str::from_utf8(bytes).unwrap_or_default(), &encoded] {
            let Ok(addr) = text.parse::<PeerAddr>() else { continue };
            assert!(addr.relays().len() <= PeerAddr::MAX_RELAYS);
            assert!(addr.addresses().len() <= PeerAddr::MAX_ADDRESSES);
            assert_eq!(addr.to_string().parse(), Ok(addr));
        }
    });
}

#[test]
fn names() {
    bolero::check!(name = "names").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(name) = ProtocolName::from_str(&text) {
            assert!(name.as_str() == text && text.len() <= ProtocolName::MAX_LENGTH);
        }
        if let Ok(url) = RelayUrl::from_str(&text) {
            assert_eq!(RelayUrl::from_str(url.as_str()).as_ref(), Ok(&url));
        }
        if let Ok(id) = PeerId::from_str(&text) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let reason = CloseReason::new(ClosedBy::Peer, CloseCause::Lost, text);
        assert!(reason.message.len() <= CloseReason::MAX_MESSAGE);
        if let Some(code) = bytes.first_chunk() {
            let cause = CloseCause::from_wire(u64::from_be_bytes(*code));
            assert!(!cause.to_string().is_empty());
        }
    });
}

#[test]
fn calls() {
    bolero::check!(name = "calls").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        if let Some(head) = bytes.first_chunk().and_then(RequestHead::decode) {
            assert_eq!(Some(&head.encode()), bytes.first_chunk());
        }
        if let Some(head) = bytes.first_chunk().and_then(ResponseHead::decode) {
            assert_eq!(ResponseHead::decode(&head.encode()), Some(head));
        }
    });
}
