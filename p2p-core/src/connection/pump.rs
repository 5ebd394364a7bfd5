//! The one task of a connection: empties the transport into the inbox, hears the peer's control
//! frames, and reports what the program has taken.
//!
//! It never waits for the program: what can arrive fits into the inbox, by
//! [`credit`](crate::engine::credit).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::Core;
use super::lane::RecvLane;
use crate::engine::control::ControlFrame;
use crate::engine::credit::CreditError;
use crate::engine::frame::FrameTooLarge;
use crate::error::StreamError;
use crate::handshake::{ControlReader, HandshakeError};
use crate::stream::SendStream;
use crate::transport::Link;

/// Why the peer's streams cannot be read any further.
pub(super) enum PumpError {
    /// The link has ended, and says why.
    Closed,
    /// The peer did what it must not.
    Violation(String),
}

impl From<StreamError> for PumpError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(_) => Self::Closed,
            error => Self::Violation(format!("an engine's stream: {error}")),
        }
    }
}

impl From<CreditError> for PumpError {
    fn from(error: CreditError) -> Self {
        Self::Violation(error.to_string())
    }
}

impl From<FrameTooLarge> for PumpError {
    fn from(error: FrameTooLarge) -> Self {
        Self::Violation(error.to_string())
    }
}

impl From<HandshakeError> for PumpError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Link(_) => Self::Closed,
            HandshakeError::Protocol(error) => Self::Violation(error.to_string()),
            HandshakeError::Stream(error) => error.into(),
        }
    }
}

/// Runs until the link has ended and everything that arrived before is in the inbox.
pub(super) async fn run<L: Link>(
    core: Arc<Core<L>>,
    control_out: L::SendStream,
    control_in: ControlReader<L::RecvStream>,
) {
    let violated = |error| match error {
        PumpError::Closed => {}
        PumpError::Violation(detail) => core.violate(detail),
    };
    {
        let mut messages = pin!(receive(&core));
        let mut control = pin!(listen(&core, control_in));
        let mut reports = pin!(report(&core, control_out));
        let (mut listening, mut reporting) = (true, true);
        // In this order at each poll, so that simulated runs repeat. The messages decide the end:
        // those that arrived before it are still to be read when the control streams are gone.
        poll_fn(|cx| {
            if listening && let Poll::Ready(error) = control.as_mut().poll(cx) {
                listening = false;
                violated(error);
            }
            if reporting && let Poll::Ready(error) = reports.as_mut().poll(cx) {
                reporting = false;
                violated(error);
            }
            messages.as_mut().poll(cx).map(violated)
        })
        .await;
    }
    core.link.closed().await;
    core.inbox.end();
    core.credit.end();
}

/// Puts the peer's messages into the inbox.
async fn receive<L: Link>(core: &Core<L>) -> PumpError {
    let mut lane = RecvLane::new(core.peer.max_message_size);
    loop {
        match lane.fill(&core.link).await {
            Ok(true) => {
                let taken_in = core.inbox.extend(|| lane.next().map_err(PumpError::from));
                if let Err(error) = taken_in {
                    return error;
                }
            }
            // The peer has said its last word; how the link ends says why.
            Ok(false) => {
                core.link.closed().await;
                return PumpError::Closed;
            }
            Err(error) => return error,
        }
    }
}

/// Hears what the peer's engine says.
async fn listen<L: Link>(core: &Core<L>, mut control: ControlReader<L::RecvStream>) -> PumpError {
    loop {
        let frame = match control.next().await {
            Ok(payload) => ControlFrame::decode(&payload),
            Err(error) => return error.into(),
        };
        if let Some(ControlFrame::Taken(total)) = frame
            && let Err(error) = core.credit.on_taken(total)
        {
            return error.into();
        }
    }
}

/// Tells the peer's engine how much the program has taken.
async fn report<L: Link>(core: &Core<L>, mut control: L::SendStream) -> PumpError {
    loop {
        let total = core.inbox.report().await;
        if let Err(error) = control.write_all(ControlFrame::Taken(total).encode()).await {
            return error.into();
        }
    }
}
