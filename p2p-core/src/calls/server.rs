//! The side that answers.

use std::fmt;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::client::write;
use super::error::Refusal;
use super::options::ServeOptions;
use super::reader::Reader;
use super::wire::{RequestHead, ResponseHead, ResponseKind};
use crate::close::CloseReason;
use crate::error::{P2PError, Result, StreamError};
use crate::identity::PeerId;
use crate::provider::P2PConnection;
use crate::race::{First, first};
use crate::stream::{RecvStream, SendStream};

/// What a handler is asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Who asks; it has proven to be it.
    pub peer: PeerId,
    /// What it asks: anything, up to [`ServeOptions::max_request_size`].
    pub body: Bytes,
    /// When the caller stops waiting, or [`ServeOptions::max_timeout`] is over. The handler is dropped
    /// then.
    pub deadline: Instant,
}

/// Answers the calls that come over `connection`, each by `handler` in a task of its own, until the
/// connection ends; says how it did. Handlers that are at work then are dropped. A handler that panics
/// breaks off its own call only.
///
/// # Errors
///
/// [`Config`](P2PError::Config) if an option cannot be meant; why the connection has ended, if that was
/// no plain close.
///
/// # Cancel safety
///
/// Dropping the future drops all handlers that are at work, and breaks their calls off.
pub async fn serve<C, H, R>(
    connection: &C,
    handler: H,
    options: ServeOptions,
) -> Result<CloseReason>
where
    C: P2PConnection,
    H: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, Refusal>> + Send,
{
    options.check()?;
    let peer = connection.peer_id();
    let server = Arc::new(Server { handler, options, peer });
    let places = options.max_concurrent.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
    let mut calls = JoinSet::new();
    loop {
        let (send, recv) = match connection.accept_stream().await {
            Ok(stream) => stream,
            Err(P2PError::Closed(reason)) => return Ok(reason),
            Err(error) => return Err(error),
        };
        while calls.try_join_next().is_some() {}
        let (server, place) = (server.clone(), places.clone().try_acquire_owned().ok());
        calls.spawn(async move { server.answer(send, Reader::new(recv), place).await });
    }
}

struct Server<H> {
    handler: H,
    options: ServeOptions,
    peer: PeerId,
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// What to answer; `None` if nobody waits for it any more.
type Answer = Option<(ResponseKind, Bytes)>;

const fn plain(kind: ResponseKind) -> Answer {
    Some((kind, Bytes::new()))
}

fn late(timeout: Duration) -> Answer {
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    plain(ResponseKind::DeadlineExceeded(millis))
}

impl<H, R> Server<H>
where
    H: Fn(Request) -> R,
    R: Future<Output = Result<Bytes, Refusal>> + Send,
{
    /// Answers one call, or says why not. Dropping the halves tells a peer that still writes to stop.
    async fn answer(
        &self,
        mut send: impl SendStream,
        mut reader: Reader<impl RecvStream>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let mut timeout = self.options.max_timeout;
        let mut deadline = Instant::now() + timeout;
        let answer = match place {
            Some(_) => match timeout_at(deadline, self.head(&mut reader)).await {
                Ok(Ok(head)) => {
                    let theirs = Instant::now().checked_add(head.timeout);
                    if let Some(theirs) = theirs.filter(|theirs| *theirs < deadline) {
                        (deadline, timeout) = (theirs, head.timeout);
                    }
                    let handled = self.handle(&mut reader, head.length as usize, deadline);
                    let handled = timeout_at(deadline, handled).await;
                    handled.unwrap_or_else(|_| late(timeout))
                }
                Ok(Err(answer)) => answer,
                Err(_) => late(timeout),
            },
            None => plain(ResponseKind::Busy(bound(self.options.max_concurrent))),
        };
        let Some((kind, body)) = answer else { return };
        let late = matches!(kind, ResponseKind::DeadlineExceeded(_));
        let reply = reply(&mut send, kind, body);
        if late {
            // A few bytes, for which there is room unless the peer wants no answer.
            first(reply, ready(())).await;
        } else {
            // Too late is as good as never: without its end, nobody takes it for the response.
            let _ = timeout_at(deadline, reply).await;
        }
    }

    async fn head(&self, reader: &mut Reader<impl RecvStream>) -> Result<RequestHead, Answer> {
        let Ok(Some(head)) = reader.take_array().await else { return Err(None) };
        let other_version = || plain(ResponseKind::OTHER_VERSION);
        let head = RequestHead::decode(&head).ok_or_else(other_version)?;
        if head.length as usize > self.options.max_request_size {
            return Err(plain(ResponseKind::TooLarge(bound(self.options.max_request_size))));
        }
        Ok(head)
    }

    async fn handle(
        &self,
        reader: &mut Reader<impl RecvStream>,
        length: usize,
        deadline: Instant,
    ) -> Answer {
        let Ok(Some(body)) = reader.take(length).await else { return None };
        let request = Request { peer: self.peer, body, deadline };
        match first(reader.given_up(), (self.handler)(request)).await {
            First::One(()) => None,
            First::Other(Ok(response)) => Some((ResponseKind::Done, response)),
            First::Other(Err(Refusal { code, text })) => {
                let text = Refusal::new(code, text).text;
                Some((ResponseKind::Refused(code), text.into()))
            }
        }
    }
}

async fn reply(
    send: &mut impl SendStream,
    kind: ResponseKind,
    body: Bytes,
) -> Result<(), StreamError> {
    // No caller takes more than 32 bits hold; this one is told by the broken stream.
    let Ok(length) = u32::try_from(body.len()) else { return Ok(()) };
    write(send, &ResponseHead { kind, length }.encode(), body).await?;
    send.finish()
}

/// A bound on the wire; options have been checked to have 32 bits.
fn bound(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
