//! HTTP/1.1 on anything that reads and writes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower_service::Service;

use super::Remote;
use super::closing::Closing;
use super::crowd::Visitor;
use super::handover::Handover;
use super::stall::Stalls;

/// What a client can make a coordinator hold or wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once on one door; for further ones, those make room that have asked nothing for
    /// longest, or they are refused to peers. Default 1024.
    pub connections: usize,
    /// Requests at once of one peer: streams of its connection. Default 64.
    pub peer_streams: usize,
    /// The most bytes of a request's body; past it 413. Default 1 MiB.
    pub body: usize,
    /// The most bytes of a request's line and headers; past it 431. Default 16 KiB.
    pub headers: usize,
    /// How long a client may take for the headers, also of the next request: then the connection
    /// ends, and so does that of a peer that has asked nothing for so long. Default 30 s.
    pub header_timeout: Duration,
    /// How long a client may take for the body; past it 408. Default 15 s.
    pub body_timeout: Duration,
    /// How long one request may take; past it 503. Default 10 s.
    pub request_timeout: Duration,
    /// How long a client may take no more of its answer: then the connection ends. Default 15 s.
    pub answer_timeout: Duration,
    /// How long requests that are being done have when the door closes. Default 10 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            peer_streams: 64,
            body: 1 << 20,
            headers: 16 << 10,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves requests until the client leaves, or until the door closes and the one that is being
/// done is answered. One that is still on its way then has a moment to arrive.
pub(super) async fn serve<Io>(
    io: Io,
    router: Router,
    limits: Limits,
    remote: Remote,
    closing: Closing,
    visitor: Visitor,
) where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (after, visitor) = (Handover::default(), Arc::new(visitor));
    let at = (closing.clone(), after.clone(), visitor.clone());
    // In a box, so that a connection that goes on as something else gives its memory back.
    Box::pin(serve_http(io, router, limits, remote, at)).await;
    if let Some(work) = after.begin(closing) {
        visitor.stays();
        work.await;
    }
}

async fn serve_http<Io>(
    io: Io,
    router: Router,
    limits: Limits,
    remote: Remote,
    (closing, after, visitor): (Closing, Handover, Arc<Visitor>),
) where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Whether the last request is there as a whole.
    let arrived = Arc::new(AtomicBool::new(false));
    let service = {
        let (arrived, visitor) = (arrived.clone(), visitor.clone());
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(remote);
            let arrived = Arrived { flag: arrived.clone(), visitor: visitor.clone() };
            answer(router.clone(), limits, arrived, after.clone(), request)
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.headers.max(MIN_BUFFER))
        // A `Date` is a wall clock's, which a simulation must not read.
        .auto_date_header(matches!(remote, Remote::Address(_)))
        .serve_connection(TokioIo::new(Stalls::new(io, limits.answer_timeout)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // What went wrong between this client and us is nothing to us.
        _ = connection.as_mut() => return,
        () = closing.closed() => {}
        // Others want the place.
        () = visitor.leaves() => return,
    }
    connection.as_mut().graceful_shutdown();
    if timeout(ARRIVAL, connection.as_mut()).await.is_err() && arrived.load(Ordering::Relaxed) {
        let _ = connection.await;
    }
}

/// Where is noted that a request is there as a whole.
struct Arrived {
    flag: Arc<AtomicBool>,
    visitor: Arc<Visitor>,
}

/// hyper's own lower bound.
const MIN_BUFFER: usize = 8192;

/// How long a request that is on its way has to arrive when the door closes: who sent half of one
/// and then nothing must not keep everybody waiting.
const ARRIVAL: Duration = Duration::from_secs(1);

/// How much of a body that is too large is read and thrown away: to close on who is still sending
/// can take the answer away before it is read.
const MAX_WASTE: usize = 16 << 20;

async fn answer(
    mut router: Router,
    limits: Limits,
    arrived: Arrived,
    after: Handover,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    arrived.flag.store(false, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        // Most have none, and need no clock to read it by.
        Body::empty()
    } else {
        // Who asked first is told before the body is sent.
        let asks = parts.headers.contains_key(header::EXPECT);
        match timeout(limits.body_timeout, read(body, limits.body, asks)).await {
            Ok(Ok(Some(body))) => Body::from(body),
            Ok(Ok(None)) => {
                let what = format!("The body has more than {} bytes", limits.body);
                return Ok(refuse(StatusCode::PAYLOAD_TOO_LARGE, &what));
            }
            // The client has gone in the middle; nobody will read this.
            Ok(Err(_)) => return Ok(refuse(StatusCode::BAD_REQUEST, "The body is incomplete")),
            Err(_) => return Ok(refuse(StatusCode::REQUEST_TIMEOUT, "The body took too long")),
        }
    };
    arrived.flag.store(true, Ordering::Relaxed);
    arrived.visitor.stays();
    let request = Request::from_parts(parts, body);
    let answered = within(limits.request_timeout, router.call(request)).await;
    arrived.visitor.waits();
    match answered {
        Some(Ok(mut response)) => {
            after.take_from(response.extensions_mut());
            Ok(response)
        }
        Some(Err(never)) => Err(never),
        None => Ok(refuse(StatusCode::SERVICE_UNAVAILABLE, "The request took too long: try again")),
    }
}

/// A body of at most `max` bytes; `None` if there are more.
async fn read(mut body: Incoming, max: usize, asks: bool) -> Result<Option<Bytes>, hyper::Error> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut fits = announced <= max;
    if !fits && (asks || announced > MAX_WASTE) {
        return Ok(None);
    }
    let (mut kept, mut length) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length = length.saturating_add(data.len());
        fits &= length <= max;
        if fits {
            kept.extend_from_slice(&data);
        } else if length > MAX_WASTE {
            break;
        }
    }
    Ok(fits.then(|| kept.freeze()))
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(limit, work).await.ok()
}

/// An answer in the form of all refusals, after which the connection ends.
fn refuse(status: StatusCode, detail: &str) -> Response<Body> {
    let body = serde_json::json!({ "detail": detail }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}
