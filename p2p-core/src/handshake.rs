//! From a link to a connection: both sides' hellos, and the judgement on who is let in.
//!
//! Each side opens its control stream and writes its hello before it has read the other's, the
//! acceptor even before it knows who dialled. So `connect` takes one round trip:
//!
//! ```text
//! dialler   |-- transport handshake -->|                  |-- hello (what, credential) -->|
//! acceptor  |<-- handshake, hello (what is served) -------|     authenticated, admitted:  |
//!           |   connect returns (Answered)                |<-- "admitted" ----------------|
//! ```

use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::connection::{Connection, Parts};
use crate::engine::StreamKind;
use crate::engine::control::ControlFrame;
use crate::engine::frame::FrameDecoder;
use crate::engine::hello::{Agreement, Hello, MAX_HELLO};
use crate::error::{P2PError, ProtocolError, Result, StreamError};
use crate::identity::PeerId;
use crate::listener::backlog::Entry;
use crate::node::{Owner, Shared};
use crate::options::{Applicant, ConnectOptions, ConnectReady, Denied};
use crate::protocol::ProtocolName;
use crate::provider::PeerInfo;
use crate::stream::{RecvStream, SendStream};
use crate::transport::{Incoming, Link, LinkClosed, Transport};

/// The peer's control stream, cut into frames.
#[derive(Debug)]
pub(crate) struct ControlReader<R> {
    stream: R,
    decoder: FrameDecoder,
    kind_read: bool,
}

impl<R: RecvStream> ControlReader<R> {
    fn new(stream: R) -> Self {
        Self { stream, decoder: FrameDecoder::new(MAX_HELLO), kind_read: false }
    }

    /// The next frame. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Bytes, HandshakeError> {
        let violation = |detail: &str| ProtocolError::Violation { detail: detail.to_owned() };
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(violation(&format!("control stream: {error}")).into()),
            }
            let Some(mut chunk) = self.stream.read_chunk(MAX_HELLO).await? else {
                return Err(violation("the control stream ended").into());
            };
            if !self.kind_read {
                if StreamKind::from_byte(chunk.get_u8()) != Some(StreamKind::Control) {
                    return Err(violation("the first stream is not the control stream").into());
                }
                self.kind_read = true;
            }
            self.decoder.push(chunk);
        }
    }
}

/// How a handshake ends without a connection.
pub(crate) enum HandshakeError {
    Link(CloseReason),
    Protocol(ProtocolError),
    Stream(StreamError),
}

impl From<LinkClosed> for HandshakeError {
    fn from(closed: LinkClosed) -> Self {
        Self::Link(closed.into())
    }
}

impl From<ProtocolError> for HandshakeError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<StreamError> for HandshakeError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed(reason) => Self::Link(reason),
            error => Self::Stream(error),
        }
    }
}

impl HandshakeError {
    /// For the side that dialled.
    fn into_connect_error(self, peer: PeerId, protocol: &ProtocolName) -> P2PError {
        match self {
            Self::Link(reason) => P2PError::from_failed_connect(peer, protocol, reason),
            Self::Protocol(error) => error.into(),
            Self::Stream(error) => error.into(),
        }
    }

    /// For the peer, in the close of the link.
    fn refusal(&self) -> (CloseCause, String) {
        match self {
            Self::Link(reason) => (reason.cause, String::new()),
            Self::Protocol(error @ ProtocolError::IncompatibleVersion { .. }) => {
                (CloseCause::IncompatibleVersion, error.to_string())
            }
            Self::Protocol(error) => (CloseCause::ProtocolViolation, error.to_string()),
            Self::Stream(error) => (CloseCause::ProtocolViolation, error.to_string()),
        }
    }
}

fn refuse<L: Link>(link: &L, cause: CloseCause, message: impl Into<String>) {
    let reason = CloseReason::new(ClosedBy::Local, cause, message);
    link.close(cause.to_wire(), &reason.message);
}

