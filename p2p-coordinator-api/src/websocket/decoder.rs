//! From bytes to messages.

use thiserror::Error;

use super::{INVALID_DATA, MAX_CONTROL, PROTOCOL_ERROR, Role, TOO_LARGE, apply};

/// A whole message, or a control frame between parts of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Bytes.
    Binary(&'a [u8]),
    /// The end, with code and reason if they were given.
    Close(Option<(u16, &'a str)>),
    /// Wants a pong with the same payload.
    Ping(&'a [u8]),
    /// Answers a ping, or shows unasked that the sender lives.
    Pong(&'a [u8]),
    /// Text.
    Text(&'a str),
}

/// What a sender did that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// Text that is no UTF-8.
    #[error("text has to be UTF-8")]
    NotUtf8,
    /// Not what the protocol allows.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message of more bytes than are taken.
    #[error("a message has at most {max} bytes")]
    TooLarge {
        /// How many are taken.
        max: usize,
    },
}

impl Violation {
    /// The code to close with.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::NotUtf8 => INVALID_DATA,
            Self::Protocol(_) => PROTOCOL_ERROR,
            Self::TooLarge { .. } => TOO_LARGE,
        }
    }
}

/// Takes bytes as they come, and gives the messages in them. Between messages it holds no memory; in
/// one, at most what the largest takes.
#[derive(Debug)]
pub struct Decoder {
    sender: Role,
    max: usize,
    buffer: Vec<u8>,
    /// How much of the buffer has been given out.
    used: usize,
    /// The parts of a message so far, and whether it is text.
    parts: Option<(bool, Vec<u8>)>,
    /// `parts` is whole and has been given out.
    given: bool,
}

/// A frame's header, and where its payload is in the buffer.
struct Frame {
    last: bool,
    opcode: u8,
    start: usize,
    end: usize,
}

impl Decoder {
    /// For what `sender` sends, in messages of at most `max` bytes.
    pub const fn new(sender: Role, max: usize) -> Self {
        Self { sender, max, buffer: Vec::new(), used: 0, parts: None, given: false }
    }

    /// Takes more bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if it is there as a whole.
    ///
    /// # Errors
    ///
    /// [`Violation`]; after it nothing that comes can be understood.
    pub fn decode(&mut self) -> Result<Option<Message<'_>>, Violation> {
        if std::mem::take(&mut self.given) {
            self.parts = None;
        }
        loop {
            let Some(frame) = self.frame()? else {
                self.compact();
                return Ok(None);
            };
            self.used = frame.end;
            if frame.opcode >= 8 {
                return self.control(&frame).map(Some);
            }
            match (frame.opcode, &mut self.parts) {
                (0, Some((_, parts))) => {
                    parts.extend_from_slice(&self.buffer[frame.start..frame.end]);
                }
                (0, None) => return Err(Violation::Protocol("a continuation of nothing")),
                (1 | 2, Some(_)) => {
                    return Err(Violation::Protocol("a message in the middle of another"));
                }
                (opcode, None) if frame.last => {
                    return data(opcode == 1, &self.buffer[frame.start..frame.end]).map(Some);
                }
                (opcode, parts) => {
                    let first = self.buffer[frame.start..frame.end].to_vec();
                    *parts = Some((opcode == 1, first));
                }
            }
            if frame.last {
                self.given = true;
                break;
            }
        }
        match &self.parts {
            Some((is_text, parts)) => data(*is_text, parts).map(Some),
            None => Ok(None),
        }
    }

    /// The next frame, unmasked in place, if it is there as a whole.
    fn frame(&mut self) -> Result<Option<Frame>, Violation> {
        let bytes = &self.buffer[self.used..];
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("an extension that was not agreed on"));
        }
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(Violation::Protocol("an unknown kind of frame"));
        }
        let (masked, short) = (second & 0x80 != 0, second & 0x7f);
        if masked != (self.sender == Role::Client) {
            return Err(Violation::Protocol("clients mask what they send, and servers do not"));
        }
        if opcode >= 8 && (!last || usize::from(short) > MAX_CONTROL) {
            return Err(Violation::Protocol("a control frame that is long or in parts"));
        }
        let (length, mut header) = match short {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 4),
                _ => return Ok(None),
            },
            127 => match rest.get(..8).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (u64::from_be_bytes(bytes), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        let so_far = self.parts.as_ref().map_or(0, |(_, parts)| parts.len());
        let room = if opcode >= 8 { MAX_CONTROL } else { self.max.saturating_sub(so_far) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > room {
            return Err(Violation::TooLarge { max: self.max });
        }
        let mask: Option<[u8; 4]> = match masked {
            true => match bytes.get(header..header + 4).and_then(|bytes| bytes.try_into().ok()) {
                Some(mask) => Some(mask),
                None => return Ok(None),
            },
            false => None,
        };
        header += if masked { 4 } else { 0 };
        if bytes.len() < header + length {
            return Ok(None);
        }
        let (start, end) = (self.used + header, self.used + header + length);
        if let Some(mask) = mask {
            apply(mask, &mut self.buffer[start..end]);
        }
        Ok(Some(Frame { last, opcode, start, end }))
    }

    fn control(&self, frame: &Frame) -> Result<Message<'_>, Violation> {
        let payload = &self.buffer[frame.start..frame.end];
        match (frame.opcode, payload) {
            (9, payload) => Ok(Message::Ping(payload)),
            (10, payload) => Ok(Message::Pong(payload)),
            (_, []) => Ok(Message::Close(None)),
            (_, [_]) => Err(Violation::Protocol("half a close code")),
            (_, [high, low, reason @ ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                    return Err(Violation::Protocol("a close code that must not be sent"));
                }
                let reason = std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
                Ok(Message::Close(Some((code, reason))))
            }
        }
    }

    /// Gives memory back.
    fn compact(&mut self) {
        if self.used == self.buffer.len() {
            self.buffer = Vec::new();
        } else if self.used > 0 {
            self.buffer.drain(..self.used);
        }
        self.used = 0;
    }
}

fn data(is_text: bool, payload: &[u8]) -> Result<Message<'_>, Violation> {
    match is_text {
        true => std::str::from_utf8(payload).map(Message::Text).map_err(|_| Violation::NotUtf8),
        false => Ok(Message::Binary(payload)),
    }
}
