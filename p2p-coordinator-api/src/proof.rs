//! How a host proves over any door that it owns the peer id with which it registers.
//!
//! The coordinator hands out a challenge that it signed itself and that expires, so it need not
//! remember it; the host signs the challenge together with what it claims. A proof that is repeated
//! within the challenge's life registers the same claim again: also that of a fresh start, which
//! voids the places in its sessions once more.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use p2p_core::{PeerAddr, PeerId, SecretKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::HostId;
use crate::time::Timestamp;

const CHALLENGE: &[u8] = b"p2p-coordinator/challenge/1\0";
const PROOF: &[u8] = b"p2p-coordinator/host-proof/1\0";

/// What a host is to sign: when it expires, 16 random bytes, and the coordinator's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Challenge(String);

impl Challenge {
    /// How long a host has to answer.
    pub const LIFETIME: Duration = Duration::from_secs(60);

    /// A challenge by the coordinator `key`, from the moment `now`.
    pub fn new(key: &SecretKey, now: Timestamp, random: [u8; 16]) -> Self {
        let mut bytes = now.after(Self::LIFETIME).as_millis().to_be_bytes().to_vec();
        bytes.extend(random);
        let signature = key.sign(&[CHALLENGE, &bytes].concat());
        bytes.extend(signature);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(&self, issuer: PeerId, now: Timestamp) -> Result<(), ProofError> {
        let bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).map_err(|_| ProofError::Malformed)?;
        let Ok(bytes) = <[u8; 88]>::try_from(bytes) else { return Err(ProofError::Malformed) };
        let (signed, signature) = bytes.split_at(24);
        let signature = signature.try_into().map_err(|_| ProofError::Malformed)?;
        issuer
            .verify(&[CHALLENGE, signed].concat(), &signature)
            .map_err(|_| ProofError::NotOurs)?;
        let expires = signed.first_chunk().map_or(0, |millis| u64::from_be_bytes(*millis));
        if Timestamp::from_millis(expires) < now {
            return Err(ProofError::Expired);
        }
        Ok(())
    }
}

/// The answer to a request for a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedChallenge {
    /// What to sign.
    pub challenge: Challenge,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What makes a registered host a peer: its address, and a proof that the peer id in it is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostProof {
    /// Where players find it.
    #[serde(with = "crate::text")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub addr: PeerAddr,
    /// Whether the process has just begun, so that nobody is in its sessions.
    #[serde(default)]
    pub fresh: bool,
    /// What the coordinator asked.
    pub challenge: Challenge,
    /// The answer: an Ed25519 signature in base64url.
    pub signature: String,
}

impl HostProof {
    /// A proof by `key` that host `host_id` is at `addr`.
    pub fn new(
        key: &SecretKey,
        host_id: &HostId,
        addr: PeerAddr,
        fresh: bool,
        challenge: Challenge,
    ) -> Self {
        let signature = key.sign(&signed(host_id, &addr, fresh, &challenge));
        Self { addr, fresh, challenge, signature: BASE64URL_NOPAD.encode(&signature) }
    }

    /// Checks that the challenge is `issuer`'s and has not expired, and that the owner of the peer id
    /// in the address signed it for `host_id`.
    ///
    /// # Errors
    ///
    /// [`ProofError`].
    pub fn check(
        &self,
        host_id: &HostId,
        issuer: PeerId,
        now: Timestamp,
    ) -> Result<(), ProofError> {
        self.challenge.check(issuer, now)?;
        let signature = BASE64URL_NOPAD
            .decode(self.signature.as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 64]>::try_from(bytes).ok())
            .ok_or(ProofError::Malformed)?;
        let message = signed(host_id, &self.addr, self.fresh, &self.challenge);
        self.addr.id().verify(&message, &signature).map_err(|_| ProofError::NotTheirs)
    }
}

/// Each part but the last has its end marked by a byte that it cannot contain.
fn signed(host_id: &HostId, addr: &PeerAddr, fresh: bool, challenge: &Challenge) -> Vec<u8> {
    let (addr, fresh) = (addr.to_string(), [u8::from(fresh)]);
    let parts: [&[u8]; 7] = [
        PROOF,
        host_id.as_str().as_bytes(),
        b"\0",
        addr.as_bytes(),
        b"\0",
        &fresh,
        challenge.0.as_bytes(),
    ];
    parts.concat()
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The address is no ticket.
    #[error("the address is malformed")]
    Address,
    /// The challenge is too old.
    #[error("the challenge has expired: ask for a new one")]
    Expired,
    /// Not of the form.
    #[error("the challenge or the signature is malformed")]
    Malformed,
    /// The challenge is not this coordinator's.
    #[error("the challenge is not from this coordinator: ask it for one")]
    NotOurs,
    /// The signature is not by the owner of the peer id.
    #[error("the signature is not by the owner of the peer id for this host id and address")]
    NotTheirs,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32])
    }

    #[test]
    fn a_proof_holds_for_its_owner_host_challenge_and_time_only() {
        let (coordinator, host) = (key(1), key(2));
        let now = Timestamp::from_millis(1_000_000);
        let id: HostId = "h1".parse().unwrap();
        let challenge = Challenge::new(&coordinator, now, [3; 16]);
        let addr = PeerAddr::new(host.peer_id());
        let proof = HostProof::new(&host, &id, addr.clone(), true, challenge.clone());
        let issuer = coordinator.peer_id();
        assert_eq!(proof.check(&id, issuer, now), Ok(()));

        let late = now.after(Challenge::LIFETIME + Duration::from_millis(1));
        assert_eq!(proof.check(&id, issuer, late), Err(ProofError::Expired));
        assert_eq!(proof.check(&id, host.peer_id(), now), Err(ProofError::NotOurs));
        let other: HostId = "h2".parse().unwrap();
        assert_eq!(proof.check(&other, issuer, now), Err(ProofError::NotTheirs));
        let forged = HostProof::new(&key(9), &id, addr, true, challenge);
        assert_eq!(forged.check(&id, issuer, now), Err(ProofError::NotTheirs));
        let changed = HostProof { fresh: false, ..proof.clone() };
        assert_eq!(changed.check(&id, issuer, now), Err(ProofError::NotTheirs));
        let cut = HostProof { signature: "AA".into(), ..proof };
        assert_eq!(cut.check(&id, issuer, now), Err(ProofError::Malformed));
    }
}
