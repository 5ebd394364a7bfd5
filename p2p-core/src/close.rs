//! How a connection ends: who ended it, why, and in what words.

use std::fmt;
use std::time::Duration;

/// Where the engine's own codes begin on the wire: an application's codes are 32 bits, so the two
/// never meet.
const ENGINE: u64 = 1 << 32;
/// Where the codes begin that carry how many milliseconds to wait: 32 bits of them. To a peer that
/// knows nothing of them they are a transport's end, after which it may try again.
const RATE_LIMITED: u64 = 2 << 32;

/// The end of a connection: who, why, and what they said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReason {
    /// Who ended it.
    pub by: ClosedBy,
    /// Why.
    pub cause: CloseCause,
    /// Words for people: at most [`CloseReason::MAX_MESSAGE`] bytes. From a peer, they are only as
    /// trustworthy as the peer.
    pub message: String,
}

impl CloseReason {
    /// The most bytes of a message; longer ones are cut at a character.
    pub const MAX_MESSAGE: usize = 256;

    /// Puts a reason together, cutting a message that is too long.
    pub fn new(by: ClosedBy, cause: CloseCause, message: impl Into<String>) -> Self {
        let mut message = message.into();
        let mut end = Self::MAX_MESSAGE.min(message.len());
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        Self { by, cause, message }
    }