fn peer_info(
    id: PeerId,
    protocol: ProtocolName,
    agreement: Agreement,
    credential: Bytes,
) -> PeerInfo {
    PeerInfo {
        id,
        protocol,
        version: agreement.version,
        capabilities: agreement.capabilities,
        max_message_size: agreement.max_message_size,
        credential,
    }
}

/// Closes a link whose dialler gave up, so that the peer does not take a transport's own code for
/// a program's.
struct Unfinished<'a, L: Link>(&'a L);

impl<L: Link> Unfinished<'_, L> {
    fn finish(self) {
        std::mem::forget(self);
    }
}

impl<L: Link> Drop for Unfinished<'_, L> {
    fn drop(&mut self) {
        refuse(self.0, CloseCause::Dropped, "");
    }
}

/// Dials `peer` and says hello. The caller bounds the time.
pub(crate) async fn outbound<T: Transport>(
    shared: &Arc<Shared<T>>,
    owner: &Arc<Owner>,
    peer: &PeerAddr,
    options: ConnectOptions,
) -> Result<Connection<T::Link>> {
    let link = shared.transport.dial(peer).await?;
    let unfinished = Unfinished(&link);
    let id = link.peer_id();
    if id != peer.id() {
        let reason = format!("it is {}", id.fmt_short());
        return Err(P2PError::AuthenticationFailed { peer: peer.id(), reason });
    }
    let protocol = options.protocol;
    let ours = Hello::new(&shared.config, vec![protocol.clone()], options.credential);
    match greet(&link, &ours, options.ready).await {
        Ok((control_out, control_in, agreement)) => {
            unfinished.finish();
            shared.remember(|number| {
                Connection::new(Parts {
                    link,
                    peer: peer_info(id, protocol, agreement, Bytes::new()),
                    agreement,
                    control: (control_out, control_in),
                    close_timeout: shared.config.close_timeout,
                    place: None,
                    number,
                    registry: shared.clone(),
                    keep_alive: owner.clone(),
                })
            })
        }
        Err(error) => {
            let (cause, message) = error.refusal();
            refuse(&link, cause, message);
            Err(error.into_connect_error(id, &protocol))
        }
    }
}

type Control<L> = (<L as Link>::SendStream, ControlReader<<L as Link>::RecvStream>, Agreement);

async fn greet<L: Link>(
    link: &L,
    ours: &Hello,
    ready: ConnectReady,
) -> Result<Control<L>, HandshakeError> {
    let mut control_out = link.open_uni().await?;
    control_out.write_all(ours.encode()).await?;
    let mut control_in = ControlReader::new(link.accept_uni().await?);
    let theirs = Hello::decode(&control_in.next().await?)?;
    let agreement = ours.agree(&theirs)?;
    for name in &ours.protocols {
        if !theirs.protocols.contains(name) {
            return Err(ProtocolError::UnknownProtocol { name: name.clone() }.into());
        }
    }
    if ready == ConnectReady::Admitted {
        // Frames of other kinds are a later version's.
        while ControlFrame::decode(&control_in.next().await?) != Some(ControlFrame::Admitted) {}
    }
    Ok((control_out, control_in, agreement))
}

/// Says hello to whoever dialled, finds out who it is and what it wants, and lets it in or not.
pub(crate) async fn inbound<T: Transport>(
    shared: &Arc<Shared<T>>,
    owner: &Weak<Owner>,
    incoming: T::Incoming,
) {
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let proven = shared.unless_shut_down(timeout_at(deadline, prove(shared, incoming)));
    // Too slow or too late to prove who it is: the future is dropped, and the link with it.
    let Some(Ok(Some((link, ours, mut control_out)))) = proven.await else { return };
    let judged = judge(shared, &link, &ours, &mut control_out);
    match shared.unless_shut_down(timeout_at(deadline, judged)).await {
        Some(Ok(Some(judged))) => judged.connect(shared, owner, link, control_out),
        // The refusal has been sent.
        Some(Ok(None)) => {}
        Some(Err(_)) => refuse(&link, CloseCause::TimedOut, "the handshake took too long"),
        None => refuse(&link, CloseCause::Shutdown, ""),
    }
}

