//! The side that is dialled: hello, and the judgement on who is let in.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::control::ControlReader;
use super::error::HandshakeError;
use super::unfinished::Whose;
use super::{CONTROL_PRIORITY, peer_info, refuse};
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::config::ConnectionConfig;
use crate::connection::relink::Relinked;
use crate::connection::{Connection, Core, Parts};
use crate::engine::control::ControlFrame;
use crate::engine::hello::{Agreement, Hello};
use crate::error::StreamError;
use crate::listener::Seat;
use crate::listener::backlog::Entry;
use crate::node::{Owner, Shared};
use crate::observe::Direction;
use crate::options::{Applicant, Denied, Refusal};
use crate::path::PathPolicy;
use crate::priority::Priority;
use crate::protocol::Capabilities;
use crate::provider::PeerInfo;
use crate::stream::SendStream;
use crate::transport::{Incoming, Link, Transport};

/// Says hello to whoever dialled, finds out who it is and what it wants, and lets it in or not.
pub(crate) async fn inbound<T: Transport>(
    shared: &Arc<Shared<T>>,
    owner: &Weak<Owner>,
    incoming: T::Incoming,
) {
    let (began, config) = (Instant::now(), shared.config.get());
    let deadline = began + config.handshake_timeout;
    let too_slow = || format!("the handshake took longer than {:?}", config.handshake_timeout);
    let proven = shared.unless_shut_down(timeout_at(deadline, prove(shared, &config, incoming)));
    // Too slow or too late to prove who it is: the future is dropped, and the link with it.
    let (link, ours, said) = match proven.await {
        Some(Ok(Some(proven))) => proven,
        Some(Ok(None)) => return shared.monitor.refused(None, CloseCause::Transport, ""),
        Some(Err(_)) => return shared.monitor.refused(None, CloseCause::TimedOut, &too_slow()),
        None => return,
    };
    shared.monitor.accepted(link.peer_id());
    let max = config.max_handshakes_per_peer;
    let _counted = match shared.unfinished.count(Whose::Of(link.peer_id()), max) {
        Ok(counted) => counted,
        Err(full) => return turn_away(shared, &link, CloseCause::Busy, full.to_string()),
    };
    let mut control_out = match said {
        Ok(control_out) => control_out,
        Err(error) => return turn_away_for(shared, &link, &error.into()),
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
            turn_away(shared, &link, CloseCause::TimedOut, too_slow());
        }
        None => refuse(&link, CloseCause::Shutdown, ""),
    }
}

/// Says hello, unless the peer does not want to hear it, and waits for the peer to prove who it is.
async fn prove<T: Transport>(
    shared: &Shared<T>,
    config: &ConnectionConfig,
    mut incoming: T::Incoming,
) -> Option<(T::Link, Hello, Result<<T::Link as Link>::SendStream, StreamError>)> {
    let ours = Hello::new(config, shared.protocols(), Bytes::new());
    let mut control_out = incoming.open_early().await.ok()?;
    control_out.set_priority(CONTROL_PRIORITY);
    let said = control_out.write_all(ours.encode()).await;
    let link = incoming.authenticated().await.ok()?;
    Some((link, ours, said.map(|()| control_out)))
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
    seat: Seat,
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
            turn_away_for(shared, link, &error);
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
            (None, Some(_))
                if theirs.claim.or_new || shared.was_unused(id, theirs.claim.number) => {}
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
    let (place, entry) = match slot.place() {
        Ok(both) => both,
        Err(full) => {
            turn_away(shared, link, CloseCause::Busy, full.to_string());
            return None;
        }
    };
    let claim = theirs.claim.number;
    let applicant = Applicant { peer: id, protocol, credential: theirs.credential };
    let pass = match slot.judge(&applicant).await {
        Ok(pass) => pass,
        Err(refusal) => {
            let (cause, message) = match refusal {
                Refusal::Denied(Denied(message)) => (CloseCause::AdmissionDenied, message),
                Refusal::Full { reason, retry_after }
                | Refusal::RateLimited { reason, retry_after } => {
                    (CloseCause::RateLimited { retry_after }, reason)
                }
            };
            turn_away(shared, link, cause, message);
            return None;
        }
    };
    if slot.backlog.is_closed() {
        // The listener has gone in the meantime.
        turn_away(shared, link, CloseCause::UnknownProtocol, "");
        return None;
    }
    let Applicant { protocol, credential, .. } = applicant;
    if let Err(error) = control_out.write_all(ControlFrame::Admitted.encode()).await {
        turn_away_for(shared, link, &error.into());
        return None;
    }
    let peer = peer_info(id, protocol, agreement, credential);
    let (path_policy, seat) = (slot.path_policy, Seat::new(place, pass));
    let judged = Judged { control_in, peer, agreement, path_policy, seat, entry, claim };
    Some(Verdict::Admitted(judged))
}

impl<L: Link> Resumed<L> {
    /// Hands the link to its connection.
    fn connect(self, link: L, control_out: L::SendStream) {
        let Self { core, attempt, control_in, standing } = self;
        let control = Box::new((control_out, control_in));
        let next = Relinked { link, control, standing: Some(standing) };
        if let Some(late) = core.hand_over(attempt, Box::new(next)) {
            refuse(&late.link, core.too_late(), "");
        }
    }
}

impl<L: Link> Resumed<L> {
    /// Hands the link to its connection, to stand by for the one it has.
    fn stand_by(self, link: L, control_out: L::SendStream) {
        let Self { core, attempt, control_in, .. } = self;
        let next = Relinked { link, control: Box::new((control_out, control_in)), standing: None };
        if let Some(late) = core.hand_over_standby(attempt, Box::new(next)) {
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
        let Self { control_in, peer, agreement, path_policy, seat, entry, claim } = self;
        let Some(owner) = owner.upgrade() else { return };
        let id = peer.id;
        let resumes = agreement.capabilities.contains(Capabilities::RESUME);
        let claim = resumes.then_some((id, claim));
        let connection = shared.remember(claim, |number| {
            Connection::new(Parts {
                linked: Relinked {
                    link,
                    control: Box::new((control_out, control_in)),
                    standing: None,
                },
                peer,
                agreement,
                config,
                live: shared.config.clone(),
                monitor: shared.monitor.clone(),
                path_policy,
                admitted: true,
                redial: None,
                seat: Some(seat),
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

/// Refuses an applicant with whom the handshake has failed: who does not want to hear of it hears why.
fn turn_away_for<T: Transport>(shared: &Shared<T>, link: &T::Link, error: &HandshakeError) {
    let (cause, message) = error.refusal();
    turn_away(shared, link, cause, message);
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
