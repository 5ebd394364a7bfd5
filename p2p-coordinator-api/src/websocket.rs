//! WebSocket messages on a stream of bytes ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)), without
//! I/O: bytes in, messages out, and back.
//!
//! - [`Decoder`]: from bytes to [`Message`]s, or to a [`Violation`] with the code to close with;
//! - [`encode`], [`encode_close`]: from a message to bytes;
//! - [`accept_key`]: the handshake's answer.
//!
//! Coordinators and clients share it. Nothing in it draws a random number: a client gives the mask, so
//! that a simulated one sends the same bytes in each run. No extensions: no compression.

mod decoder;

pub use decoder::{Decoder, Message, Violation};

use data_encoding::BASE64;

/// Who sends: a client masks what it sends, a server does not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Who asked for the upgrade.
    Client,
    /// Who granted it.
    Server,
}

/// What a frame is (section 5.2). Continuations are the decoder's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// A question whether the other side lives.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

/// The normal end (section 7.4.1).
pub const NORMAL: u16 = 1000;
/// The server goes away, or a page is left.
pub const GOING_AWAY: u16 = 1001;
/// What was sent breaks the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// Text that is no UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// What was sent is not allowed.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message is too large.
pub const TOO_LARGE: u16 = 1009;
/// The server restarts: come back (registered with IANA).
pub const SERVICE_RESTART: u16 = 1012;
/// The server has too much to do: come back later (registered with IANA).
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The access token has ended, or was taken back: come back with another (as HTTP's 401).
pub const TOKEN_ENDED: u16 = 4401;

/// The most bytes of a ping's, a pong's or a close frame's payload (section 5.5).
pub const MAX_CONTROL: usize = 125;

/// Appends one unfragmented frame to `out`; masked if a mask is given, as a client has to.
pub fn encode(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.push(0x80 | opcode as u8);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => out.push(masked | length),
        (_, Ok(length)) => {
            out.push(masked | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    let Some(mask) = mask else { return out.extend_from_slice(payload) };
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    apply(mask, &mut out[start..]);
}

/// Appends a close frame. A reason longer than its room is cut at a character.
pub fn encode_close(out: &mut Vec<u8>, code: u16, reason: &str, mask: Option<[u8; 4]>) {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    encode(out, Opcode::Close, &payload, mask);
}

/// What a server answers to a handshake's `Sec-WebSocket-Key` (section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let mut sha = sha1_smol::Sha1::new();
    sha.update(key.as_bytes());
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(&sha.digest().bytes())
}

/// Masks, or unmasks (section 5.3), eight bytes at a time.
fn apply(mask: [u8; 4], data: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
