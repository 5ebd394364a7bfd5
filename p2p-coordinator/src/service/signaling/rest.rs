//! Signaling by single requests: a peer without a connection posts, and asks for what there is.

use bytes::Bytes;
use thiserror::Error;

use super::admission::Refused;
use super::{Applied, ConnectError, Coordinator};
use crate::domain::signaling::{
    Delivery, JoinError, Kind, MailboxId, Outgoing, Undeliverable, VisitError,
};
use crate::service::ServiceError;
use crate::store::Store;

/// Who asks, and about which session.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// As whom.
    pub peer: &'a str,
    /// The access token.
    pub token: Option<&'a str>,
    /// The session, by name or number.
    pub session: &'a str,
}

/// Why it is not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PostError {
    /// Not who they say, or the coordinator takes nobody.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The room takes nobody.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The store cannot say.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Not in that session.
    #[error("Not a member of session {0}")]
    Stranger(String),
    /// The message reaches nobody.
    #[error(transparent)]
    Undeliverable(#[from] Undeliverable),
}

impl From<VisitError> for PostError {
    fn from(error: VisitError) -> Self {
        match error {
            VisitError::Denied(denied) => Self::Connect(denied.into()),
            VisitError::Join(error) => Self::Join(error),
        }
    }
}

impl<S: Store> Coordinator<S> {
    /// Sends a message for a peer without a connection.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post_signal(
        &self,
        letter: &Letter<'_>,
        message: &Outgoing<'_>,
    ) -> Result<Delivery, PostError> {
        let from = self.visit(letter).await?;
        let now = self.now();
        let mut state = self.inner.signaling.lock();
        let (sent, applied) =
            state.decide(now, |hub, effects| hub.post(now, from, message, effects));
        match (sent, applied) {
            (Ok(_), Applied::Overflow { kept: true }) => Ok(Delivery::Kept),
            (Ok(_), Applied::Overflow { kept: false }) => Err(Undeliverable::Full.into()),
            (sent, _) => Ok(sent?),
        }
    }

    /// Takes the messages of one kind that lie there for a peer without a connection: JSON objects.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn collect_signals(
        &self,
        letter: &Letter<'_>,
        kind: Kind,
    ) -> Result<Vec<Bytes>, PostError> {
        let from = self.visit(letter).await?;
        let now = self.now();
        let mut state = self.inner.signaling.lock();
        Ok(state.decide(now, |hub, _| hub.collect(from, kind)).0)
    }

    async fn visit(&self, letter: &Letter<'_>) -> Result<MailboxId, PostError> {
        let caller = self.caller(letter.peer, letter.token)?;
        let room = match self.room(&caller, letter.peer, letter.session).await {
            Ok(room) => room.name,
            Err(Refused::Stranger) => return Err(PostError::Stranger(letter.session.to_owned())),
            Err(Refused::Unknown(error)) => return Err(error.into()),
        };
        let now = self.now();
        let mut state = self.inner.signaling.lock();
        if state.draining {
            return Err(ConnectError::Draining.into());
        }
        let (visited, _) = state.decide(now, |hub, effects| {
            hub.visit(now, letter.peer, caller.is_proven(), &room, effects)
        });
        Ok(visited?)
    }
}
