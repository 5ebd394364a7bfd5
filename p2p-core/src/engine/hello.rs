//! The first words on a link, and what follows from both sides' words.
//!
//! The hello is one frame: postcard, at most [`MAX_HELLO`] bytes. Fields are only ever appended, and
//! a reader ignores what follows those it knows, so that a later version's hello can still be read.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::config::ConnectionConfig;
use crate::engine::{StreamKind, frame};
use crate::error::ProtocolError;
use crate::options::MAX_CREDENTIAL;
use crate::protocol::{Capabilities, ProtocolName};

/// The versions of the protocol between engines that this one speaks.
pub(crate) const VERSIONS: (u16, u16) = (1, 1);
/// The most bytes of a hello: a full credential, the names of as many listeners as a node can have,
/// and room for later fields.
pub(crate) const MAX_HELLO: usize = 4096;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The oldest and the newest version spoken.
    pub(crate) versions: (u16, u16),
    pub(crate) capabilities: Capabilities,
    /// From the side that dialled: what it wants to speak, one name. From the other: all it serves.
    pub(crate) protocols: Vec<ProtocolName>,
    /// From the side that dialled: what it has to show.
    pub(crate) credential: Bytes,
    /// The largest message this side accepts.
    pub(crate) max_message_size: u64,
    /// How much may wait in this side's inbox, as [`credit`](super::credit) counts it.
    pub(crate) receive_window: u64,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    versions: (u16, u16),
    capabilities: u64,
    protocols: Vec<String>,
    credential: Vec<u8>,
    max_message_size: u64,
    receive_window: u64,
}

/// What both hellos together mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) version: u16,
    pub(crate) capabilities: Capabilities,
    pub(crate) max_message_size: usize,
    /// The window of this side's inbox.
    pub(crate) receive_window: u64,
    /// The window of the other side's.
    pub(crate) send_window: u64,
}

impl Hello {
    pub(crate) fn new(
        config: &ConnectionConfig,
        protocols: Vec<ProtocolName>,
        credential: Bytes,
    ) -> Self {
        Self {
            versions: VERSIONS,
            capabilities: Capabilities::ALL,
            protocols,
            credential,
            max_message_size: config.max_message_size as u64,
            receive_window: config.receive_window as u64,
        }
    }

    /// The first bytes of a control stream: its kind, and this hello as a frame.
    pub(crate) fn encode(&self) -> Bytes {
        let wire = Wire {
            versions: self.versions,
            capabilities: self.capabilities.bits(),
            protocols: self.protocols.iter().map(|name| name.as_str().to_owned()).collect(),
            credential: self.credential.to_vec(),
            max_message_size: self.max_message_size,
            receive_window: self.receive_window,
        };
        // Serializing into memory has nothing that can fail; an empty hello would be refused.
        let payload = postcard::to_allocvec(&wire).unwrap_or_default();
        let mut out = BytesMut::with_capacity(1 + frame::MAX_HEADER + payload.len());
        out.extend_from_slice(&[StreamKind::Control.to_byte()]);
        frame::put_length(&mut out, payload.len());
        out.extend_from_slice(&payload);
        out.freeze()
    }

