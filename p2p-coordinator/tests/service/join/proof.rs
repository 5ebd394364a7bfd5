//! A host proves its peer id, or is refused and leaves nothing behind.

use std::time::Duration;

use p2p_coordinator_api::{Challenge, HostProof};
use p2p_core::PeerAddr;
use serde_json::{Value, json};

use super::{challenge, join, key, proven, register};
use crate::fixture::{EPOCH, Service, beat, host, on_both_stores, with};

on_both_stores!(
    a_proof_makes_a_host_a_peer,
    another_key_does_not_get_the_host_id,
    a_proof_that_does_not_hold_is_refused,
    what_is_no_proof_at_all_is_told_where,
    a_proof_may_be_shown_again,
);

async fn a_proof_makes_a_host_a_peer(service: Service) {
    let issued = service.post_nothing("/hosts/challenge").await.is(200);
    assert!(issued["expires_at"].as_str().expect("text").ends_with("+00:00"));
    let other = service.post_nothing("/hosts/challenge").await.is(200);
    assert_ne!(issued["challenge"], other["challenge"]);
    let made = register(&service, "h", 1, true).await.is(201);
    assert_eq!(made["peer_id"], json!(key(1).peer_id().to_string()));
    assert_eq!(made["p2p"]["issuer"], json!(service.issuer().to_string()));
    assert_eq!(made["p2p"]["lease_ms"], 15_000);
    let read = service.get("/hosts/h").await.is(200);
    assert_eq!(read["peer_id"], made["peer_id"]);
    assert_eq!(read.get("p2p"), None, "the terms are the host's");
}

/// The host as it is stored, and that players still reach it.
async fn untouched(service: &Service, before: &Value) {
    assert_eq!(service.get("/hosts/h").await.is(200), *before);
    let joined = join(service, "p").await.is(200);
    assert_eq!(joined["host_addr"], json!(PeerAddr::new(key(1).peer_id()).to_string()));
}

async fn another_key_does_not_get_the_host_id(service: Service) {
    super::ready(&service, 5).await;
    let before = service.get("/hosts/h").await.is(200);
    for taken in [
        register(&service, "h", 2, true).await,
        // The name of a host that is a peer is not to be had without a key either.
        service.post("/hosts/register", with(host("h"), "ip_address", json!("203.0.113.9"))).await,
    ] {
        let body = taken.is(403);
        assert_eq!(body["reason"], "host_taken");
        assert_eq!(taken.header("x-refusal-reason"), Some("host_taken"));
        let sentence = "Host h is registered with another peer id: choose another host id";
        assert_eq!(body["detail"], sentence);
    }
    untouched(&service, &before).await;
    // The owner is let in again, with its number.
    assert_eq!(register(&service, "h", 1, false).await.is(201)["id"], before["id"]);
}

async fn a_proof_that_does_not_hold_is_refused(service: Service) {
    super::ready(&service, 5).await;
    let before = service.get("/hosts/h").await.is(200);
    let (owner, id) = (key(1), "h".parse().expect("an id"));
    let addr = PeerAddr::new(owner.peer_id());
    let long_ago = Challenge::new(&crate::fixture::key(), EPOCH, [0; 16]);
    let expired = {
        // It was made so long before the coordinator's first moment that it is over.
        let then = p2p_coordinator_api::Timestamp::from_millis(EPOCH.as_millis() - 61_000);
        Challenge::new(&crate::fixture::key(), then, [0; 16])
    };
    let foreign = Challenge::new(&key(9), EPOCH.after(Duration::from_secs(1)), [0; 16]);
    let good = HostProof::new(&owner, &id, addr.clone(), true, long_ago);
    let of = |challenge| HostProof::new(&owner, &id, addr.clone(), true, challenge);
    let by_another = HostProof::new(&key(2), &id, addr.clone(), true, challenge(&service).await);
    let other_name = "i".parse().expect("an id");
    let for_another =
        HostProof::new(&owner, &other_name, addr.clone(), true, challenge(&service).await);
    let cases = [
        of(expired),
        of(foreign),
        by_another,
        for_another,
        HostProof { fresh: false, ..good.clone() },
        HostProof { addr: PeerAddr::new(key(2).peer_id()), ..good.clone() },
        HostProof { signature: "AAAA".into(), ..good.clone() },
        HostProof { signature: "not base64!".into(), ..good.clone() },
        HostProof { challenge: serde_json::from_value(json!("x")).expect("text"), ..good.clone() },
    ];
    for (number, proof) in cases.into_iter().enumerate() {
        let changed = with(host("h"), "ip_address", json!("203.0.113.9"));
        let body = with(changed, "p2p", serde_json::to_value(proof).expect("JSON"));
        let refused = service.post("/hosts/register", body).await;
        assert_eq!(refused.is(403)["reason"], "proof", "case {number}");
    }
    // Nor is a name that is free.
    let stranger = with(proven(&service, "h", 1, true).await, "host_id", json!("new"));
    assert_eq!(service.post("/hosts/register", stranger).await.is(403)["reason"], "proof");
    service.get("/hosts/new").await.says(404, "Host not found: new");
    untouched(&service, &before).await;
}

async fn what_is_no_proof_at_all_is_told_where(service: Service) {
    let whole = proven(&service, "h", 1, true).await["p2p"].clone();
    let mut cases = vec![json!(5), json!("x"), json!([]), json!({})];
    for name in ["addr", "challenge", "signature"] {
        cases.push(with(whole.clone(), name, json!(5)));
        cases.push(with(whole.clone(), name, Value::Null));
    }
    for p2p in cases {
        let wrong =
            service.post("/hosts/register", with(host("h"), "p2p", p2p.clone())).await.is(422);
        assert_eq!(wrong["detail"][0]["loc"], json!(["body", "p2p"]), "{p2p}");
    }
    // It has the form of a proof, and proves nothing.
    let p2p = with(whole, "addr", json!("no address"));
    let refused = service.post("/hosts/register", with(host("h"), "p2p", p2p)).await.is(403);
    assert_eq!(refused["reason"], "proof");
    assert_eq!(service.get("/hosts/").await.is(200), json!([]));
    // Null is none: a host of old.
    let plain = service.post("/hosts/register", with(host("h"), "p2p", Value::Null)).await.is(201);
    assert_eq!((plain.get("peer_id"), plain.get("p2p")), (None, None));
    service.post("/hosts/h/heartbeat", beat()).await.is(200);
    // It may become a peer later.
    register(&service, "h", 1, true).await.is(201);
}

async fn a_proof_may_be_shown_again(service: Service) {
    service.zone("z", 5).await;
    let body = proven(&service, "h", 1, false).await;
    let first = service.post("/hosts/register", body.clone()).await.is(201);
    let joined = join(&service, "p").await.is(200);
    let second = service.post("/hosts/register", body).await.is(201);
    assert_eq!(first["id"], second["id"]);
    // It was not the proof of a fresh start: the player's place stays.
    let again = join(&service, "p").await.is(200);
    assert_eq!(joined["session"]["id"], again["session"]["id"]);
}
