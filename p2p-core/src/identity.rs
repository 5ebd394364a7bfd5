//! Who a peer is: an Ed25519 key pair, of which the public half is its name.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use thiserror::Error;

/// A peer's name: its 32-byte Ed25519 public key.
///
/// A value that exists is a point of the curve of full order (RFC 8032, section 5.1.3), so that
/// nothing signed for it can be valid for everybody. Prints as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Checks that `bytes` are a public key, and makes a peer's name of them.
    ///
    /// # Errors
    ///
    /// [`PeerIdError::NotAKey`] if they are not the encoding of a point of the curve, or one of
    /// small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PeerIdError> {
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(PeerIdError::NotAKey),
        }
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first ten hexadecimal digits: for logs and tables, never for comparison.
    pub fn fmt_short(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0[..5])
    }

    /// Checks that this peer signed `message`.
    ///
    /// # Errors
    ///
    /// [`PeerIdError::BadSignature`] if it did not.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), PeerIdError> {
        VerifyingKey::from_bytes(&self.0)
            .and_then(|key| key.verify(message, &Signature::from_bytes(signature)))
            .map_err(|_| PeerIdError::BadSignature)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.fmt_short())
    }
}

impl FromStr for PeerId {
    type Err = PeerIdError;

    fn from_str(text: &str) -> Result<Self, PeerIdError> {
        let bytes =
            HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).map_err(|_| PeerIdError::NotHex)?;
        let bytes = <[u8; 32]>::try_from(bytes)
            .map_err(|bytes| PeerIdError::Length { actual: bytes.len() })?;
        Self::from_bytes(bytes)
    }
}

/// Why bytes or text are not a [`PeerId`], or a signature not the peer's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerIdError {
    /// The signature does not belong to this peer and message.
    #[error("signature does not belong to this peer and message")]
    BadSignature,
    /// Not 32 bytes.
    #[error("a peer id has 32 bytes, not {actual}")]
    Length {
        /// How many there were.
        actual: usize,
    },
    /// The bytes are no usable Ed25519 public key.
    #[error("not an Ed25519 public key")]
    NotAKey,
    /// The text is not hexadecimal.
    #[error("a peer id is written in hexadecimal digits")]
    NotHex,
}

/// The secret half of a peer's identity. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Takes 32 random bytes as the secret. Where they come from is the caller's business: the core
    /// draws no random numbers.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// The secret bytes, to store them.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`; [`PeerId::verify`] checks it.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.peer_id().fmt_short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text() {
        let id = SecretKey::from_bytes(&[7; 32]).peer_id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_key_is_named() {
        assert_eq!("zz".parse::<PeerId>(), Err(PeerIdError::NotHex));
        assert_eq!("00ff".parse::<PeerId>(), Err(PeerIdError::Length { actual: 2 }));
        // y = 2 is not on the curve; y = 1 is the neutral element, of order one.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(PeerId::from_bytes(bytes), Err(PeerIdError::NotAKey));
        bytes[0] = 1;
        assert_eq!(PeerId::from_bytes(bytes), Err(PeerIdError::NotAKey));
    }

    #[test]
    fn only_the_owner_signs() {
        let (a, b) = (SecretKey::from_bytes(&[1; 32]), SecretKey::from_bytes(&[2; 32]));
        let signature = a.sign(b"hello");
        assert_eq!(a.peer_id().verify(b"hello", &signature), Ok(()));
        assert!(a.peer_id().verify(b"hallo", &signature).is_err());
        assert!(b.peer_id().verify(b"hello", &signature).is_err());
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = SecretKey::from_bytes(&[0xab; 32]);
        assert!(!format!("{secret:?}").contains("abab"));
    }
}
