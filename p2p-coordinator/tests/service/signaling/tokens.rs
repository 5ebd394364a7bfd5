//! A WebSocket lasts as long as the token that let it in, or the last that was shown on it.

use std::time::Duration;

use p2p_coordinator::security::{Caller, Role};
use p2p_coordinator_client::api::auth::TokenRequest;
use p2p_coordinator_client::signaling::{SignalEvent, SignalingConfig};
use p2p_coordinator_client::{Client, ClientConfig, CoordinatorAddr};
use p2p_core::ConnectionConfig;
use p2p_simulator::{Network, NetworkConfig};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::client::{Peer, Server};

/// Looks after connections, as the program does every second.
fn tend(server: &Server) -> JoinHandle<()> {
    let coordinator = server.coordinator.clone();
    tokio::spawn(async move {
        let mut clock = interval(Duration::from_millis(20));
        loop {
            clock.tick().await;
            coordinator.expire_peers();
        }
    })
}

async fn comes(server: &Server, name: &str, life: Duration) -> Peer {
    let token = server.token_for(name, Role::Player, None, life);
    server.dial(&format!("?peer_id={name}&token={token}")).await.expect("connected")
}

#[tokio::test]
async fn it_is_warned_of_the_end_of_its_token_and_then_ended_with_a_code_of_its_own() {
    let server = Server::guarded().await;
    let tending = tend(&server);
    let mut alice = comes(&server, "alice", Duration::from_secs(2)).await;
    let warning = alice.hears().await;
    assert_eq!((&warning["type"], &warning["expires_in"]), (&json!("token-expiring"), &json!(1)));
    let told = alice.hears().await;
    assert_eq!(
        told,
        json!({
            "type": "error", "message": "Invalid or expired authentication token",
            "error": "token_expired",
        })
    );
    assert_eq!(alice.is_closed().await, (4401, "The access token has expired".into()));
    tending.abort();
}

#[tokio::test]
async fn with_a_newer_token_of_the_same_it_goes_on_and_with_anothers_it_does_not() {
    let server = Server::guarded().await;
    let tending = tend(&server);
    let session = server.session("plaza", &["alice", "bob"]).await;
    let mut bob = server.member("bob", &session).await;
    let mut alice = comes(&server, "alice", Duration::from_secs(2)).await;
    alice.say(json!({ "type": "join", "session_id": session })).await;
    assert_eq!(alice.hears().await["type"], "session-joined");
    bob.hears().await;
    for (token, words) in [
        (server.token("mallory"), "peer_id has to be that of the token's player"),
        ("garbage".into(), "Invalid or expired authentication token"),
    ] {
        alice.say(json!({ "type": "authenticate", "token": token })).await;
        alice.is_told(words).await;
    }
    alice.say(json!({ "type": "authenticate" })).await;
    alice.is_told("token required").await;
    let newer = server.token("alice");
    alice.say(json!({ "type": "authenticate", "token": newer, "id": 7 })).await;
    let done = alice.hears().await;
    assert_eq!((&done["type"], &done["id"]), (&json!("authenticated"), &json!(7)));
    assert!(done["expires_in"].as_u64().is_some_and(|seconds| seconds > 590), "{done}");
    // Longer than the first token lived.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    alice.has_heard_nothing().await;
    alice.say(json!({ "type": "offer", "to": "bob", "sdp": "v=0" })).await;
    assert_eq!(bob.hears().await["type"], "offer");
    tending.abort();
}

#[tokio::test]
async fn a_login_that_is_taken_back_ends_its_sockets_at_once_and_no_others() {
    let server = Server::guarded().await;
    let log_in = async |name: &str| {
        let player = name.parse().expect("an id");
        server.coordinator.log_in(player, None).await.expect("tokens")
    };
    let (hers, his) = (log_in("alice").await, log_in("bob").await);
    let dial = async |name: &str, token: &str| {
        server.dial(&format!("?peer_id={name}&token={token}")).await.expect("connected")
    };
    let mut alice = dial("alice", &hers.access_token).await;
    let mut bob = dial("bob", &his.access_token).await;
    let admin = server.coordinator.acting_as(Caller::TRUSTED);
    admin.log_out_player(&"alice".parse().expect("an id")).await.expect("logged out");
    assert_eq!(alice.hears().await["error"], "token_revoked");
    assert_eq!(alice.is_closed().await, (4401, "The access token has been taken back".into()));
    bob.has_heard_nothing().await;
}

#[tokio::test]
async fn our_client_shows_newer_tokens_by_itself_and_ends_when_its_login_does() {
    let server = Server::with(|settings| {
        settings.security.tokens.access_lifetime = Duration::from_secs(4);
    })
    .await;
    let tending = tend(&server);
    let session = server.session("plaza", &["alice", "bob"]).await;
    let network = Network::live(&NetworkConfig::new(1));
    let coordinator: CoordinatorAddr = server.http_url().parse().expect("a URL");
    let node = network.host("machine").provider(ConnectionConfig::default()).expect("a host");
    let client = Client::new(node, coordinator, ClientConfig::default()).expect("a client");
    let player_id = "alice".parse().expect("an id");
    let request = TokenRequest { player_id, user_id: None, api_key: None };
    let tokens = client.log_in(&request).await.expect("tokens");
    let logged_in = client.with_tokens(tokens);
    let mut alice =
        logged_in.signaling("alice".parse().expect("an id"), SignalingConfig::default());
    alice.join(&session).await.expect("joined");
    assert!(matches!(alice.next().await, Some(SignalEvent::SessionJoined { .. })));
    let first = logged_in.tokens().expect("tokens");
    // Two lives of a token. Nothing is heard but what others do.
    tokio::time::sleep(Duration::from_millis(8500)).await;
    let mut bob = server.member("bob", &session).await;
    assert_eq!(alice.next().await, Some(SignalEvent::PeerJoined { peer: "bob".into() }));
    bob.say(json!({ "type": "offer", "to": "alice", "sdp": "v=0" })).await;
    assert!(matches!(alice.next().await, Some(SignalEvent::Offer { .. })));
    assert_ne!(logged_in.tokens().expect("tokens").refresh_token, first.refresh_token);

    let admin = server.coordinator.acting_as(Caller::TRUSTED);
    admin.log_out_player(&"alice".parse().expect("an id")).await.expect("logged out");
    loop {
        match alice.next().await {
            Some(SignalEvent::Problem { .. } | SignalEvent::Disconnected { .. }) => {}
            Some(SignalEvent::Ended { .. }) => break,
            other => panic!("not the end: {other:?}"),
        }
    }
    tending.abort();
}
