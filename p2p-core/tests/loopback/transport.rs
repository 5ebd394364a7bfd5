//! A transport in memory: what one end of a link writes, the other can read at once.
//!
//! `transport` is who is there and who dials whom, `link` what two ends have in common, `stream` the
//! halves of streams.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use p2p_core::transport::{LinkClosed, StandbySupport, Transport};
use p2p_core::{ConnectionConfig, P2PError, PathInfo, PeerAddr, PeerId, SecretKey};
use tokio::sync::mpsc;

use super::link::{End, Shared};

/// Who is there.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// `None`: was there, and does not answer any more.
    peers: Mutex<BTreeMap<PeerId, Option<mpsc::UnboundedSender<End>>>>,
    links: Mutex<Vec<([PeerId; 2], Weak<Shared>)>>,
    /// Which way data takes, if not the direct one.
    path: Mutex<Option<PathInfo>>,
    /// No dial comes to anything, those for standbys apart.
    held: AtomicBool,
}

impl Network {
    pub(crate) fn join(self: &Arc<Self>, id: PeerId, config: &ConnectionConfig) -> Loopback {
        let (sender, inbound) = mpsc::unbounded_channel();
        self.peers.lock().expect("no panic").insert(id, Some(sender));
        let (network, config) = (self.clone(), config.clone());
        Loopback { id, network, config, inbound: inbound.into() }
    }

    /// Lets the data of all links, present and future, take this way.
    pub(crate) fn take_path(&self, path: PathInfo) {
        *self.path.lock().expect("no panic") = Some(path.clone());
        for (_, shared) in &*self.links.lock().expect("no panic") {
            if let Some(shared) = shared.upgrade() {
                shared.change(|state| state.paths.push(path.clone()));
            }
        }
    }

    /// The other end of a standby does not hear any more of its close.
    pub(crate) fn cut_standbys(&self) {
        for (_, shared) in &*self.links.lock().expect("no panic") {
            if let Some(shared) = shared.upgrade().filter(|shared| shared.stands_by) {
                shared.state().cut = true;
            }
        }
    }

    /// How many links something is kept of, open or not.
    pub(crate) fn links_kept(&self) -> usize {
        let links = self.links.lock().expect("no panic");
        links.iter().filter(|(_, shared)| shared.strong_count() > 0).count()
    }

    /// How many links are open at either end.
    pub(crate) fn open_links(&self) -> usize {
        let links = self.links.lock().expect("no panic");
        let is_open = |shared: Arc<Shared>| shared.state().closed.iter().any(Option::is_none);
        links
            .iter()
            .filter_map(|(_, shared)| shared.upgrade())
            .filter(|one| is_open(one.clone()))
            .count()
    }

    /// Whether no dial comes to anything, those for standbys apart.
    pub(crate) fn hold_dials(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Lets nothing of this peer through any more. The other ends notice after the idle timeout.
    pub(crate) fn vanish(&self, peer: PeerId) {
        self.peers.lock().expect("no panic").insert(peer, None);
        for (ends, shared) in &*self.links.lock().expect("no panic") {
            let Some(shared) = shared.upgrade().filter(|_| ends.contains(&peer)) else { continue };
            shared.state().cut = true;
            tokio::spawn(async move {
                tokio::time::sleep(shared.idle_timeout).await;
                for end in 0..2 {
                    shared.state().closed[end].get_or_insert(LinkClosed::TimedOut);
                }
                shared.changed.notify_waiters();
            });
        }
    }
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Loopback {
    id: PeerId,
    network: Arc<Network>,
    config: ConnectionConfig,
    inbound: tokio::sync::Mutex<mpsc::UnboundedReceiver<End>>,
}

impl Transport for Loopback {
    type Link = End;
    type Incoming = End;

    fn local_peer_id(&self) -> PeerId {
        self.id
    }

    fn local_addr(&self) -> PeerAddr {
        self.id.into()
    }

    async fn dial(&self, peer: &PeerAddr) -> Result<End, P2PError> {
        if self.network.held.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        self.dial_as(self.id, peer.id()).await
    }

    fn standby(&self) -> StandbySupport {
        StandbySupport::Relayed
    }

    async fn standby_id(&self) -> Result<PeerId, P2PError> {
        // Some other name that nobody else has.
        Ok(SecretKey::from_bytes(self.id.as_bytes()).peer_id())
    }

    async fn dial_standby(&self, peer: &PeerAddr) -> Result<End, P2PError> {
        self.dial_as(self.standby_id().await?, peer.id()).await
    }

    async fn accept(&self) -> Option<End> {
        self.inbound.lock().await.recv().await
    }

    fn random(&self) -> u64 {
        u64::MAX / 3
    }

    async fn close(&self) {
        // The only sender, so that `accept` ends.
        self.network.peers.lock().expect("no panic").insert(self.id, None);
    }
}

impl Loopback {
    async fn dial_as(&self, name: PeerId, peer: PeerId) -> Result<End, P2PError> {
        let here = self.network.peers.lock().expect("no panic")[&self.id].is_some();
        if !here {
            pending::<()>().await;
        }
        let door = self.network.peers.lock().expect("no panic").get(&peer).cloned();
        let door = door.ok_or(P2PError::PeerNotFound { peer })?;
        let shared = Arc::new(Shared {
            idle_timeout: self.config.idle_timeout,
            max_streams: self.config.max_streams as usize,
            stands_by: name != self.id,
            ..Shared::default()
        });
        shared.state().paths.extend(self.network.path.lock().expect("no panic").clone());
        self.network
            .links
            .lock()
            .expect("no panic")
            .push(([self.id, peer], Arc::downgrade(&shared)));
        let theirs = End { shared: shared.clone(), end: 1, peer: name };
        match door.and_then(|door| door.send(theirs).ok()) {
            Some(()) => Ok(End { shared, end: 0, peer }),
            // Nobody answers: the engine knows how long to wait.
            None => pending().await,
        }
    }
}