    /// Whether connecting again may help.
    pub fn is_retryable(&self) -> bool {
        match self.cause {
            CloseCause::Busy
            | CloseCause::Dropped
            | CloseCause::Lost
            | CloseCause::NotResumable
            | CloseCause::RateLimited { .. }
            | CloseCause::Shutdown
            | CloseCause::TimedOut
            | CloseCause::Transport => self.by != ClosedBy::Local,
            _ => false,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            ClosedBy::Local => "by this side",
            ClosedBy::Network => "by the network",
            ClosedBy::Peer => "by the peer",
        };
        write!(f, "closed {by}: {}", self.cause)?;
        if !self.message.is_empty() {
            write!(f, " ({})", self.message)?;
        }
        Ok(())
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClosedBy {
    /// This side.
    Local,
    /// Neither: it broke, or fell silent.
    Network,
    /// The other side.
    Peer,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCause {
    /// The admission hook said no.
    AdmissionDenied,
    /// The program closed it with this code.
    Application(u32),
    /// The acceptor has as many connections as it wants, or nobody takes them.
    Busy,
    /// Its last handle was dropped without a close.
    Dropped,
    /// The peers speak no common version of the protocol between them.
    IncompatibleVersion,
    /// Not the connection ended, but the link under it: another has taken its place.
    LinkReplaced,
    /// The link was lost, and no other could take its place: see
    /// [`ConnectionState::Lost`](crate::ConnectionState::Lost).
    Lost,
    /// The data's path is none that one side's [`PathPolicy`](crate::PathPolicy) allows.
    PathPolicy,
    /// Something came that the protocol does not allow.
    ProtocolViolation,
    /// The acceptor has a limit that leaves no room now: see [`Limited`](crate::Limited).
    RateLimited {
        /// When trying again may help, in whole milliseconds.
        retry_after: Duration,
    },
    /// Its provider was shut down.
    Shutdown,
    /// There is no such connection to go on with.
    NotResumable,
    /// Nothing came from the peer for the idle timeout, or the hello took too long.
    TimedOut,
    /// The transport failed.
    Transport,
    /// Nobody listens for that protocol name.
    UnknownProtocol,
}

impl CloseCause {
    /// The number that stands for it on the wire.
    pub fn to_wire(self) -> u64 {
        match self {
            Self::Application(code) => code.into(),
            // Dropping a link closes it with code 0 on most transports; say more where we can.
            Self::Dropped => ENGINE + 1,
            Self::Shutdown => ENGINE + 2,
            Self::UnknownProtocol => ENGINE + 3,
            Self::AdmissionDenied => ENGINE + 4,
            Self::Busy => ENGINE + 5,
            Self::IncompatibleVersion => ENGINE + 6,
            Self::ProtocolViolation => ENGINE + 7,
            Self::TimedOut => ENGINE + 8,
            Self::Transport => ENGINE + 9,
            Self::LinkReplaced => ENGINE + 10,
            Self::NotResumable => ENGINE + 11,
            Self::Lost => ENGINE + 12,
            Self::PathPolicy => ENGINE + 13,
            Self::RateLimited { retry_after } => {
                // Rounded up: who comes too early is refused once more.
                let millis = retry_after.as_nanos().div_ceil(1_000_000);
                RATE_LIMITED + u64::from(u32::try_from(millis).unwrap_or(u32::MAX))
            }
        }
    }

    /// What a number on the wire stands for. A later version's code reads as a transport's end.
    pub fn from_wire(code: u64) -> Self {
        if let Ok(code) = u32::try_from(code) {
            return Self::Application(code);
        }
        if let Some(millis) = code.checked_sub(RATE_LIMITED) {
            return u32::try_from(millis).map_or(Self::Transport, |millis| Self::RateLimited {
                retry_after: Duration::from_millis(millis.into()),
            });
        }
        match code - ENGINE {
            1 => Self::Dropped,
            2 => Self::Shutdown,
            3 => Self::UnknownProtocol,
            4 => Self::AdmissionDenied,
            5 => Self::Busy,
            6 => Self::IncompatibleVersion,
            7 => Self::ProtocolViolation,
            8 => Self::TimedOut,
            10 => Self::LinkReplaced,
            11 => Self::NotResumable,
            12 => Self::Lost,
            13 => Self::PathPolicy,
            _ => Self::Transport,
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdmissionDenied => f.write_str("admission denied"),
            Self::Application(code) => write!(f, "application code {code}"),
            Self::Busy => f.write_str("too many connections"),
            Self::Dropped => f.write_str("dropped without a close"),
            Self::IncompatibleVersion => f.write_str("no common version"),
            Self::PathPolicy => f.write_str("path not allowed"),
            Self::ProtocolViolation => f.write_str("protocol violation"),
            Self::LinkReplaced => f.write_str("another link took its place"),
            Self::Lost => f.write_str("lost"),
            Self::NotResumable => f.write_str("no such connection to resume"),
            Self::RateLimited { retry_after } => {
                write!(f, "no room now, retry after {retry_after:?}")
            }
            Self::Shutdown => f.write_str("shutdown"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Transport => f.write_str("transport failed"),
            Self::UnknownProtocol => f.write_str("unknown protocol"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_code_from_a_peer_reads_as_something(code in 0u64..1 << 62) {
            let cause = CloseCause::from_wire(code);
            if code < ENGINE || code >= RATE_LIMITED && cause != CloseCause::Transport {
                prop_assert_eq!(cause.to_wire(), code);
            }
        }

        #[test]
        fn a_message_is_cut_at_a_character(text in "\\PC{0,300}") {
            let reason = CloseReason::new(ClosedBy::Local, CloseCause::Dropped, text.clone());
            prop_assert!(reason.message.len() <= CloseReason::MAX_MESSAGE);
            prop_assert!(text.starts_with(&reason.message));
        }
    }

    #[test]
    fn a_wait_travels_in_whole_milliseconds_rounded_up() {
        for (nanos, told) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (u64::MAX, u32::MAX)]
        {
            let cause = CloseCause::RateLimited { retry_after: Duration::from_nanos(nanos) };
            let retry_after = Duration::from_millis(told.into());
            assert_eq!(
                CloseCause::from_wire(cause.to_wire()),
                CloseCause::RateLimited { retry_after }
            );
        }
    }

    #[test]
    fn engine_codes_come_back() {
        for code in 1..=13 {
            assert_eq!(CloseCause::from_wire(ENGINE + code).to_wire(), ENGINE + code);
        }
    }
}