    /// Reads the payload of a hello's frame.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, ProtocolError> {
        let violation = |detail: &str| ProtocolError::Violation { detail: detail.to_owned() };
        let (wire, _later_fields) = postcard::take_from_bytes::<Wire>(payload)
            .map_err(|_| violation("a hello that cannot be read"))?;
        if wire.protocols.len() > ConnectionConfig::MAX_LISTENERS {
            return Err(violation("more protocol names in a hello than a node can have"));
        }
        if wire.credential.len() > MAX_CREDENTIAL {
            return Err(violation("a credential of more than 2048 bytes"));
        }
        let protocols = wire.protocols.iter().map(|name| name.parse()).collect::<Result<_, _>>();
        Ok(Self {
            versions: wire.versions,
            capabilities: Capabilities::from_bits(wire.capabilities),
            protocols: protocols.map_err(|_| violation("a protocol name that is none"))?,
            credential: wire.credential.into(),
            max_message_size: wire.max_message_size,
            receive_window: wire.receive_window,
        })
    }

    /// Finds what both sides can do: the newest common version, the common capabilities, the smaller
    /// bounds.
    pub(crate) fn agree(&self, other: &Self) -> Result<Agreement, ProtocolError> {
        let oldest = self.versions.0.max(other.versions.0);
        let newest = self.versions.1.min(other.versions.1);
        if oldest > newest {
            let (ours, theirs) = (self.versions, other.versions);
            return Err(ProtocolError::IncompatibleVersion {
                detail: format!("{}..={} and {}..={}", ours.0, ours.1, theirs.0, theirs.1),
            });
        }
        let max = self.max_message_size.min(other.max_message_size);
        Ok(Agreement {
            version: newest,
            capabilities: self.capabilities.intersection(other.capabilities),
            max_message_size: usize::try_from(max).unwrap_or(usize::MAX).min(frame::MAX_PAYLOAD),
            receive_window: self.receive_window,
            send_window: other.receive_window,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::frame::FrameDecoder;

    fn hello(versions: (u16, u16), capabilities: u64, max_message_size: u64) -> Hello {
        Hello {
            versions,
            capabilities: Capabilities::from_bits(capabilities),
            protocols: vec!["echo/1".parse().expect("a name")],
            credential: Bytes::from_static(b"token"),
            max_message_size,
            receive_window: max_message_size,
        }
    }

    fn payload_of(encoded: Bytes) -> Bytes {
        let mut decoder = FrameDecoder::new(MAX_HELLO);
        decoder.push(encoded.slice(1..));
        decoder.next().expect("fits").expect("whole")
    }

    proptest! {
        #[test]
        fn a_hello_comes_back_as_it_went(
            capabilities: u64,
            max: u64,
            credential in prop::collection::vec(any::<u8>(), 0..=MAX_CREDENTIAL),
            names in prop::collection::vec("[!-~]{1,64}", 0..=ConnectionConfig::MAX_LISTENERS),
        ) {
            let mut sent = hello((1, 3), capabilities, max);
            sent.credential = credential.into();
            sent.protocols = names.iter().map(|name| name.parse().expect("a name")).collect();
            prop_assert_eq!(Hello::decode(&payload_of(sent.encode())), Ok(sent));
        }

        #[test]
        fn any_bytes_decode_or_fail_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = Hello::decode(&bytes);
        }

        #[test]
        fn both_sides_agree_on_the_same(a: (u16, u16), b: (u16, u16), bits: (u64, u64), max: (u64, u64)) {
            let (a, b) = (hello(a, bits.0, max.0), hello(b, bits.1, max.1));
            match (a.agree(&b), b.agree(&a)) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert_eq!(ours.receive_window, theirs.send_window);
                    prop_assert_eq!(ours.send_window, theirs.receive_window);
                    prop_assert_eq!(
                        (ours.version, ours.capabilities, ours.max_message_size),
                        (theirs.version, theirs.capabilities, theirs.max_message_size)
                    );
                }
                (ours, theirs) => prop_assert!(ours.is_err() && theirs.is_err()),
            }
        }
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let sent = hello((1, 9), u64::MAX, 100);
        let mut bytes = payload_of(sent.encode()).to_vec();
        bytes.extend(b"what version 9 adds");
        let got = Hello::decode(&bytes).expect("readable");
        assert_eq!(got, sent);
        let ours = hello(VERSIONS, Capabilities::ALL.bits(), 50);
        let agreement = ours.agree(&got).expect("version 1 is common");
        assert_eq!(agreement.version, 1);
        assert_eq!(agreement.capabilities, Capabilities::ALL);
        assert_eq!(agreement.max_message_size, 50);
    }

    #[test]
    fn no_common_version_is_named() {
        let error = hello((1, 1), 0, 1).agree(&hello((2, 5), 0, 1)).expect_err("no overlap");
        assert!(error.to_string().contains("1..=1 and 2..=5"), "{error}");
    }
}
