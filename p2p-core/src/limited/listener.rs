//! Who is let in.

use std::sync::Arc;

use async_trait::async_trait;

use super::{LimitedConnection, Party, Shared};
use crate::address::PeerAddr;
use crate::error::{Limit, P2PError, Result};
use crate::options::{Admission, Applicant, Denied, ListenOptions, Refusal};
use crate::pass::Pass;
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
        self.judge(applicant).await.map(drop).map_err(|refusal| match refusal {
            Refusal::Denied(denied) => denied,
            Refusal::Full { reason, .. } | Refusal::RateLimited { reason, .. } => Denied(reason),
        })
    }

    async fn judge(&self, applicant: &Applicant) -> Result<Pass, Refusal> {
        let place = self.shared.admit(applicant.peer).map_err(|error| match error {
            P2PError::RateLimited { limit, retry_after, .. } => {
                let reason = error.to_string();
                match limit {
                    Limit::Connections | Limit::Peers => Refusal::Full { reason, retry_after },
                    _ => Refusal::RateLimited { reason, retry_after },
                }
            }
            error => Denied(error.to_string()).into(),
        })?;
        let inner = self.inner.judge(applicant).await?;
        Ok(Pass::holding((place, inner)))
    }
}

#[async_trait]
impl<N: P2PListener> P2PListener for LimitedListener<N> {
    type Connection = LimitedConnection<N::Connection>;

    async fn accept(&self) -> Result<Self::Connection> {
        let inner = self.inner.accept().await?;
        // It has its place since it was judged, and keeps it.
        let party = Party { shared: self.shared.clone(), peer: inner.peer_id(), _place: None };
        Ok(LimitedConnection::new(inner, party))
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
