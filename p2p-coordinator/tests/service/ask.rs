//! A client as plain as can be: one request on anything that reads and writes.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body).into_owned();
        Self { status: status.as_u16(), headers, text }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// The body of an answer that has to have this status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// An answer that has to be this sentence and nothing else.
    #[track_caller]
    pub(crate) fn says(&self, status: u16, detail: &str) {
        assert_eq!(self.is(status), json!({ "detail": detail }));
        assert_eq!(self.header("content-type"), Some("application/json"));
    }

    /// A change that has to be acknowledged in these words.
    #[track_caller]
    pub(crate) fn tells(&self, message: &str) {
        assert_eq!(self.is(200), json!({ "message": message }));
    }
}

/// A request with a body of JSON, if it has one.
pub(crate) fn request(method: &str, path: &str, body: Option<&Value>) -> Request<Full<Bytes>> {
    let text = body.map(Value::to_string);
    raw(method, path, text.as_ref().map(|_| "application/json"), text.clone().unwrap_or_default())
}

pub(crate) fn raw(
    method: &str,
    path: &str,
    kind: Option<&str>,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "coordinator");
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    request.body(Full::new(body.into())).expect("a request")
}

pub(crate) async fn over_tcp(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Answer> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    exchange(stream, request).await
}

/// Sends one request, and reads the answer to its end.
pub(crate) async fn exchange<Io>(io: Io, mut request: Request<Full<Bytes>>) -> hyper::Result<Answer>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    request.headers_mut().insert("connection", http::HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer::new(head.status, head.headers, &body))
    };
    beside(answer, connection).await
}

/// Runs both in this task until the first ends.
async fn beside<T>(answer: impl Future<Output = T>, connection: impl Future) -> T {
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut ended = false;
    poll_fn(|cx| {
        ended = ended || connection.as_mut().poll(cx).is_ready();
        match answer.as_mut().poll(cx) {
            Poll::Pending if !ended => {
                ended = connection.as_mut().poll(cx).is_ready();
                Poll::Pending
            }
            other => other,
        }
    })
    .await
}