/// Says hello, and waits for the peer to prove who it is.
async fn prove<T: Transport>(
    shared: &Shared<T>,
    mut incoming: T::Incoming,
) -> Option<(T::Link, Hello, <T::Link as Link>::SendStream)> {
    let ours = Hello::new(&shared.config, shared.protocols(), Bytes::new());
    let mut control_out = incoming.open_early().await.ok()?;
    control_out.write_all(ours.encode()).await.ok()?;
    let link = incoming.authenticated().await.ok()?;
    Some((link, ours, control_out))
}

/// An applicant who is let in.
struct Judged<L: Link> {
    control_in: ControlReader<L::RecvStream>,
    peer: PeerInfo,
    agreement: Agreement,
    place: OwnedSemaphorePermit,
    entry: Entry<Connection<L>>,
}

/// Hears what the peer wants, and lets it in or refuses it.
async fn judge<T: Transport>(
    shared: &Shared<T>,
    link: &T::Link,
    ours: &Hello,
    control_out: &mut <T::Link as Link>::SendStream,
) -> Option<Judged<T::Link>> {
    let (control_in, theirs, agreement) = match listen_to(link, ours).await {
        Ok(heard) => heard,
        Err(error) => {
            let (cause, message) = error.refusal();
            refuse(link, cause, message);
            return None;
        }
    };
    let slot = theirs.protocols.first().and_then(|wanted| shared.slot(wanted));
    let (Some(slot), Some(protocol)) = (slot, theirs.protocols.first().cloned()) else {
        refuse(link, CloseCause::UnknownProtocol, "");
        return None;
    };
    let place = slot.places.clone().try_acquire_owned();
    let (Ok(place), Some(entry)) = (place, slot.backlog.try_reserve()) else {
        refuse(link, CloseCause::Busy, "");
        return None;
    };
    let id = link.peer_id();
    let applicant = Applicant { peer: id, protocol, credential: theirs.credential };
    if let Err(Denied(message)) = slot.admission.admit(&applicant).await {
        refuse(link, CloseCause::AdmissionDenied, message);
        return None;
    }
    if slot.backlog.is_closed() {
        // The listener has gone in the meantime.
        refuse(link, CloseCause::UnknownProtocol, "");
        return None;
    }
    let Applicant { protocol, credential, .. } = applicant;
    control_out.write_all(ControlFrame::Admitted.encode()).await.ok()?;
    let peer = peer_info(id, protocol, agreement, credential);
    Some(Judged { control_in, peer, agreement, place, entry })
}

impl<L: Link> Judged<L> {
    /// Hands the connection to its listener, unless all has ended in the meantime.
    fn connect<T: Transport<Link = L>>(
        self,
        shared: &Arc<Shared<T>>,
        owner: &Weak<Owner>,
        link: L,
        control_out: L::SendStream,
    ) {
        let Self { control_in, peer, agreement, place, entry } = self;
        let Some(owner) = owner.upgrade() else { return };
        let connection = shared.remember(|number| {
            Connection::new(Parts {
                link,
                peer,
                agreement,
                control: (control_out, control_in),
                close_timeout: shared.config.close_timeout,
                place: Some(place),
                number,
                registry: shared.clone(),
                keep_alive: owner,
            })
        });
        if let Ok(connection) = connection {
            entry.fill(connection);
        }
    }
}

type Heard<L> = (ControlReader<<L as Link>::RecvStream>, Hello, Agreement);

async fn listen_to<L: Link>(link: &L, ours: &Hello) -> Result<Heard<L>, HandshakeError> {
    let mut control_in = ControlReader::new(link.accept_uni().await?);
    let theirs = Hello::decode(&control_in.next().await?)?;
    let agreement = ours.agree(&theirs)?;
    Ok((control_in, theirs, agreement))
}
