//! Join tokens: what a player shows a host.
//!
//! Signed by the coordinator with Ed25519 (RFC 8032), so that hosts check them offline. A token says
//! who may come (player *and* peer id, which the transport proves), where (session, zone, host), until
//! when, and has a nonce by which a host tells a second use. It fits the credential of a hello.
//!
//! On the wire: a version byte, the claims in postcard, the signature over a context string and all
//! before it. In JSON: base64url without padding.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use p2p_core::{MAX_CREDENTIAL, PeerId, SecretKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::ids::{HostId, PlayerId, SessionName, ZoneId};
use crate::time::Timestamp;

pub(crate) const CONTEXT: &[u8] = b"p2p-coordinator/join/1\0";
const VERSION: u8 = 1;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinClaims {
    /// The session in which the player has a place.
    pub session: SessionName,
    /// The zone that is played there.
    pub zone: ZoneId,
    /// The host's name.
    pub host: HostId,
    /// The host's peer id: nobody else is to honour the token.
    pub host_peer: PeerId,
    /// The player.
    pub player: PlayerId,
    /// The player's peer id: nobody else is to use the token.
    pub peer: PeerId,
    /// The most players of the session: a host that has so many lets nobody else in, also while it
    /// does not know yet that one of them has gone elsewhere.
    pub places: u32,
    /// How often the session had been given to a host when the token was made; a host that knows of
    /// a later time refuses earlier tokens.
    pub epoch: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends; it is valid before, not at this moment.
    pub expires_at: Timestamp,
    /// Drawn at random for this token alone.
    pub nonce: Nonce,
}

/// What tells a token from every other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// The characters of its text.
    pub const CHARS: usize = 32;
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| TokenError::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| TokenError::Malformed)
    }
}

/// Signed claims: opaque to the player.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(Vec<u8>);

/// The claims as they travel.
#[derive(Serialize, Deserialize)]
struct Wire {
    session: SessionName,
    zone: ZoneId,
    host: HostId,
    host_peer: [u8; 32],
    player: PlayerId,
    peer: [u8; 32],
    places: u32,
    epoch: u64,
    issued_at: u64,
    expires_at: u64,
    nonce: Nonce,
}

const SIGNATURE: usize = 64;

impl JoinToken {
    /// A token with these claims, signed by the coordinator.
    ///
    /// # Errors
    ///
    /// [`TokenError::TooLong`] if ids of four-byte characters make it longer than a credential.
    pub fn sign(key: &SecretKey, claims: &JoinClaims) -> Result<Self, TokenError> {
        let wire = Wire {
            session: claims.session.clone(),
            zone: claims.zone.clone(),
            host: claims.host.clone(),
            host_peer: *claims.host_peer.as_bytes(),
            player: claims.player.clone(),
            peer: *claims.peer.as_bytes(),
            places: claims.places,
            epoch: claims.epoch,
            issued_at: claims.issued_at.as_millis(),
            expires_at: claims.expires_at.as_millis(),
            nonce: claims.nonce,
        };
        let mut bytes =
            postcard::to_extend(&wire, vec![VERSION]).map_err(|_| TokenError::Malformed)?;
        let signature = key.sign(&[CONTEXT, &bytes].concat());
        bytes.extend(signature);
        match bytes.len() {
            length if length > MAX_CREDENTIAL => Err(TokenError::TooLong { actual: length }),
            _ => Ok(Self(bytes)),
        }
    }

