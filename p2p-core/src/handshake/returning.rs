//! The side that dialled, once more: for a connection that has lost its link, or keeps a second one.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::dialler::{Unfinished, dial, greet, proven};
use super::refuse;
use crate::address::PeerAddr;
use crate::close::CloseCause;
use crate::connection::relink::{End, Redial, RedialError, Relinked};
use crate::engine::hello::Hello;
use crate::error::{P2PError, Result};
use crate::identity::PeerId;
use crate::node::Shared;
use crate::options::ConnectReady;
use crate::priority::Priority;
use crate::transport::{StandbySupport, Transport};

/// Dials once more for a connection that has lost its link.
pub(super) struct Redialler<T: Transport> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) peer: PeerAddr,
    pub(super) hello: Hello,
}

#[async_trait]
impl<T: Transport> Redial<T::Link> for Redialler<T> {
    async fn redial(
        &self,
        attempt: u32,
        standing: [(u64, u64); Priority::COUNT],
        or_new: bool,
        within: Duration,
        end: End<'_>,
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
        // Should the peer have gone on with it, it is to hear how the connection has ended.
        let why = || end().unwrap_or((CloseCause::Dropped, String::new()));
        self.greeted(dialling, ours, within, &why).await
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
        end: End<'_>,
    ) -> Result<Relinked<T::Link>, RedialError> {
        let mut ours = self.hello.clone();
        // An acceptor that knows of no such links refuses it: it is for no connection of this name.
        ours.claim.attempt = attempt.max(1);
        ours.stands_by = true;
        ours.credential = Bytes::new();
        let dialling =
            async { proven(self.shared.transport.dial_standby(&self.peer).await?, &self.peer) };
        let why = || end().unwrap_or((CloseCause::LinkReplaced, String::new()));
        self.greeted(dialling, ours, within, &why).await
    }
}

impl<T: Transport> Redialler<T> {
    /// Says hello on what `dialling` comes to.
    async fn greeted(
        &self,
        dialling: impl Future<Output = Result<T::Link>> + Send,
        ours: Hello,
        within: Duration,
        why: &(dyn Fn() -> (CloseCause, String) + Sync),
    ) -> Result<Relinked<T::Link>, RedialError> {
        let later = |error: P2PError| RedialError::Later(error.to_string());
        let deadline = Instant::now() + within;
        let too_late = |_| RedialError::Later(format!("no answer within {within:?}"));
        let link = timeout_at(deadline, dialling);
        let link = link.await.map_err(too_late)?.map_err(later)?;
        let greeted = {
            let mut greeting = pin!(greet(&link, &ours, ConnectReady::Answered));
            let unfinished = Unfinished::new(&link, why);
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
                Ok(Relinked { link, control: Box::new((control_out, control_in)), standing: None })
            }
            Err(error) => {
                let (cause, message) = error.refusal();
                refuse(&link, cause, message);
                Err(error.into_redial_error(self.peer.id(), ours.protocols.first()))
            }
        }
    }
}
