//! What is built on top of a provider, over real connections on this machine's loopback.

use bytes::Bytes;
use p2p_core::calls::{CallError, CallOptions, Refusal, Request, ServeOptions, call, serve};
use p2p_core::{Limited, Limits, P2PConnection, P2PListener, P2PProvider, PoolConfig, Pooled};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::{listen, loopback, options, pair, within};

/// Sends when a handler begins, and again when it is dropped.
struct Noted(mpsc::UnboundedSender<&'static str>);

impl Noted {
    fn new(notes: &mpsc::UnboundedSender<&'static str>) -> Self {
        let _ = notes.send("begun");
        Self(notes.clone())
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

async fn echo(request: Request) -> Result<Bytes, Refusal> {
    if request.body == "refuse" { Err(Refusal::new(7, "no")) } else { Ok(request.body) }
}

#[tokio::test]
async fn giving_a_call_up_reaches_the_other_side() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    let (notes, mut noted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let handler = move |_| {
            let guard = Noted::new(&notes);
            async move {
                std::future::pending::<()>().await;
                drop(guard);
                Ok(Bytes::new())
            }
        };
        serve(&far, handler, ServeOptions::default()).await
    });
    let asking = tokio::spawn(async move {
        let outcome = call(&near, "x".into(), CallOptions::default()).await;
        outcome.map(drop).map_err(drop)
    });
    assert_eq!(within(noted.recv()).await, Some("begun"));
    asking.abort();
    assert_eq!(within(noted.recv()).await, Some("dropped"));
}

#[tokio::test]
async fn what_is_too_large_and_what_is_refused_is_typed_and_the_connection_goes_on() {
    let (near, far, _nodes) = pair(loopback(), loopback()).await;
    let small = ServeOptions::default().with_max_request_size(1000);
    tokio::spawn(async move { serve(&far, echo, small).await });
    // More than a stream's window: Bob stops it half way.
    let large = within(call(&near, vec![0; 8 << 20].into(), CallOptions::default())).await;
    assert!(matches!(large, Err(CallError::RequestTooLarge { max: 1000, .. })), "{large:?}");
    let refused = within(call(&near, "refuse".into(), CallOptions::default())).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    for number in 0..500u32 {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        let response = within(call(&near, body.clone(), CallOptions::default())).await;
        assert_eq!(response.expect("a response"), body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_share_one_connection_within_limits() {
    let guest = loopback().bind().await.expect("bound");
    let host = loopback().bind().await.expect("bound");
    let listener = host.listen(listen()).await.expect("listening");
    let limited = Limited::new(guest, Limits::default()).expect("limits");
    let pool = Pooled::new(limited, PoolConfig::default()).expect("bounds");
    let mut asking = JoinSet::new();
    for number in 0..40u32 {
        let (pool, addr) = (pool.clone(), host.local_addr());
        asking.spawn(async move {
            let connection = pool.connect(&addr, options()).await.expect("connected");
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            let response = call(&connection, body.clone(), CallOptions::default()).await;
            assert_eq!(response.expect("a response"), body);
        });
    }
    let accepted = within(listener.accept()).await.expect("accepted");
    let serving = accepted.clone();
    tokio::spawn(async move { serve(&serving, echo, ServeOptions::default()).await });
    within(asking.join_all()).await;
    assert_eq!(pool.connections(), 1);
    within(pool.shutdown()).await;
    within(accepted.closed()).await;
}
