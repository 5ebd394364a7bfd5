//! Fuzz targets: whatever clients, players and hosts can hand in. As in `p2p-core/fuzz/targets.rs`.

use data_encoding::BASE64URL_NOPAD;
use p2p_core::SecretKey;

use crate::ids::{HostId, MAX_CHARS, SessionName};
use crate::proof::{Challenge, HostProof};
use crate::time::Timestamp;
use crate::token::{CONTEXT, JoinToken};
use crate::websocket::{Decoder, Message, Role};

/// How many inputs each target has in `cargo test`, besides its corpus.
const INPUTS: usize = 2000;
/// Those with signatures in them take longer.
const SIGNED: usize = 200;

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

/// What a decoder finds, as one text, and whether all of it could be read.
fn websocket_of(bytes: &[u8], cut: usize, sender: Role) -> (String, bool) {
    let (mut decoder, mut found) = (Decoder::new(sender, 1000), String::new());
    for chunk in bytes.chunks(cut) {
        decoder.feed(chunk);
        loop {
            match decoder.decode() {
                Ok(Some(message)) => {
                    if let Message::Binary(bytes) = message {
                        assert!(bytes.len() <= 1000);
                    }
                    found += &format!("{message:?};");
                }
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

#[test]
fn websocket() {
    bolero::check!(name = "websocket").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let Some((&first, rest)) = bytes.split_first() else { return };
        let sender = if first & 1 == 1 { Role::Client } else { Role::Server };
        let cut = usize::from(first >> 1) + 1;
        // However it is cut, it is the same.
        assert_eq!(websocket_of(rest, cut, sender), websocket_of(rest, rest.len().max(1), sender));
    });
}

#[test]
fn token() {
    let key = key();
    bolero::check!(name = "token").with_iterations(SIGNED).for_each(|bytes: &[u8]| {
        // As it is, which nobody signed; and as the coordinator might have signed it.
        assert!(JoinToken::from_bytes(bytes).verify(key.peer_id()).is_err());
        let mut signed = bytes.to_vec();
        signed.extend(key.sign(&[CONTEXT, bytes].concat()));
        if let Ok(claims) = JoinToken::from_bytes(signed).verify(key.peer_id()) {
            let again = JoinToken::sign(&key, &claims).expect("no longer than it was");
            assert_eq!(again.verify(key.peer_id()), Ok(claims));
        }
    });
}

#[test]
fn proof() {
    let key = key();
    bolero::check!(name = "proof").with_iterations(SIGNED).for_each(|bytes: &[u8]| {
        let Ok(proof) = serde_json::from_slice::<HostProof>(bytes) else {
            // As text in base64, where it would be one.
            let text = BASE64URL_NOPAD.encode(bytes);
            let challenge = serde_json::from_value::<Challenge>(text.into()).expect("a text");
            let host = HostId::new("host").expect("an id");
            let addr = key.peer_id().into();
            let proof = HostProof::new(&key, &host, addr, false, challenge);
            assert!(proof.check(&host, key.peer_id(), Timestamp::from_millis(0)).is_err());
            return;
        };
        let host = HostId::new("host").expect("an id");
        assert!(proof.check(&host, key.peer_id(), Timestamp::from_millis(0)).is_err());
    });
}

#[test]
fn texts() {
    bolero::check!(name = "texts").with_iterations(INPUTS).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(id) = HostId::new(&*text) {
            assert_eq!(id.as_str(), text);
            assert!(text.chars().count() <= MAX_CHARS);
        }
        let _ = SessionName::is_one(&text);
        if let Ok(token) = serde_json::from_slice::<JoinToken>(bytes) {
            let again = serde_json::to_vec(&token).expect("a text");
            assert_eq!(serde_json::from_slice::<JoinToken>(&again).ok(), Some(token));
        }
        if let Ok(time) = serde_json::from_slice::<Timestamp>(bytes) {
            let again = serde_json::to_vec(&time).expect("a text");
            assert_eq!(serde_json::from_slice::<Timestamp>(&again).ok(), Some(time));
        }
    });
}
