//! One HTTP/1.1 request on one stream.

use std::future::{Future, poll_fn};
use std::pin::pin;

use bytes::BytesMut;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use p2p_core::{BoxError, RecvStream, SendStream, StreamIo};

use super::{Aside, Call, Reply};

/// How it goes wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The stream ended or broke before the reply was whole.
    Broken(BoxError),
    /// What came back is no HTTP.
    Garbage(hyper::Error),
    /// More than is allowed.
    TooLarge,
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() { Self::Garbage(error) } else { Self::Broken(error.into()) }
    }
}

/// Sends the request and reads the whole reply of at most `max` bytes.
///
/// Dropping the future resets the stream.
pub(super) async fn exchange(
    send: impl SendStream,
    recv: impl RecvStream,
    call: Call,
    max: usize,
) -> Result<Reply, Failure> {
    let io = TokioIo::new(StreamIo::new(send, recv));
    let (mut sender, wire) = http1::handshake(io).await?;
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.target)
        // HTTP/1.1 wants one, and a peer has no name.
        .header(HOST, "coordinator")
        // A stream costs nothing; one that is over cannot be in a state that surprises.
        .header(CONNECTION, "close");
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let mut request = request
        .body(Full::new(call.body.unwrap_or_default()))
        .map_err(|error| Failure::Broken(error.into()))?;
    request.headers_mut().extend(call.credentials);
    let reply = async move {
        let reply = sender.send_request(request).await?;
        let (head, mut content) = reply.into_parts();
        let mut body = BytesMut::new();
        while let Some(frame) = content.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if body.len() + data.len() > max {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&data);
        }
        let (status, aside) = (head.status.as_u16(), Aside::of(&head.headers));
        Ok(Reply { status, body: body.freeze(), aside })
    };
    drive(reply, wire).await
}

/// Runs both in this task, so that nothing is left running when the caller goes.
async fn drive<T>(answer: impl Future<Output = T>, wire: impl Future) -> T {
    let (mut answer, mut wire) = (pin!(answer), pin!(wire));
    let mut ended = false;
    poll_fn(|cx| {
        let answer = answer.as_mut().poll(cx);
        // Also after the answer: that is when the stream is finished properly. How the wire ends, the
        // answer says.
        ended = ended || wire.as_mut().poll(cx).is_ready();
        answer
    })
    .await
}
