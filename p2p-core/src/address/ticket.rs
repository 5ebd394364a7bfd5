//! The text form of a [`PeerAddr`].
//!
//! `p2p` followed by lowercase unpadded base32 (RFC 4648) of: one version byte, the body in
//! postcard, and the CRC-32 of both, big endian. Base32 survives being read aloud, a terminal's
//! double click and a case-folding messenger; the checksum tells a damaged ticket from a wrong one.

use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD_NOCASE;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{PeerAddr, RelayUrl};
use crate::identity::{PeerId, PeerIdError};

const PREFIX: &str = "p2p";
const VERSION: u8 = 1;
/// What the bounds of a [`PeerAddr`] can add up to, with room for a later version's fields.
const MAX_TEXT: usize = 8 * 1024;

/// Version 1 of the body. Fields are only ever appended: a reader ignores what it does not know.
#[derive(Serialize, Deserialize)]
struct Body {
    id: [u8; 32],
    relays: Vec<String>,
    addresses: Vec<SocketAddr>,
}

pub(super) fn encode(addr: &PeerAddr) -> String {
    let body = Body {
        id: *addr.id.as_bytes(),
        relays: addr.relays.iter().map(|relay| relay.as_str().to_owned()).collect(),
        addresses: addr.addresses.iter().copied().collect(),
    };
    let mut bytes = vec![VERSION];
    // Serializing into memory has nothing that can fail; an empty body would not decode.
    bytes.extend(postcard::to_allocvec(&body).unwrap_or_default());
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_be_bytes());
    format!("{PREFIX}{}", BASE32_NOPAD_NOCASE.encode(&bytes).to_lowercase())
}

pub(super) fn decode(text: &str) -> Result<PeerAddr, TicketError> {
    let text = text.trim();
    if text.len() > MAX_TEXT {
        return Err(TicketError::TooLong { max: MAX_TEXT, actual: text.len() });
    }
    let (prefix, encoded) = text.split_at_checked(PREFIX.len()).ok_or(TicketError::NotATicket)?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return Err(TicketError::NotATicket);
    }
    let bytes = BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).map_err(|_| TicketError::Damaged)?;
    let (content, checksum) = bytes.split_last_chunk::<4>().ok_or(TicketError::Damaged)?;
    if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
        return Err(TicketError::Damaged);
    }
    let (&version, body) = content.split_first().ok_or(TicketError::Damaged)?;
    if version != VERSION {
        return Err(TicketError::Version { version });
    }
    let (body, _later_fields) =
        postcard::take_from_bytes::<Body>(body).map_err(|_| TicketError::Malformed)?;
    if body.relays.len() > PeerAddr::MAX_RELAYS || body.addresses.len() > PeerAddr::MAX_ADDRESSES {
        return Err(TicketError::Malformed);
    }
    let mut addr = PeerAddr::new(PeerId::from_bytes(body.id)?);
    for relay in &body.relays {
        addr = addr.with_relay(RelayUrl::from_str(relay).map_err(|_| TicketError::Malformed)?);
    }
    Ok(body.addresses.into_iter().fold(addr, PeerAddr::with_address))
}

/// Why a text is not a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Characters are missing or wrong: the checksum does not match.
    #[error("the ticket is damaged or cut off: copy it whole, from 'p2p' to its last character")]
    Damaged,
    /// The checksum is right, but what it covers makes no sense.
    #[error("the ticket's content is malformed: it was not made by this software")]
    Malformed,
    /// It does not even start like one.
    #[error("not a ticket: a ticket starts with 'p2p'")]
    NotATicket,
    /// The peer in it is no valid key.
    #[error("the ticket names no valid peer")]
    Peer(#[from] PeerIdError),
    /// Longer than any ticket.
    #[error("a ticket has at most {max} characters, not {actual}")]
    TooLong {
        /// The bound.
        max: usize,
        /// The length of the text.
        actual: usize,
    },
    /// Made by a later version of this software.
    #[error("the ticket has version {version}; this software knows version 1: update it")]
    Version {
        /// The version it has.
        version: u8,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::SecretKey;

    fn any_addr() -> impl Strategy<Value = PeerAddr> {
        let addresses = proptest::collection::vec(any::<SocketAddr>(), 0..8);
        let relays =
            proptest::collection::vec("https://[a-z]{1,20}\\.example(:[1-9][0-9]{0,3})?", 0..4);
        (any::<[u8; 32]>(), addresses, relays).prop_map(|(secret, addresses, relays)| {
            let mut addr = PeerAddr::new(SecretKey::from_bytes(&secret).peer_id());
            for mut address in addresses {
                // Flow label and scope are of one machine only; they do not travel.
                if let SocketAddr::V6(v6) = &mut address {
                    v6.set_flowinfo(0);
                    v6.set_scope_id(0);
                }
                addr = addr.with_address(address);
            }
            for relay in relays {
                addr = addr.with_relay(relay.parse().expect("a relay's URL"));
            }
            addr
        })
    }

    proptest! {
        #[test]
        fn a_ticket_comes_back_as_it_went(addr in any_addr()) {
            let text = encode(&addr);
            prop_assert_eq!(decode(&text), Ok(addr.clone()));
            prop_assert_eq!(decode(&format!(" {}\n", text.to_uppercase())), Ok(addr));
        }

        #[test]
        fn one_wrong_character_is_noticed(addr in any_addr(), at in any::<prop::sample::Index>()) {
            let mut text = encode(&addr).into_bytes();
            let at = at.index(text.len());
            text[at] = if text[at] == b'a' { b'b' } else { b'a' };
            prop_assert!(decode(std::str::from_utf8(&text).unwrap()).is_err());
        }

        #[test]
        fn a_cut_ticket_is_noticed(addr in any_addr(), at in any::<prop::sample::Index>()) {
            let text = encode(&addr);
            prop_assert!(decode(&text[..at.index(text.len())]).is_err());
        }

        #[test]
        fn any_text_decodes_or_fails_but_never_panics(text in ".*") {
            let _ = decode(&text);
            let _ = decode(&format!("p2p{text}"));
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = vec![9, 1, 2, 3];
        let checksum = crc32fast::hash(&bytes);
        bytes.extend(checksum.to_be_bytes());
        let text = format!("p2p{}", BASE32_NOPAD_NOCASE.encode(&bytes));
        assert_eq!(decode(&text), Err(TicketError::Version { version: 9 }));
    }

    #[test]
    fn fields_of_a_later_minor_version_are_ignored() {
        let addr = PeerAddr::new(SecretKey::from_bytes(&[3; 32]).peer_id());
        let text = encode(&addr);
        let mut bytes = BASE32_NOPAD_NOCASE.decode(&text.as_bytes()[3..]).expect("base32");
        bytes.truncate(bytes.len() - 4);
        bytes.extend(b"a new field");
        let checksum = crc32fast::hash(&bytes);
        bytes.extend(checksum.to_be_bytes());
        assert_eq!(decode(&format!("p2p{}", BASE32_NOPAD_NOCASE.encode(&bytes))), Ok(addr));
    }
}
