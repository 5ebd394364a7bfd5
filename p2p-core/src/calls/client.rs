//! The side that asks.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::error::{CallError, Refusal};
use super::options::CallOptions;
use super::reader::Reader;
use super::wire::{RequestHead, ResponseHead, ResponseKind};
use crate::error::StreamError;
use crate::provider::P2PConnection;
use crate::stream::SendStream;

/// Sends a request over a stream of its own and waits for the response.
///
/// # Errors
///
/// [`CallError`]; whether the handler ran, only [`Busy`](CallError::Busy),
/// [`RequestTooLarge`](CallError::RequestTooLarge) and [`Config`](CallError::Config) exclude.
///
/// # Cancel safety
///
/// Dropping the future gives the call up: its stream is reset, and the peer's handler dropped.
pub async fn call<C: P2PConnection>(
    connection: &C,
    request: Bytes,
    options: CallOptions,
) -> Result<Bytes, CallError> {
    options.check()?;
    let deadline = Instant::now() + options.timeout;
    let exchange = exchange(connection, request, &options, deadline);
    let bounded = timeout_at(deadline, exchange).await;
    bounded.unwrap_or(Err(CallError::DeadlineExceeded { after: options.timeout }))
}

async fn exchange<C: P2PConnection>(
    connection: &C,
    request: Bytes,
    options: &CallOptions,
    deadline: Instant,
) -> Result<Bytes, CallError> {
    let actual = request.len() as u64;
    let Ok(length) = u32::try_from(request.len()) else {
        return Err(CallError::RequestTooLarge { max: u32::MAX.into(), actual });
    };
    let (mut send, recv) = connection.open_stream().await.map_err(CallError::Connection)?;
    send.set_priority(options.priority);
    let timeout = deadline.saturating_duration_since(Instant::now());
    let head = RequestHead { timeout, length }.encode();
    match write(&mut send, &head, request).await {
        // Who wants no more of it has answered already.
        Ok(()) | Err(StreamError::Stopped { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut reader = Reader::new(recv);
    let head = reader.take_array().await?.ok_or_else(too_short)?;
    let Some(ResponseHead { kind, length }) = ResponseHead::decode(&head) else {
        return Err(CallError::Protocol { detail: format!("it is of unknown kind {}", head[0]) });
    };
    let max = match kind {
        ResponseKind::Done => options.max_response_size,
        ResponseKind::Refused(_) => Refusal::MAX_TEXT,
        _ => 0,
    };
    if length as usize > max {
        return Err(CallError::ResponseTooLarge { max: max as u64, actual: length.into() });
    }
    let body = reader.take(length as usize).await?.ok_or_else(too_short)?;
    if !reader.is_at_end().await? {
        return Err(CallError::Protocol { detail: "it is longer than it says".into() });
    }
    // All has been said: the stream is not to look like one that was given up.
    let _ = send.finish();
    match kind {
        ResponseKind::Done => Ok(body),
        ResponseKind::Refused(code) => {
            Err(CallError::Refused(Refusal::new(code, String::from_utf8_lossy(&body))))
        }
        ResponseKind::Busy(max) => Err(CallError::Busy { max }),
        ResponseKind::DeadlineExceeded(0) => {
            Err(CallError::DeadlineExceeded { after: options.timeout })
        }
        ResponseKind::DeadlineExceeded(millis) => {
            Err(CallError::DeadlineExceeded { after: Duration::from_millis(millis.into()) })
        }
        ResponseKind::TooLarge(max) => Err(CallError::RequestTooLarge { max: max.into(), actual }),
        ResponseKind::Version(version) => {
            Err(CallError::Protocol { detail: format!("it speaks version {version} of calls") })
        }
    }
}

fn too_short() -> CallError {
    CallError::Protocol { detail: "it ends too early".into() }
}

/// Up to so many bytes, a copy is cheaper than a second write, which may be a second packet.
const SMALL: usize = 4096;

pub(super) async fn write(
    send: &mut impl SendStream,
    head: &[u8],
    body: Bytes,
) -> Result<(), StreamError> {
    if body.len() > SMALL {
        send.write_all(Bytes::copy_from_slice(head)).await?;
        return send.write_all(body).await;
    }
    let mut whole = BytesMut::with_capacity(head.len() + body.len());
    whole.extend_from_slice(head);
    whole.extend_from_slice(&body);
    send.write_all(whole.freeze()).await
}
