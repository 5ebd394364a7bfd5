//! The one account of how a link ended, shared by all its handles.

use std::sync::OnceLock;

use iroh::endpoint::{ConnectingError, Connection, ConnectionError, ConnectionState, VarInt};
use p2p_core::CloseCause;
use p2p_core::transport::LinkClosed;

use crate::error;

/// How a link ended. QUIC remembers that this side closed a connection, but not with which words,
/// and a close on top of the peer's close would replace the peer's reason: so the words are kept
/// here, and the first account given stays.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    given: OnceLock<(u64, String)>,
    told: OnceLock<LinkClosed>,
}

impl Ending {
    /// Closes the connection, unless it has ended already.
    pub(crate) fn close<S: ConnectionState>(
        &self,
        connection: &Connection<S>,
        code: u64,
        message: &str,
    ) {
        if let Some(error) = connection.close_reason() {
            self.tell(&error);
            return;
        }
        let code = code_from(code);
        if self.given.set((code.into_inner(), message.to_owned())).is_ok() {
            connection.close(code, message.as_bytes());
        }
    }

    /// What the transport's error means, the same for everyone who asks.
    pub(crate) fn tell(&self, error: &ConnectionError) -> LinkClosed {
        self.told.get_or_init(|| self.translate(error)).clone()
    }

    /// The same for a handshake that failed.
    pub(crate) fn tell_connecting(&self, error: &ConnectingError) -> LinkClosed {
        if let ConnectingError::ConnectionError { source, .. } = error {
            return self.tell(source);
        }
        self.told.get_or_init(|| LinkClosed::Transport { message: error::chain(error) }).clone()
    }

    fn translate(&self, error: &ConnectionError) -> LinkClosed {
        if let Some((code, message)) = self.given.get() {
            // Given only to a connection that lived. What the transport says later (that its
            // endpoint has gone as well) came after.
            return LinkClosed::Local { code: *code, message: message.clone() };
        }
        match error {
            ConnectionError::ApplicationClosed(close) => LinkClosed::Peer {
                code: close.error_code.into_inner(),
                message: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            // Not by this link: its endpoint was closed.
            ConnectionError::LocallyClosed => {
                LinkClosed::Local { code: CloseCause::Shutdown.to_wire(), message: String::new() }
            }
            ConnectionError::TimedOut => LinkClosed::TimedOut,
            ConnectionError::Reset => LinkClosed::Transport {
                message: "the peer has forgotten the connection: it was restarted".into(),
            },
            error => LinkClosed::Transport { message: error.to_string() },
        }
    }
}

/// A code as QUIC carries it: 62 bits, larger ones are cut down to the largest.
pub(crate) fn code_from(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_account_stays() {
        let ending = Ending::default();
        assert_eq!(ending.tell(&ConnectionError::TimedOut), LinkClosed::TimedOut);
        assert_eq!(ending.tell(&ConnectionError::LocallyClosed), LinkClosed::TimedOut);
    }

    #[test]
    fn what_nobody_here_closed_its_endpoint_did() {
        let shutdown =
            LinkClosed::Local { code: CloseCause::Shutdown.to_wire(), message: String::new() };
        assert_eq!(Ending::default().tell(&ConnectionError::LocallyClosed), shutdown);
    }

    #[test]
    fn a_code_has_62_bits() {
        assert_eq!(code_from(7).into_inner(), 7);
        assert_eq!(code_from(u64::MAX).into_inner(), (1 << 62) - 1);
    }
}
