//! Requests on streams of a peer, and coordinators that do not answer as they should.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use p2p_coordinator_client::api::service::ServiceInfo;
use p2p_coordinator_client::{Client, ClientConfig, CoordinatorAddr, RequestError};
use p2p_core::{
    ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider, SendStream,
};
use p2p_simulator::{LinkProfile, Simulation};
use serde_json::json;

use crate::fake::{Answer, listen, serve};
use crate::{client, provider};

fn info() -> Answer {
    let enabled_zones = vec!["plaza".parse().expect("an id")];
    Answer::json(
        200,
        &ServiceInfo {
            service: "p2p-coordinator".into(),
            version: "1".into(),
            status: "running".into(),
            p2p_enabled: true,
            enabled_zones,
        },
    )
}

/// What a request comes to that the coordinator answers like this, and how long it took.
fn asked(answer: fn() -> Answer) -> (Result<ServiceInfo, RequestError>, Duration) {
    let link = LinkProfile::new().with_latency(Duration::from_millis(20));
    let run = Simulation::new(1).with_link(link).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, move |_| answer()).await;
        client(&network, "alice", &coordinator).info().await
    });
    let run = run.expect("a run");
    (run.output, run.elapsed)
}

#[test]
fn a_request_takes_two_round_trips_with_connecting() {
    let (reply, elapsed) = asked(info);
    assert_eq!(reply.expect("a reply").status, "running");
    assert_eq!(elapsed, Duration::from_millis(80));
}

#[test]
fn a_coordinator_that_never_answers_is_given_up_in_time() {
    let (reply, elapsed) = asked(|| Answer::Silence);
    let error = reply.expect_err("no reply");
    assert!(matches!(error, RequestError::TimedOut { .. }) && error.is_retryable(), "{error}");
    assert_eq!(elapsed, Duration::from_secs(5));
}

#[test]
fn a_reply_larger_than_allowed_is_refused() {
    let (reply, _) = asked(|| Answer::Say(200, vec![b' '; (4 << 20) + 1].into()));
    let error = reply.expect_err("too large");
    assert!(matches!(&error, RequestError::Unexpected { .. }), "{error}");
    assert!(error.to_string().contains("4194304") && !error.is_retryable(), "{error}");
}

#[test]
fn a_reply_that_does_not_parse_is_named() {
    let (reply, _) = asked(|| Answer::Say(200, "<html>".into()));
    assert!(matches!(reply, Err(RequestError::Unexpected { .. })), "{reply:?}");
}

#[test]
fn complaints_about_a_request_are_a_sentence() {
    let (reply, _) = asked(|| {
        let complaint = json!({ "loc": ["body", "port"], "msg": "at least 1", "type": "value" });
        Answer::json(422, &json!({ "detail": [complaint] }))
    });
    let error = reply.expect_err("refused");
    assert!(!error.is_retryable());
    assert_eq!(error.to_string(), "the coordinator refused (422): body.port: at least 1");
}

#[test]
fn an_overloaded_coordinator_may_be_asked_again() {
    for status in [429, 500, 503] {
        let error = RequestError::Refused {
            status,
            problem: serde_json::from_value(json!({ "detail": "busy" })).expect("a problem"),
        };
        assert!(error.is_retryable(), "{status}");
    }
}

#[test]
fn bytes_that_are_no_http_are_named() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let listener = listen(&coordinator).await;
        let client = client(&network, "alice", &coordinator);
        let answers = async {
            let connection = listener.accept().await.expect("accepted");
            let (mut send, _recv) = connection.accept_stream().await.expect("a stream");
            send.write_all(Bytes::from_static(b"\x01\x02 not HTTP\r\n\r\n")).await.expect("sent");
            connection.closed().await;
        };
        tokio::select! {
            biased;
            reply = client.info() => reply,
            () = answers => panic!("the client left without a word"),
        }
    });
    let reply = run.expect("a run").output;
    assert!(matches!(reply, Err(RequestError::Unexpected { .. })), "{reply:?}");
}

#[test]
fn a_coordinator_that_is_not_there_is_unreachable_or_silent() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.host("coordinator");
        let coordinator = provider(&host);
        let client = client(&network, "alice", &coordinator);
        // It is there and serves something else.
        let other = ListenOptions::new("chat/1".parse().expect("a name"));
        let _other = coordinator.listen(other).await.expect("listening");
        let stranger = client.info().await.expect_err("no coordinator");
        host.crash();
        let gone = client.info().await.expect_err("nobody");
        (stranger, gone)
    });
    let (stranger, gone) = run.expect("a run").output;
    assert!(matches!(stranger, RequestError::Unreachable { .. }), "{stranger}");
    assert!(matches!(gone, RequestError::TimedOut { .. }), "{gone}");
    assert!(stranger.is_retryable() && gone.is_retryable());
}

#[test]
fn requests_share_a_connection_and_a_lost_one_is_replaced() {
    let run = Simulation::new(1).run(async |network| {
        let host = network.host("coordinator");
        let before = provider(&host);
        let client = client(&network, "alice", &before);
        let served = Arc::new(AtomicU32::new(0));
        let serving = serve(&before, |_| info()).await;
        let (one, two) = tokio::join!(client.info(), client.info());
        one.expect("a reply");
        two.expect("a reply");
        host.crash();
        drop((serving, before));
        host.restart();
        let again = host.provider(ConnectionConfig::default()).expect("restarted");
        let _serving = serve(&again, {
            let served = served.clone();
            move |_| {
                served.fetch_add(1, Ordering::Relaxed);
                info()
            }
        })
        .await;
        // The client does not know yet, and finds out by silence: one request is lost, not all
        // until the idle timeout.
        let lost = client.info().await.expect_err("nobody is there");
        assert!(lost.is_retryable(), "{lost}");
        client.info().await.expect("a reply");
        served.load(Ordering::Relaxed)
    });
    assert_eq!(run.expect("a run").output, 1);
}

#[test]
fn a_request_may_be_given_less_time() {
    let run = Simulation::new(1).run(async |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, |_| Answer::Silence).await;
        let config = ClientConfig::default()
            .with_max_attempts(1)
            .with_request_timeout(Duration::from_millis(300));
        let addr = CoordinatorAddr::Peer(coordinator.local_addr());
        let client = Client::new(provider(&network.host("alice")), addr, config).expect("a client");
        client.info().await
    });
    let run = run.expect("a run");
    assert!(matches!(run.output, Err(RequestError::TimedOut { .. })), "{:?}", run.output);
    assert_eq!(run.elapsed, Duration::from_millis(300));
}
