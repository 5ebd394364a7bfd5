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
use crate::priority::Priority;
use crate::protocol::{Capabilities, ProtocolName};

/// The versions of the protocol between engines that this one speaks.
pub(crate) const VERSIONS: (u16, u16) = (1, 2);
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
    /// How much may wait in each lane of this side's inbox, as [`credit`](super::credit) counts it.
    pub(crate) receive_window: u64,
    /// From the side that dialled, since version 2: which of its connections this is about.
    pub(crate) claim: Claim,
    /// From the side that dialled: this link stands by for another of the same connection.
    pub(crate) stands_by: bool,
}

/// The byte after the claim of a link that stands by.
const STANDS_BY: u8 = 1;

/// Which of the dialler's connections a link is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The dialler's number for it, never used for another: they count up from a random one, so that
    /// those of a process that was started again are not those of the former one.
    pub(crate) number: u64,
    /// 0 for a new one; otherwise how many links the dialler has asked for to go on with it.
    pub(crate) attempt: u32,
    /// Where the dialler's receiving lanes stand, in the order of [`Priority::ALL`].
    pub(crate) standing: Vec<(u64, u64)>,
    /// The dialler has never heard that it was let in: an acceptor that knows nothing of the
    /// connection takes it as a new one.
    pub(crate) or_new: bool,
}

impl Claim {
    /// A standing for each lane, if it is one.
    pub(crate) fn lanes(&self) -> Option<[(u64, u64); Priority::COUNT]> {
        self.standing.as_slice().try_into().ok()
    }
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
            capabilities: config.capabilities(),
            protocols,
            credential,
            max_message_size: config.max_message_size as u64,
            receive_window: config.receive_window as u64,
            claim: Claim::default(),
            stands_by: false,
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
        let mut payload = postcard::to_allocvec(&wire).unwrap_or_default();
        if self.versions.1 >= 2 {
            payload.extend(postcard::to_allocvec(&self.claim).unwrap_or_default());
            if self.stands_by {
                payload.push(STANDS_BY);
            }
        }
        let mut out = BytesMut::with_capacity(1 + frame::MAX_HEADER + payload.len());
        out.extend_from_slice(&[StreamKind::Control.to_byte()]);
        frame::put_length(&mut out, payload.len());
        out.extend_from_slice(&payload);
        out.freeze()
    }

    /// Reads the payload of a hello's frame.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, ProtocolError> {
        let violation = |detail: &str| ProtocolError::Violation { detail: detail.to_owned() };
        let unreadable = |_| violation("a hello that cannot be read");
        let (wire, rest) = postcard::take_from_bytes::<Wire>(payload).map_err(unreadable)?;
        let (claim, later_fields) = if wire.versions.1 >= 2 {
            postcard::take_from_bytes::<Claim>(rest).map_err(unreadable)?
        } else {
            (Claim::default(), &[][..])
        };
        // Only of a link that is not a new connection: what else may follow is a later version's.
        let stands_by = claim.attempt > 0 && later_fields.first() == Some(&STANDS_BY);
        if claim.standing.len() > Priority::COUNT {
            return Err(violation("a claim for more lanes than there are"));
        }
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
            claim,
            stands_by,
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
            claim: Claim::default(),
            stands_by: false,
        }
    }

    fn payload_of(encoded: Bytes) -> Bytes {
        let mut decoder = FrameDecoder::new(MAX_HELLO);
        decoder.push(encoded.slice(1..));
        decoder.next().expect("fits").expect("whole").payload
    }

    proptest! {
        #[test]
        fn a_hello_comes_back_as_it_went(
            capabilities: u64,
            max: u64,
            credential in prop::collection::vec(any::<u8>(), 0..=MAX_CREDENTIAL),
            names in prop::collection::vec("[!-~]{1,64}", 0..=ConnectionConfig::MAX_LISTENERS),
            standing in 0..=Priority::COUNT,
        ) {
            let mut sent = hello((1, 3), capabilities, max);
            sent.claim = Claim { number: max, attempt: 7, standing: vec![(max, 1); standing], or_new: max % 2 == 0 };
            sent.stands_by = max % 3 == 0;
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
        let agreement = ours.agree(&got).expect("version 2 is common");
        assert_eq!(agreement.version, 2);
        assert_eq!(agreement.capabilities, Capabilities::ALL);
        assert_eq!(agreement.max_message_size, 50);
    }

    /// The hello of a dialler of version 1, byte by byte: the first thing that it ever sends.
    #[test]
    fn the_hello_of_version_1_is_read_and_agreed_with() {
        let mut bytes = vec![1, 1, 1, 1, 6];
        bytes.extend(b"echo/1");
        bytes.extend([5]);
        bytes.extend(b"token");
        bytes.extend([0x80, 0x80, 0x40, 0x80, 0x80, 0x40]);
        let old = Hello::decode(&bytes).expect("readable");
        assert_eq!(old.versions, (1, 1));
        assert_eq!(old.max_message_size, 1 << 20);
        let ours = Hello::new(&ConnectionConfig::default(), Vec::new(), Bytes::new());
        let agreement = ours.agree(&old).expect("version 1 is spoken");
        assert_eq!((agreement.version, agreement.capabilities), (1, Capabilities::DATAGRAMS));
    }

    #[test]
    fn no_common_version_is_named() {
        let error = hello((1, 1), 0, 1).agree(&hello((2, 5), 0, 1)).expect_err("no overlap");
        assert!(error.to_string().contains("1..=1 and 2..=5"), "{error}");
    }
}
