//! What one `connect` or one `listen` is to do, and who is let in.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Limit, P2PError, Result};
use crate::identity::PeerId;
use crate::pass::Pass;
use crate::path::PathPolicy;
use crate::protocol::ProtocolName;

/// The most bytes of a credential in a hello.
pub const MAX_CREDENTIAL: usize = 2048;

/// What a `connect` asks for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// What to speak.
    pub protocol: ProtocolName,
    /// What to show the peer's admission hook; opaque here.
    pub credential: Bytes,
    /// When `connect` is to return.
    pub ready: ConnectReady,
    /// How long it may take; the node's `connect_timeout` if not set.
    pub timeout: Option<Duration>,
    /// Which paths the connection may take. Default [`PathPolicy::PreferDirect`].
    pub path_policy: PathPolicy,
}

impl ConnectOptions {
    /// To speak `protocol`, showing no credential.
    pub const fn new(protocol: ProtocolName) -> Self {
        Self {
            protocol,
            credential: Bytes::new(),
            ready: ConnectReady::Answered,
            timeout: None,
            path_policy: PathPolicy::PreferDirect,
        }
    }

    /// Sets the credential.
    ///
    /// # Errors
    ///
    /// [`P2PError::LimitExceeded`] past [`MAX_CREDENTIAL`] bytes.
    pub fn with_credential(mut self, credential: impl Into<Bytes>) -> Result<Self> {
        self.credential = credential.into();
        self.check()?;
        Ok(self)
    }

    /// Checks what is bounded.
    pub(crate) fn check(&self) -> Result<()> {
        let (max, actual) = (MAX_CREDENTIAL as u64, self.credential.len() as u64);
        if actual > max {
            return Err(P2PError::LimitExceeded { limit: Limit::Credential, max, actual });
        }
        Ok(())
    }

    /// Sets when `connect` returns.
    #[must_use]
    pub const fn with_ready(mut self, ready: ConnectReady) -> Self {
        self.ready = ready;
        self
    }

    /// Sets how long `connect` may take.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets which paths the connection may take.
    #[must_use]
    pub const fn with_path_policy(mut self, policy: PathPolicy) -> Self {
        self.path_policy = policy;
        self
    }
}

/// When a `connect` is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectReady {
    /// When the peer has proven who it is and serves the protocol: after one round trip. If its
    /// admission hook then says no, the first `recv` says so, and `closed`.
    Answered,
    /// When the peer's admission hook has said yes as well: after two round trips.
    Admitted,
}

/// What a `listen` serves, whom, and how many.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// What is spoken.
    pub protocol: ProtocolName,
    /// Who is let in.
    pub admission: Arc<dyn Admission>,
    /// Connections that may wait to be accepted, at least one; further ones are refused as busy.
    /// Default 64.
    pub backlog: usize,
    /// Connections that may live at once, at least one; further ones are refused as busy. Default 4096.
    pub max_connections: usize,
    /// Which paths the connections may take. Default [`PathPolicy::PreferDirect`].
    pub path_policy: PathPolicy,
}

impl ListenOptions {
    /// To speak `protocol` with everybody.
    pub fn new(protocol: ProtocolName) -> Self {
        Self {
            protocol,
            admission: Arc::new(AdmitAll),
            backlog: 64,
            max_connections: 4096,
            path_policy: PathPolicy::PreferDirect,
        }
    }

    /// Sets who is let in.
    #[must_use]
    pub fn with_admission(mut self, admission: impl Admission) -> Self {
        self.admission = Arc::new(admission);
        self
    }

    /// Sets how many connections may wait to be accepted.
    #[must_use]
    pub const fn with_backlog(mut self, connections: usize) -> Self {
        self.backlog = connections;
        self
    }

    /// Sets how many connections may live at once.
    #[must_use]
    pub const fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets which paths the connections may take.
    #[must_use]
    pub const fn with_path_policy(mut self, policy: PathPolicy) -> Self {
        self.path_policy = policy;
        self
    }
}

/// Who asks to be let in: proven identity, and what it said in its hello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applicant {
    /// The peer; it has proven to be it.
    pub peer: PeerId,
    /// What it wants to speak.
    pub protocol: ProtocolName,
    /// What it showed: at most [`MAX_CREDENTIAL`] bytes of anything.
    pub credential: Bytes,
}

/// Why an applicant is not let in. The words reach it: nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied(pub String);

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an applicant is not let in now, and whether it is worth its while to come again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not wanted.
    Denied(Denied),
    /// There is no place for it until another connection ends: it sees
    /// [`RefusedForNow`](P2PError::RefusedForNow). If somebody waits to be accepted who has given up,
    /// that connection ends and the hook is asked once more.
    Full {
        /// Of what there are not more. The words reach it.
        reason: String,
        /// When trying again may help.
        retry_after: Duration,
    },
    /// It comes too soon: it sees [`RefusedForNow`](P2PError::RefusedForNow).
    RateLimited {
        /// What there was too much of. The words reach it.
        reason: String,
        /// When trying again may help.
        retry_after: Duration,
    },
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// Judges each inbound connection before `accept` yields it.
///
/// # Contract for implementers
///
/// Called for many applicants at once. A judgement that takes longer than the node's
/// `handshake_timeout` counts as no.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Lets the applicant in, or says why not.
    ///
    /// # Errors
    ///
    /// [`Denied`], with words for the applicant.
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied>;

    /// The same for hooks that also have limits, or that count whom they have let in; this one is
    /// called, and the [`Pass`] is kept for as long as the connection. If not written, it asks
    /// [`admit`](Admission::admit).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    async fn judge(&self, applicant: &Applicant) -> Result<Pass, Refusal> {
        self.admit(applicant).await?;
        Ok(Pass::free())
    }
}

impl fmt::Debug for dyn Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

/// Lets everybody in.
#[derive(Clone, Copy, Debug)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn admit(&self, _applicant: &Applicant) -> Result<(), Denied> {
        Ok(())
    }
}

/// Makes an [`Admission`] of an async function.
///
/// ```
/// use p2p_core::{admission_fn, Denied, ListenOptions};
///
/// let options = ListenOptions::new("chat/2".parse()?).with_admission(admission_fn(
///     async |applicant| match &applicant.credential[..] {
///         b"sesame" => Ok(()),
///         _ => Err(Denied("wrong word".into())),
///     },
/// ));
/// # Ok::<(), p2p_core::ProtocolNameError>(())
/// ```
pub fn admission_fn<F, R>(judge: F) -> impl Admission
where
    F: Fn(Applicant) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Denied>> + Send,
{
    AdmissionFn(judge)
}

struct AdmissionFn<F>(F);

#[async_trait]
impl<F, R> Admission for AdmissionFn<F>
where
    F: Fn(Applicant) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), Denied>> + Send,
{
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        (self.0)(applicant.clone()).await
    }
}
