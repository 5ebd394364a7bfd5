//! Requests that are sent again: which, how often, and known by what.

use std::sync::{Arc, Mutex};

use p2p_coordinator_client::api::{CreateSession, Heartbeat, JoinRequest};
use p2p_coordinator_client::{Client, ClientConfig, CoordinatorAddr};
use p2p_core::P2PProvider;
use p2p_simulator::{Simulation, SimulatorP2P};
use serde_json::json;

use crate::fake::{Answer, Asked, serve};
use crate::provider;

/// What was asked of a coordinator that answers like this so often before it says yes.
fn asked(
    times: usize,
    answer: fn() -> Answer,
    ask: impl AsyncFn(Client<SimulatorP2P>) + Send + 'static,
) -> Vec<Asked> {
    let all: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let noted = all.clone();
    let run = Simulation::new(5).run(async move |network| {
        let coordinator = provider(&network.host("coordinator"));
        let _serving = serve(&coordinator, move |asked| {
            let mut all = noted.lock().expect("no panic");
            all.push(asked);
            if all.len() <= times { answer() } else { Answer::json(200, &json!([])) }
        })
        .await;
        let addr = CoordinatorAddr::Peer(coordinator.local_addr());
        let node = provider(&network.host("alice"));
        ask(Client::new(node, addr, ClientConfig::default()).expect("a client")).await;
    });
    run.expect("a run");
    let all = all.lock().expect("no panic");
    all.clone()
}

fn busy() -> Answer {
    Answer::json(503, &json!({ "detail": "busy" }))
}

async fn make(client: &Client<SimulatorP2P>) {
    let zone_id = "plaza".parse().expect("an id");
    let session = CreateSession { host_id: None, zone_id, player_ids: Vec::new() };
    // What comes back is no session: that something came is enough.
    let _ = client.create_session(&session).await;
}

#[test]
fn what_must_not_be_done_twice_is_sent_again_with_its_key_and_the_next_has_another() {
    for answer in [busy, || Answer::Silence] {
        let asked = asked(2, answer, async |client| {
            make(&client).await;
            make(&client).await;
        });
        let keys: Vec<_> = asked.iter().map(|asked| asked.key.as_deref().expect("a key")).collect();
        assert_eq!(keys.len(), 4);
        assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
        assert!(keys.iter().all(|key| key.len() == 32), "{keys:?}");
    }
}

#[test]
fn what_is_harmless_twice_needs_no_key_and_no_request_is_sent_for_ever() {
    let asked = asked(100, busy, async |client| {
        client.zones().await.expect_err("it is busy");
    });
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|asked| asked.key.is_none()), "{asked:?}");
}

#[test]
fn a_refusal_and_what_has_a_rhythm_of_its_own_are_not_sent_again() {
    let refused = asked(
        100,
        || Answer::json(404, &json!({ "detail": "no" })),
        async |client| {
            client.zones().await.expect_err("refused");
        },
    );
    assert_eq!(refused.len(), 1);
    let once = asked(100, busy, async |client| {
        let host = "h".parse().expect("an id");
        client.heartbeat(&host, &Heartbeat::default()).await.expect_err("it is busy");
        client.challenge().await.expect_err("it is busy");
        let wish = JoinRequest {
            zone_id: "plaza".parse().expect("an id"),
            player_id: "alice".parse().expect("an id"),
            peer_id: client.provider().local_peer_id(),
            avoid: Vec::new(),
        };
        client.place(&wish).await.expect_err("it is busy");
    });
    assert_eq!(once.len(), 3, "{once:?}");
}
