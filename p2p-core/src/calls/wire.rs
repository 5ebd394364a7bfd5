//! The heads of requests and responses.

use std::time::Duration;

/// Of the format below.
const VERSION: u8 = 1;

/// Before a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// The time that the caller has left, in whole microseconds.
    pub(crate) timeout: Duration,
    /// Bytes of the body.
    pub(crate) length: u32,
}

impl RequestHead {
    pub(crate) const LENGTH: usize = 13;

    pub(crate) fn encode(&self) -> [u8; Self::LENGTH] {
        let micros = u64::try_from(self.timeout.as_micros()).unwrap_or(u64::MAX);
        let mut bytes = [VERSION; Self::LENGTH];
        bytes[1..9].copy_from_slice(&micros.to_be_bytes());
        bytes[9..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// `None` if it is of another version.
    pub(crate) fn decode(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let [version, a, b, c, d, e, f, g, h, length @ ..] = *bytes;
        let timeout = Duration::from_micros(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        let head = Self { timeout, length: u32::from_be_bytes(length) };
        (version == VERSION).then_some(head)
    }
}

/// Before a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) kind: ResponseKind,
    /// Bytes of the body.
    pub(crate) length: u32,
}

/// What a response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseKind {
    /// The body is the response.
    Done,
    /// The handler's no, with this code; the body is its text.
    Refused(u32),
    /// So many calls are being answered already.
    Busy(u32),
    /// The time was up: so many milliseconds, or 0 from a peer that does not say.
    DeadlineExceeded(u32),
    /// Requests have at most so many bytes.
    TooLarge(u32),
    /// The request is of another version than this one.
    Version(u32),
}

impl ResponseHead {
    pub(crate) const LENGTH: usize = 9;

    pub(crate) fn encode(&self) -> [u8; Self::LENGTH] {
        let (kind, number) = match self.kind {
            ResponseKind::Done => (0, 0),
            ResponseKind::Refused(code) => (1, code),
            ResponseKind::Busy(max) => (2, max),
            ResponseKind::DeadlineExceeded(millis) => (3, millis),
            ResponseKind::TooLarge(max) => (4, max),
            ResponseKind::Version(version) => (5, version),
        };
        let mut bytes = [kind; Self::LENGTH];
        bytes[1..5].copy_from_slice(&number.to_be_bytes());
        bytes[5..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// `None` if it is of an unknown kind.
    pub(crate) fn decode(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let [kind, a, b, c, d, length @ ..] = *bytes;
        let number = u32::from_be_bytes([a, b, c, d]);
        let kind = match kind {
            0 => ResponseKind::Done,
            1 => ResponseKind::Refused(number),
            2 => ResponseKind::Busy(number),
            3 => ResponseKind::DeadlineExceeded(number),
            4 => ResponseKind::TooLarge(number),
            5 => ResponseKind::Version(number),
            _ => return None,
        };
        Some(Self { kind, length: u32::from_be_bytes(length) })
    }
}

impl ResponseKind {
    /// What to say to a request of another version.
    pub(crate) const OTHER_VERSION: Self = Self::Version(VERSION as u32);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_request_head_comes_back(micros in any::<u64>(), length in any::<u32>()) {
            let head = RequestHead { timeout: Duration::from_micros(micros), length };
            prop_assert_eq!(RequestHead::decode(&head.encode()), Some(head));
        }

        #[test]
        fn any_request_head_is_of_this_version_or_refused(bytes in any::<[u8; RequestHead::LENGTH]>()) {
            match RequestHead::decode(&bytes) {
                Some(head) => prop_assert_eq!(head.encode(), bytes),
                None => prop_assert_ne!(bytes[0], VERSION),
            }
        }

        #[test]
        fn any_response_head_reads_as_what_it_is(bytes in any::<[u8; ResponseHead::LENGTH]>()) {
            match ResponseHead::decode(&bytes) {
                // Kinds without a number do not keep one.
                Some(head) => {
                    let again = head.encode();
                    prop_assert_eq!((again[0], &again[5..]), (bytes[0], &bytes[5..]));
                    prop_assert_eq!(ResponseHead::decode(&again), Some(head));
                }
                None => prop_assert!(bytes[0] > 5),
            }
        }
    }

    #[test]
    fn the_bytes_are_as_documented() {
        let head = RequestHead { timeout: Duration::from_millis(5), length: 0x0102_0304 };
        assert_eq!(head.encode(), [1, 0, 0, 0, 0, 0, 0, 0x13, 0x88, 1, 2, 3, 4]);
        let head = ResponseHead { kind: ResponseKind::Refused(404), length: 7 };
        assert_eq!(head.encode(), [1, 0, 0, 1, 0x94, 0, 0, 0, 7]);
    }
}
