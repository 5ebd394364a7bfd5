//! [`HostAgent`]: a host that is known to the coordinator and lets in whom it sent.

use std::sync::Arc;

use p2p_coordinator_api::HostId;
use p2p_core::{
    CloseCause, CloseReason, ClosedBy, ListenOptions, P2PError, P2PListener, P2PProvider, PeerAddr,
    SecretKey,
};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout};

use crate::client::Client;

mod clock;
mod config;
mod duty;
mod errand;
mod error;
mod guest;
mod guests;
mod hall;
mod owner;
mod register;
mod rhythm;

pub use config::HostConfig;
pub use error::HostError;
pub use guest::Guest;
pub use hall::AgentState;

use hall::{Hall, HallDoor, Shared};
use owner::Owner;
use register::Registrar;

/// A host's side of the coordinator: registers, tells that it lives, lets in the players that the
/// coordinator sent, and tells which of them are there.
///
/// It has one task, which ends with [`shutdown`](HostAgent::shutdown), when the agent is dropped, or
/// when the provider is shut down. The coordinator may be gone as long as it likes: guests stay, and
/// the agent tries until it is back.
///
/// A guest's place is its token's: who comes again with a new one takes the place of the connection
/// before, which is closed with [`TAKEN_OVER`](HostAgent::TAKEN_OVER).
#[derive(Debug)]
pub struct HostAgent<P: P2PProvider> {
    host: HostId,
    shared: Arc<Shared>,
    listener: Arc<P::Listener>,
    guests: Mutex<mpsc::Receiver<Guest<P::Connection>>>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
    abort: AbortHandle,
}

impl<P: P2PProvider> HostAgent<P> {
    /// The code with which a guest's connection is closed when the program drops its [`Guest`].
    pub const LET_GO: u32 = 0;
    /// The code with which a guest's connection is closed when the same player has come again.
    pub const TAKEN_OVER: u32 = 1;
    /// The code with which a connection is closed that waited so long to be accepted that its place
    /// may be somebody else's by now.
    pub const TOO_LATE: u32 = 2;
    /// The code with which a guest's connection is closed when the coordinator has given the place
    /// away: the player has gone to another session, or the session is over.
    pub const PLACE_GONE: u32 = 3;

    /// Registers the host as one that has just begun, and only then listens. `secret` is the
    /// provider's, to prove whose peer id it is. Tokens made before the registration are refused:
    /// this process does not know which of them were used.
    ///
    /// # Errors
    ///
    /// [`HostError`]; the coordinator is tried again until
    /// [`start_timeout`](HostConfig::start_timeout) has passed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the host registered until its lease ends.
    pub async fn start(
        client: Client<P>,
        provider: P,
        secret: SecretKey,
        config: HostConfig,
    ) -> Result<Self, HostError> {
        if secret.peer_id() != provider.local_peer_id() {
            let (secret, provider) = (secret.peer_id(), provider.local_peer_id());
            return Err(HostError::ForeignKey { secret, provider });
        }
        let host = config.host_id.clone();
        let registrar = Registrar::new(client, secret, config.clone());
        let registered = registrar.until_registered(&provider).await?;

        let hall = Hall::new(&config, provider.local_peer_id(), &registered);
        let shared = Arc::new(Shared::new(hall));
        let options = ListenOptions::new(config.protocol.clone())
            .with_backlog(config.backlog)
            .with_max_connections(config.max_connections)
            .with_admission(HallDoor(shared.clone()));
        let listener = match provider.listen(options).await {
            Ok(listener) => Arc::new(listener),
            Err(source) => {
                // Nobody is to be sent to a host that does not listen.
                let _ = timeout(owner::GOODBYE, registrar.client().remove_host(&host)).await;
                return Err(HostError::Listen { source });
            }
        };
        let (to_program, guests) = mpsc::channel(config.backlog.max(1));
        let stop = Arc::new(Notify::new());
        let owner = Owner::new(
            registrar,
            provider,
            shared.clone(),
            listener.clone(),
            to_program,
            &registered,
        );
        let task = tokio::spawn(owner.run(stop.clone()));
        let abort = task.abort_handle();
        let (guests, task) = (Mutex::new(guests), Mutex::new(Some(task)));
        Ok(Self { host, shared, listener, guests, stop, task, abort })
    }

    /// The next guest: a player whom the coordinator sent here. Several callers take turns.
    ///
    /// # Errors
    ///
    /// [`Closed`](P2PError::Closed) when the agent or its provider was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no guest.
    pub async fn accept(&self) -> Result<Guest<P::Connection>, P2PError> {
        self.guests.lock().await.recv().await.ok_or_else(|| {
            let words = "the host agent has ended";
            P2PError::Closed(CloseReason::new(ClosedBy::Local, CloseCause::Shutdown, words))
        })
    }

    /// The host's name.
    pub const fn host_id(&self) -> &HostId {
        &self.host
    }

    /// Where the host is.
    pub fn local_addr(&self) -> PeerAddr {
        self.listener.local_addr()
    }

    /// How it stands between the host and the coordinator.
    pub fn state(&self) -> AgentState {
        self.shared.hall().state(Instant::now())
    }

    /// Stops listening, and tells the coordinator that the host is gone, for which it waits two
    /// seconds at most. Guests that the program holds stay connected until it drops them. Further
    /// calls wait for the same end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the shutdown going on; call it again to wait for it.
    pub async fn shutdown(&self) {
        self.stop.notify_one();
        let mut task = self.task.lock().await;
        if let Some(running) = task.as_mut() {
            // It does not fail, unless the runtime ends under it.
            let _ = running.await;
        }
        *task = None;
    }
}

impl<P: P2PProvider> Drop for HostAgent<P> {
    fn drop(&mut self) {
        self.abort.abort();
        // The task may be dropped later, by its runtime.
        self.listener.close();
    }
}