    /// The bytes, as a credential carries them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes what a player showed; [`verify`](JoinToken::verify) says whether it is a token.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The claims, if `issuer` signed them. Whether they hold here and now is another question.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], [`TokenError::Version`] or [`TokenError::Forged`].
    pub fn verify(&self, issuer: PeerId) -> Result<JoinClaims, TokenError> {
        if self.0.len() > MAX_CREDENTIAL {
            return Err(TokenError::Malformed);
        }
        let Some((signed, signature)) = self.0.split_last_chunk::<SIGNATURE>() else {
            return Err(TokenError::Malformed);
        };
        match signed.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(TokenError::Version { version }),
            None => return Err(TokenError::Malformed),
        }
        issuer.verify(&[CONTEXT, signed].concat(), signature).map_err(|_| TokenError::Forged)?;
        // Fields that a later coordinator appends are not ours to read.
        let (wire, _later) =
            postcard::take_from_bytes::<Wire>(&signed[1..]).map_err(|_| TokenError::Malformed)?;
        let peer = |bytes| PeerId::from_bytes(bytes).map_err(|_| TokenError::Malformed);
        Ok(JoinClaims {
            session: wire.session,
            zone: wire.zone,
            host: wire.host,
            host_peer: peer(wire.host_peer)?,
            player: wire.player,
            peer: peer(wire.peer)?,
            places: wire.places,
            epoch: wire.epoch,
            issued_at: Timestamp::from_millis(wire.issued_at),
            expires_at: Timestamp::from_millis(wire.expires_at),
            nonce: wire.nonce,
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever has the player's key could use it: not for logs.
        write!(f, "JoinToken({} bytes)", self.0.len())
    }
}

impl Serialize for JoinToken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for JoinToken {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Why bytes are no valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not signed by the coordinator.
    #[error("the token is not signed by the coordinator")]
    Forged,
    /// Not of the form.
    #[error("not a join token")]
    Malformed,
    /// Longer than a credential may be.
    #[error("the token has {actual} bytes, and {MAX_CREDENTIAL} are allowed: use shorter ids")]
    TooLong {
        /// How long it would be.
        actual: usize,
    },
    /// Of a version that is not known here.
    #[error("the token has version {version}, and only {VERSION} is known here")]
    Version {
        /// Its version.
        version: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32])
    }

    fn claims(id: &str) -> JoinClaims {
        JoinClaims {
            session: SessionName::from_bits(7),
            zone: id.parse().unwrap(),
            host: id.parse().unwrap(),
            host_peer: key(2).peer_id(),
            player: id.parse().unwrap(),
            peer: key(3).peer_id(),
            places: 9,
            epoch: 4,
            issued_at: Timestamp::from_millis(5),
            expires_at: Timestamp::from_millis(6),
            nonce: Nonce([7; 16]),
        }
    }

    #[test]
    fn claims_survive_the_wire_and_json() {
        let token = JoinToken::sign(&key(1), &claims("x")).unwrap();
        let json = serde_json::to_string(&token).unwrap();
        let back: JoinToken = serde_json::from_str(&json).unwrap();
        assert_eq!(back.verify(key(1).peer_id()), Ok(claims("x")));
        assert!(!format!("{token:?}").contains("77"), "a token is not printed");
    }

    #[test]
    fn ids_of_one_byte_characters_always_fit() {
        assert!(JoinToken::sign(&key(1), &claims(&"x".repeat(255))).is_ok());
        let long = JoinToken::sign(&key(1), &claims(&"𝄞".repeat(255)));
        assert!(matches!(long, Err(TokenError::TooLong { .. })), "{long:?}");
    }

    #[test]
    fn another_signer_or_version_is_refused_by_name() {
        let token = JoinToken::sign(&key(1), &claims("x")).unwrap();
        assert_eq!(token.verify(key(2).peer_id()), Err(TokenError::Forged));
        let mut bytes = token.as_bytes().to_vec();
        bytes[0] = 9;
        let later = JoinToken::from_bytes(bytes);
        assert_eq!(later.verify(key(1).peer_id()), Err(TokenError::Version { version: 9 }));
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(bit in 0usize..8 * 150) {
            let mut bytes = JoinToken::sign(&key(1), &claims("x")).unwrap().as_bytes().to_vec();
            let bit = bit % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(JoinToken::from_bytes(bytes).verify(key(1).peer_id()).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(JoinToken::from_bytes(bytes).verify(key(1).peer_id()).is_err());
        }
    }
}
