//! The one task of a connection: writes out what is left in the outbox, hears the peer's control
//! frames, and reports what was read and taken. Messages are read by those who
//! [receive](super::inbox) them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::Core;
use super::parts::Parts;
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

/// Runs until the link has ended.
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
        let mut control = pin!(listen(&core, control_in));
        let mut sending = pin!(transmit(&core));
        let mut reports = pin!(report(&core, control_out));
        let mut ended = pin!(core.link.closed());
        let mut parts = Parts::<4>::new();
        // In this order, so that simulated runs repeat; what the first finds out concerns the next
        // two.
        poll_fn(|cx| {
            parts.enter(cx);
            let _ = parts.poll(0, control.as_mut()).map(violated);
            let _ = parts.poll(1, sending.as_mut()).map(violated);
            let _ = parts.poll(2, reports.as_mut()).map(violated);
            parts.poll(3, ended.as_mut())
        })
        .await;
    }
    core.outbox.end();
}

/// Hears what the peer's engine says.
async fn listen<L: Link>(core: &Core<L>, mut control: ControlReader<L::RecvStream>) -> PumpError {
    loop {
        let frame = match control.next().await {
            Ok(payload) => ControlFrame::decode(&payload),
            Err(error) => return error.into(),
        };
        let heard = match frame {
            Some(ControlFrame::Taken(total)) => core.outbox.on_taken(total),
            Some(ControlFrame::Read(offset)) => core.outbox.on_read(offset),
            Some(ControlFrame::Admitted) | None => Ok(()),
        };
        if let Err(error) = heard {
            return error.into();
        }
    }
}

/// Writes out what sends left in the outbox, and the end of it when this side closes.
async fn transmit<L: Link>(core: &Core<L>) -> PumpError {
    let Ok(stream) = core.link.open_uni().await else { return PumpError::Closed };
    core.outbox.set_stream(stream);
    let finished = async {
        let mut stream = core.outbox.drain().await?;
        stream.finish()?;
        stream.finished().await
    };
    match finished.await {
        Ok(()) => {
            core.outbox.set_delivered();
            std::future::pending().await
        }
        Err(error) => error.into(),
    }
}

/// Tells the peer's engine how much was read and taken.
async fn report<L: Link>(core: &Core<L>, mut control: L::SendStream) -> PumpError {
    loop {
        let frame = core.inbox.report().await;
        if let Err(error) = control.write_all(frame.encode()).await {
            return error.into();
        }
    }
}
