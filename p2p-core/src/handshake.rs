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

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::connection::relink::{Redial, RedialError, Relinked};
use crate::connection::{Connection, Core, Parts};
use crate::engine::StreamKind;
use crate::engine::control::ControlFrame;
use crate::engine::frame::FrameDecoder;
use crate::engine::hello::{Agreement, Hello, MAX_HELLO};
use crate::error::{P2PError, ProtocolError, Result, StreamError};
use crate::identity::PeerId;
use crate::listener::backlog::Entry;
use crate::node::{Owner, Shared};
use crate::observe::Direction;
use crate::options::{Applicant, ConnectOptions, ConnectReady, Denied, Refusal};
use crate::path::PathPolicy;
use crate::priority::Priority;
use crate::protocol::{Capabilities, ProtocolName};
use crate::provider::PeerInfo;
use crate::reconnect::LostReason;
use crate::stream::{RecvStream, SendStream};
use crate::transport::{Incoming, Link, LinkClosed, StandbySupport, Transport};

pub(crate) mod unfinished;

use unfinished::Whose;

/// What the transport is told about the control stream: reports go before what they are about.
const CONTROL_PRIORITY: i32 = 4;

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
                Ok(Some(frame)) => return Ok(frame.payload),
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

    /// For the side that dialled once more.
    fn into_redial_error(self, peer: PeerId, protocol: Option<&ProtocolName>) -> RedialError {
        let Self::Link(reason) = self else {
            let error = match (self, protocol) {
                (error, Some(protocol)) => error.into_connect_error(peer, protocol).to_string(),
                _ => String::new(),
            };
            return RedialError::Later(error);
        };
        match reason.cause {
            _ if reason.by != ClosedBy::Peer => RedialError::Later(reason.to_string()),
            CloseCause::NotResumable => RedialError::Never(LostReason::PeerRestarted),
            CloseCause::IncompatibleVersion
            | CloseCause::PathPolicy
            | CloseCause::ProtocolViolation
            | CloseCause::UnknownProtocol
            | CloseCause::AdmissionDenied => RedialError::Never(LostReason::Refused(reason)),
            _ => RedialError::Later(reason.to_string()),
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

/// Refuses an applicant.
fn turn_away<T: Transport>(
    shared: &Shared<T>,
    link: &T::Link,
    cause: CloseCause,
    message: impl Into<String>,
) {
    let reason = CloseReason::new(ClosedBy::Local, cause, message);
    link.close(cause.to_wire(), &reason.message);
    shared.monitor.refused(Some(link.peer_id()), cause, &reason.message);
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
    let ConnectOptions { protocol, path_policy, ready, .. } = options;
    let without_addresses = path_policy == PathPolicy::RelayOnly && peer.relays().len() > 0;
    let relayed = without_addresses.then(|| only_relays(peer));
    let peer = relayed.as_ref().unwrap_or(peer);
    let config = shared.config.get();
    let mut ours = Hello::new(&config, vec![protocol.clone()], options.credential);
    ours.claim.number = shared.next_claim();
    let link = dial(shared, peer).await?;
    let id = link.peer_id();
    if let Some(words) = path_policy.refuses(link.path().kind) {
        refuse(&link, CloseCause::PathPolicy, words);
        let reason = CloseReason::new(ClosedBy::Local, CloseCause::PathPolicy, words);
        return Err(P2PError::Closed(reason));
    }
    let greeted = {
        let mut greeting = pin!(greet(&link, &ours, ready));
        // Dropped before the greeting: the peer is to see a close, not a reset.
        let unfinished = Unfinished(&link);
        let greeted = greeting.as_mut().await;
        unfinished.finish();
        greeted
    };
    match greeted {
        Ok((control_out, control_in, agreement)) => {
            let resumes = agreement.capabilities.contains(Capabilities::RESUME);
            let redial = resumes.then(|| -> Arc<dyn Redial<T::Link>> {
                Arc::new(Redialler { shared: shared.clone(), peer: peer.clone(), hello: ours })
            });
            shared.remember(None, |number| {
                Connection::new(Parts {
                    linked: Relinked { link, control: (control_out, control_in), standing: None },
                    peer: peer_info(id, protocol, agreement, Bytes::new()),
                    agreement,
                    config: &config,
                    live: shared.config.clone(),
                    monitor: shared.monitor.clone(),
                    path_policy,
                    admitted: ready == ConnectReady::Admitted,
                    redial,
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

/// The peer's name and relays, without its addresses.
fn only_relays(peer: &PeerAddr) -> PeerAddr {
    peer.relays().cloned().fold(PeerAddr::new(peer.id()), PeerAddr::with_relay)
}

/// A link to `peer`, which has proven to be it.
async fn dial<T: Transport>(shared: &Shared<T>, peer: &PeerAddr) -> Result<T::Link> {
    proven(shared.transport.dial(peer).await?, peer)
}

/// The link, if it leads to `peer`.
fn proven<L: Link>(link: L, peer: &PeerAddr) -> Result<L> {
    let id = link.peer_id();
    if id != peer.id() {
        refuse(&link, CloseCause::Dropped, "");
        let reason = format!("it is {}", id.fmt_short());
        return Err(P2PError::AuthenticationFailed { peer: peer.id(), reason });
    }
    Ok(link)
}

/// Dials once more for a connection that has lost its link.
struct Redialler<T: Transport> {
    shared: Arc<Shared<T>>,
    peer: PeerAddr,
    hello: Hello,
}

#[async_trait]
impl<T: Transport> Redial<T::Link> for Redialler<T> {
    async fn redial(
        &self,
        attempt: u32,
        standing: [(u64, u64); Priority::COUNT],
        or_new: bool,
        within: Duration,
    ) -> Result<Relinked<T::Link>, RedialError> {
        let mut ours = self.hello.clone();
        ours.claim.attempt = attempt;
        ours.claim.standing = standing.to_vec();
        ours.claim.or_new = or_new;
        let dialling = async {
            // At the same time: what is looked up is for later.
            let mut refreshing = pin!(self.shared.transport.refresh());
            let mut dialling = pin!(dial(&self.shared, &self.peer));
            let (mut refreshed, mut dialled) = (false, None);
            poll_fn(|cx| {
                refreshed = refreshed || refreshing.as_mut().poll(cx).is_ready();
                if dialled.is_none() {
                    match dialling.as_mut().poll(cx) {
                        Poll::Ready(result) => dialled = Some(result),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                match dialled.take_if(|_| refreshed) {
                    Some(result) => Poll::Ready(result),
                    None => Poll::Pending,
                }
            })
            .await
        };
        self.greeted(dialling, ours, within).await
    }

    fn random(&self) -> u64 {
        self.shared.transport.random()
    }

    fn has_standby(&self) -> bool {
        self.shared.transport.standby() != StandbySupport::None
    }

    async fn standby_id(&self) -> Result<PeerId> {
        self.shared.transport.standby_id().await
    }

    async fn stand_by(
        &self,
        attempt: u32,
        within: Duration,
    ) -> Result<Relinked<T::Link>, RedialError> {
        let mut ours = self.hello.clone();
        // An acceptor that knows of no such links refuses it: it is for no connection of this name.
        ours.claim.attempt = attempt.max(1);
        ours.stands_by = true;
        ours.credential = Bytes::new();
        let dialling =
            async { proven(self.shared.transport.dial_standby(&self.peer).await?, &self.peer) };
        self.greeted(dialling, ours, within).await
    }
}

impl<T: Transport> Redialler<T> {
    /// Says hello on what `dialling` comes to.
    async fn greeted(
        &self,
        dialling: impl Future<Output = Result<T::Link>> + Send,
        ours: Hello,
        within: Duration,
    ) -> Result<Relinked<T::Link>, RedialError> {
        let later = |error: P2PError| RedialError::Later(error.to_string());
        let deadline = Instant::now() + within;
        let too_late = |_| RedialError::Later(format!("no answer within {within:?}"));
        let link = timeout_at(deadline, dialling);
        let link = link.await.map_err(too_late)?.map_err(later)?;
        let greeted = {
            let mut greeting = pin!(greet(&link, &ours, ConnectReady::Answered));
            let unfinished = Unfinished(&link);
            let greeted = timeout_at(deadline, greeting.as_mut()).await;
            unfinished.finish();
            if greeted.is_err() {
                // The peer may be on this link already: the connection does not end with it.
                refuse(&link, CloseCause::LinkReplaced, "");
            }
            greeted
        };
        match greeted.map_err(too_late)? {
            Ok((control_out, control_in, _)) => {
                Ok(Relinked { link, control: (control_out, control_in), standing: None })
            }
            Err(error) => {
                let (cause, message) = error.refusal();
                refuse(&link, cause, message);
                Err(error.into_redial_error(self.peer.id(), ours.protocols.first()))
            }
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
    control_out.set_priority(CONTROL_PRIORITY);
    control_out.write_all(ours.encode()).await?;
    let mut control_in = ControlReader::new(link.accept_uni().await?);
    let theirs = Hello::decode(&control_in.next().await?)?;
    let agreement = ours.agree(&theirs)?;
    for name in &ours.protocols {
        // Who comes back need not be served anew.
        if ours.claim.attempt == 0 && !theirs.protocols.contains(name) {
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
    let (began, config) = (Instant::now(), shared.config.get());
    let deadline = began + config.handshake_timeout;
    let proven = shared.unless_shut_down(timeout_at(deadline, prove(shared, &config, incoming)));
    // Too slow or too late to prove who it is: the future is dropped, and the link with it.
    let (link, ours, mut control_out) = match proven.await {
        Some(Ok(Some(proven))) => proven,
        Some(Ok(None)) => return shared.monitor.refused(None, CloseCause::Transport, ""),
        Some(Err(_)) => return shared.monitor.refused(None, CloseCause::TimedOut, ""),
        None => return,
    };
    shared.monitor.accepted(link.peer_id());
    let max = config.max_handshakes_per_peer;
    let _counted = match shared.unfinished.count(Whose::Of(link.peer_id()), max) {
        Ok(counted) => counted,
        Err(full) => return turn_away(shared, &link, CloseCause::Busy, full.to_string()),
    };
    let judged = judge(shared, &link, &ours, &mut control_out);
    match shared.unless_shut_down(timeout_at(deadline, judged)).await {
        Some(Ok(Some(Verdict::Admitted(judged)))) => {
            judged.connect(shared, owner, &config, (link, control_out), began);
        }
        Some(Ok(Some(Verdict::Resumes(resumed)))) => resumed.connect(link, control_out),
        Some(Ok(Some(Verdict::StandsBy(resumed)))) => resumed.stand_by(link, control_out),
        // The refusal has been sent.
        Some(Ok(None)) => {}
        Some(Err(_)) => {
            turn_away(shared, &link, CloseCause::TimedOut, "the handshake took too long");
        }
        None => refuse(&link, CloseCause::Shutdown, ""),
    }
}

/// Says hello, and waits for the peer to prove who it is.
async fn prove<T: Transport>(
    shared: &Shared<T>,
    config: &ConnectionConfig,
    mut incoming: T::Incoming,
) -> Option<(T::Link, Hello, <T::Link as Link>::SendStream)> {
    let ours = Hello::new(config, shared.protocols(), Bytes::new());
    let mut control_out = incoming.open_early().await.ok()?;
    control_out.set_priority(CONTROL_PRIORITY);
    control_out.write_all(ours.encode()).await.ok()?;
    let link = incoming.authenticated().await.ok()?;
    Some((link, ours, control_out))
}

/// What becomes of an applicant who is not refused.
enum Verdict<L: Link> {
    Admitted(Judged<L>),
    Resumes(Resumed<L>),
    /// A link beside the one that its connection has.
    StandsBy(Resumed<L>),
}

/// A peer that comes back to a connection.
struct Resumed<L: Link> {
    core: Arc<Core<L>>,
    attempt: u32,
    control_in: ControlReader<L::RecvStream>,
    standing: [(u64, u64); Priority::COUNT],
}

/// An applicant who is let in.
struct Judged<L: Link> {
    control_in: ControlReader<L::RecvStream>,
    peer: PeerInfo,
    agreement: Agreement,
    path_policy: PathPolicy,
    place: OwnedSemaphorePermit,
    entry: Entry<Connection<L>>,
    /// The dialler's number for the connection.
    claim: u64,
}

/// Hears what the peer wants, and lets it in or refuses it.
async fn judge<T: Transport>(
    shared: &Shared<T>,
    link: &T::Link,
    ours: &Hello,
    control_out: &mut <T::Link as Link>::SendStream,
) -> Option<Verdict<T::Link>> {
    let (control_in, theirs, agreement) = match listen_to(link, ours).await {
        Ok(heard) => heard,
        Err(error) => {
            let (cause, message) = error.refusal();
            turn_away(shared, link, cause, message);
            return None;
        }
    };
    let id = link.peer_id();
    if theirs.stands_by {
        // The name that the link has proven is the one that the connection has announced.
        let Some(core) = shared.awaited_standby(id, theirs.claim.number) else {
            turn_away(shared, link, CloseCause::NotResumable, "");
            return None;
        };
        let (attempt, standing) = (theirs.claim.attempt, Default::default());
        return Some(Verdict::StandsBy(Resumed { core, attempt, control_in, standing }));
    }
    if theirs.claim.attempt > 0 {
        // The name that the link has proven is what it may come back by.
        match (shared.claimed(id, theirs.claim.number), theirs.claim.lanes()) {
            (Some(core), Some(standing)) => {
                let attempt = theirs.claim.attempt;
                return Some(Verdict::Resumes(Resumed { core, attempt, control_in, standing }));
            }
            // Its first words never came.
            (None, Some(_)) if theirs.claim.or_new => {}
            _ => {
                turn_away(shared, link, CloseCause::NotResumable, "");
                return None;
            }
        }
    }
    let slot = theirs.protocols.first().and_then(|wanted| shared.slot(wanted));
    let (Some(slot), Some(protocol)) = (slot, theirs.protocols.first().cloned()) else {
        turn_away(shared, link, CloseCause::UnknownProtocol, "");
        return None;
    };
    if let Some(words) = slot.path_policy.refuses(link.path().kind) {
        turn_away(shared, link, CloseCause::PathPolicy, words);
        return None;
    }
    let place = slot.places.clone().try_acquire_owned();
    let (Ok(place), Some(entry)) = (place, slot.backlog.try_reserve()) else {
        turn_away(shared, link, CloseCause::Busy, "");
        return None;
    };
    let claim = theirs.claim.number;
    let applicant = Applicant { peer: id, protocol, credential: theirs.credential };
    if let Err(refusal) = slot.admission.judge(&applicant).await {
        let (cause, message) = match refusal {
            Refusal::Denied(Denied(message)) => (CloseCause::AdmissionDenied, message),
            Refusal::RateLimited { reason, retry_after } => {
                (CloseCause::RateLimited { retry_after }, reason)
            }
        };
        turn_away(shared, link, cause, message);
        return None;
    }
    if slot.backlog.is_closed() {
        // The listener has gone in the meantime.
        turn_away(shared, link, CloseCause::UnknownProtocol, "");
        return None;
    }
    let Applicant { protocol, credential, .. } = applicant;
    if let Err(error) = control_out.write_all(ControlFrame::Admitted.encode()).await {
        // Who does not want to hear it hears of that.
        let (cause, message) = HandshakeError::from(error).refusal();
        turn_away(shared, link, cause, message);
        return None;
    }
    let peer = peer_info(id, protocol, agreement, credential);
    let path_policy = slot.path_policy;
    let judged = Judged { control_in, peer, agreement, path_policy, place, entry, claim };
    Some(Verdict::Admitted(judged))
}

impl<L: Link> Resumed<L> {
    /// Hands the link to its connection.
    fn connect(self, link: L, control_out: L::SendStream) {
        let Self { core, attempt, control_in, standing } = self;
        let control = (control_out, control_in);
        let next = Relinked { link, control, standing: Some(standing) };
        if let Some(late) = core.hand_over(attempt, next) {
            refuse(&late.link, CloseCause::NotResumable, "");
        }
    }
}

impl<L: Link> Resumed<L> {
    /// Hands the link to its connection, to stand by for the one it has.
    fn stand_by(self, link: L, control_out: L::SendStream) {
        let Self { core, attempt, control_in, .. } = self;
        let next = Relinked { link, control: (control_out, control_in), standing: None };
        if let Some(late) = core.hand_over_standby(attempt, next) {
            refuse(&late.link, CloseCause::NotResumable, "");
        }
    }
}

impl<L: Link> Judged<L> {
    /// Hands the connection to its listener, unless all has ended in the meantime.
    fn connect<T: Transport<Link = L>>(
        self,
        shared: &Arc<Shared<T>>,
        owner: &Weak<Owner>,
        config: &ConnectionConfig,
        (link, control_out): (L, L::SendStream),
        began: Instant,
    ) {
        let Self { control_in, peer, agreement, path_policy, place, entry, claim } = self;
        let Some(owner) = owner.upgrade() else { return };
        let id = peer.id;
        let resumes = agreement.capabilities.contains(Capabilities::RESUME);
        let claim = resumes.then_some((id, claim));
        let connection = shared.remember(claim, |number| {
            Connection::new(Parts {
                linked: Relinked { link, control: (control_out, control_in), standing: None },
                peer,
                agreement,
                config,
                live: shared.config.clone(),
                monitor: shared.monitor.clone(),
                path_policy,
                admitted: true,
                redial: None,
                place: Some(place),
                number,
                registry: shared.clone(),
                keep_alive: owner,
            })
        });
        if let Ok(connection) = connection {
            let (number, path) = (connection.inner.number(), connection.link().path().kind);
            let took = began.elapsed();
            shared.monitor.established(Direction::Accepted, id, number, path, took);
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
