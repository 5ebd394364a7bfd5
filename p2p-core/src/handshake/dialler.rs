//! The side that dials: hello, and the peer's answer to it.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use super::control::ControlReader;
use super::error::HandshakeError;
use super::returning::Redialler;
use super::{CONTROL_PRIORITY, peer_info, refuse};
use crate::address::PeerAddr;
use crate::close::{CloseCause, CloseReason, ClosedBy};
use crate::connection::relink::{Redial, Relinked};
use crate::connection::{Connection, Parts};
use crate::engine::control::ControlFrame;
use crate::engine::hello::{Agreement, Hello};
use crate::error::{P2PError, ProtocolError, Result};
use crate::node::{Owner, Shared};
use crate::options::{ConnectOptions, ConnectReady};
use crate::path::PathPolicy;
use crate::protocol::Capabilities;
use crate::stream::SendStream;
use crate::transport::{Link, Transport};

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
        let unfinished = Unfinished::new(&link, &|| (CloseCause::Dropped, String::new()));
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
                    linked: Relinked {
                        link,
                        control: Box::new((control_out, control_in)),
                        standing: None,
                    },
                    peer: peer_info(id, protocol, agreement, Bytes::new()),
                    agreement,
                    config: &config,
                    live: shared.config.clone(),
                    monitor: shared.monitor.clone(),
                    path_policy,
                    admitted: ready == ConnectReady::Admitted,
                    redial,
                    seat: None,
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
pub(super) async fn dial<T: Transport>(shared: &Shared<T>, peer: &PeerAddr) -> Result<T::Link> {
    proven(shared.transport.dial(peer).await?, peer)
}

/// The link, if it leads to `peer`.
pub(super) fn proven<L: Link>(link: L, peer: &PeerAddr) -> Result<L> {
    let id = link.peer_id();
    if id != peer.id() {
        refuse(&link, CloseCause::Dropped, "");
        let reason = format!("it is {}", id.fmt_short());
        return Err(P2PError::AuthenticationFailed { peer: peer.id(), reason });
    }
    Ok(link)
}

/// Closes a link whose dialler gave up, so that the peer does not take a transport's own code for
/// a program's.
pub(super) struct Unfinished<'a, L: Link> {
    link: &'a L,
    why: &'a (dyn Fn() -> (CloseCause, String) + Sync),
}

impl<'a, L: Link> Unfinished<'a, L> {
    pub(super) const fn new(
        link: &'a L,
        why: &'a (dyn Fn() -> (CloseCause, String) + Sync),
    ) -> Self {
        Self { link, why }
    }

    pub(super) fn finish(self) {
        std::mem::forget(self);
    }
}

impl<L: Link> Drop for Unfinished<'_, L> {
    fn drop(&mut self) {
        let (cause, message) = (self.why)();
        refuse(self.link, cause, message);
    }
}

type Control<L> = (<L as Link>::SendStream, ControlReader<<L as Link>::RecvStream>, Agreement);

pub(super) async fn greet<L: Link>(
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
