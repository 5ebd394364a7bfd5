//! Who is let in.

use std::sync::Arc;

use async_trait::async_trait;

use super::{LimitedConnection, Shared};
use crate::address::PeerAddr;
use crate::error::{P2PError, Result};
use crate::options::{Admission, Applicant, Denied, ListenOptions, Refusal};
use crate::protocol::ProtocolName;
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

/// The listener of a [`Limited`](crate::Limited) provider.
#[derive(Debug)]
pub struct LimitedListener<N> {
    inner: N,
    shared: Arc<Shared>,
}

impl<N: P2PListener> LimitedListener<N> {
    pub(super) async fn listen<P: P2PProvider<Listener = N>>(
        provider: &P,
        mut options: ListenOptions,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let gate = Gate { inner: options.admission, shared: shared.clone() };
        options.admission = Arc::new(gate);
        Ok(Self { inner: provider.listen(options).await?, shared })
    }
}

/// Asks the limits before anybody else is asked.
struct Gate {
    inner: Arc<dyn Admission>,
    shared: Arc<Shared>,
}

#[async_trait]
impl Admission for Gate {
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        self.judge(applicant).await.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => denied,
            Refusal::RateLimited { reason, .. } => Denied(reason),
        })
    }

    async fn judge(&self, applicant: &Applicant) -> Result<(), Refusal> {
        let now = self.shared.now();
        let admitted = self.shared.ledger().admit(applicant.peer, now);
        admitted.map_err(|error| match error {
            P2PError::RateLimited { retry_after, .. } => {
                Refusal::RateLimited { reason: error.to_string(), retry_after }
            }
            error => Denied(error.to_string()).into(),
        })?;
        self.inner.judge(applicant).await
    }
}

#[async_trait]
impl<N: P2PListener> P2PListener for LimitedListener<N> {
    type Connection = LimitedConnection<N::Connection>;

    async fn accept(&self) -> Result<Self::Connection> {
        loop {
            let inner = self.inner.accept().await?;
            // At admission there was a place. If others were faster, the peer sees a connection that
            // was dropped, which is worth another try.
            if let Ok(place) = self.shared.enter(inner.peer_id()) {
                return Ok(LimitedConnection::new(inner, place));
            }
        }
    }

    fn local_addr(&self) -> PeerAddr {
        self.inner.local_addr()
    }

    fn protocol(&self) -> &ProtocolName {
        self.inner.protocol()
    }

    fn close(&self) {
        self.inner.close();
    }
}
