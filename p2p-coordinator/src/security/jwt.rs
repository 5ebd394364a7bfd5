//! The form of a token: a JSON Web Token (RFC 7519) in compact form, signed with HMAC-SHA-256
//! (`HS256`, RFC 7518 section 3.2).
//!
//! Libraries for it read the clock where they check `exp`, know many algorithms among which the
//! token chooses, and bring the code of all of them. What is needed is one algorithm, a time that is
//! passed in, and keys by id: this file, on RustCrypto's `hmac` and `sha2`.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use p2p_core::SecretKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most bytes of a token: longer text is refused before anything is decoded.
pub const MAX_TOKEN: usize = 4096;

/// A secret that signs tokens or checks them, and the id by which tokens name it.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    mac: Hmac<Sha256>,
}

impl TokenKey {
    /// The key of this secret. Its id is the beginning of the secret's SHA-256, so that every
    /// instance that is given the secret calls it the same.
    ///
    /// RFC 7518 asks for 32 bytes of chance at least.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        let digest = Sha256::digest(secret);
        Self { id: HEXLOWER.encode(&digest[..6]), mac: keyed(secret) }
    }

    /// A key that follows from the coordinator's own, for where none is configured.
    pub(super) fn derived(key: &SecretKey) -> Self {
        let mut mac = keyed(&key.to_bytes());
        mac.update(b"p2p-coordinator/token-key/1");
        Self::new(mac.finalize().into_bytes())
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What names follow from that are made for a request with a key: nobody else can find them.
#[derive(Clone)]
pub struct NameKey(Hmac<Sha256>);

impl NameKey {
    /// The one that follows from the coordinator's own key, which all coordinators of one store share.
    pub fn derived(key: &SecretKey) -> Self {
        let mut mac = keyed(&key.to_bytes());
        mac.update(b"p2p-coordinator/name-key/1");
        Self(keyed(&mac.finalize().into_bytes()))
    }

    /// The sixteen bytes that follow from these texts, whatever is in them.
    pub fn name(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let whole = mac.finalize().into_bytes();
        std::array::from_fn(|at| whole[at])
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

/// A key of any length is one: RFC 2104, section 2, hashes long ones and fills up short ones.
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    if secret.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        block[..secret.len()].copy_from_slice(secret);
    }
    Hmac::new(&block.into())
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for TokenKey {}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Deserialize)]
struct AnyHeader {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none are here (RFC 7515, section 4.1.11).
    crit: Option<serde::de::IgnoredAny>,
}

/// Text that holds the claims, signed with the key.
pub(super) fn sign(key: &TokenKey, claims: &impl Serialize) -> Result<String, serde_json::Error> {
    let header = serde_json::to_vec(&Header { alg: ALGORITHM, kid: &key.id, typ: "JWT" })?;
    let mut token = BASE64URL_NOPAD.encode(&header);
    token.push('.');
    BASE64URL_NOPAD.encode_append(&serde_json::to_vec(claims)?, &mut token);
    let mut mac = key.mac.clone();
    mac.update(token.as_bytes());
    let signature = mac.finalize().into_bytes();
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Ok(token)
}

/// The claims, if one of the keys signed them: that which the token names, or any if it names none.
/// What they say, and whether it holds now, is another question.
pub(super) fn open<T: DeserializeOwned>(keys: &[TokenKey], token: &str) -> Option<T> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let header: AnyHeader = serde_json::from_slice(&decode(header)?).ok()?;
    // Not the token chooses how it is checked.
    if header.alg != ALGORITHM || header.crit.is_some() {
        return None;
    }
    let signature = decode(signature)?;
    let signs = |key: &&TokenKey| {
        let mut mac = key.mac.clone();
        mac.update(signed.as_bytes());
        // Takes as long for every wrong one.
        mac.verify_slice(&signature).is_ok()
    };
    let named = |key: &&TokenKey| header.kid.as_ref().is_none_or(|id| *id == key.id);
    keys.iter().filter(named).find(signs)?;
    serde_json::from_slice(&decode(claims)?).ok()
}

const ALGORITHM: &str = "HS256";

fn decode(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parts(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}", part(header), part(claims))
    }

    fn signed(key: &TokenKey, header: &Value, claims: &Value) -> String {
        let text = parts(header, claims);
        let mut mac = key.mac.clone();
        mac.update(text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()))
    }

    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        // The example of RFC 7515, appendix A.1.
        let key = BASE64URL_NOPAD
            .decode(
                b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            )
            .unwrap();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
            eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
            dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let claims: Value = open(&[TokenKey::new(key)], token).unwrap();
        assert_eq!(claims["iss"], "joe");
        assert_eq!(open::<Value>(&[TokenKey::new("another")], token), None);
    }

    #[test]
    fn the_token_does_not_choose_how_it_is_checked() {
        let key = TokenKey::new([7; 32]);
        let (keys, claims) = ([key.clone()], json!({ "sub": "a" }));
        let good = json!({ "alg": "HS256", "kid": key.id() });
        assert_eq!(open(&keys, &signed(&key, &good, &claims)), Some(claims.clone()));
        assert_eq!(
            open(&keys, &signed(&key, &json!({ "alg": "HS256" }), &claims)),
            Some(claims.clone())
        );
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "None" }),
            json!({ "alg": "HS512" }),
            json!({ "alg": "RS256" }),
            json!({ "alg": ["HS256"] }),
            json!({ "alg": "HS256", "kid": "other" }),
            json!({ "alg": "HS256", "crit": ["b64"], "b64": false }),
            json!({}),
            json!([]),
        ] {
            assert_eq!(open::<Value>(&keys, &signed(&key, &header, &claims)), None, "{header}");
            assert_eq!(open::<Value>(&keys, &format!("{}.", parts(&header, &claims))), None);
        }
    }

    #[test]
    fn each_of_several_keys_is_known_by_its_id_and_a_retired_one_is_not() {
        let (new, old) = (TokenKey::new("the new secret"), TokenKey::new("the old secret"));
        let token = sign(&old, &json!({ "sub": "a" })).unwrap();
        assert!(open::<Value>(&[new.clone(), old], &token).is_some());
        assert_eq!(open::<Value>(&[new], &token), None);
        assert!(!format!("{:?}", TokenKey::new("hidden")).contains("hidden"));
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in 0_usize..200, to in "[A-Za-z0-9_.=-]") {
            let key = TokenKey::new([7; 32]);
            let token = sign(&key, &json!({ "sub": "somebody", "exp": 12345 })).unwrap();
            let at = at % token.len();
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert_eq!(open::<Value>(&[key], &changed), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            prop_assert_eq!(open::<Value>(&[TokenKey::new("k")], &text), None);
        }
    }
}
