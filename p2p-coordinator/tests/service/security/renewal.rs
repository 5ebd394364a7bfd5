//! The client's login: renewed before its token ends, once for all who wait, and made anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use p2p_coordinator::door::{Closing, Limits, http as router, peer};
use p2p_coordinator::security::Caller;
use p2p_coordinator::service::Coordinator;
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator_client::api::auth::TokenRequest;
use p2p_coordinator_client::{ApiKey, Client, ClientConfig, CoordinatorAddr, RequestError};
use p2p_core::{ConnectionConfig, P2PProvider};
use p2p_simulator::{Network, Simulation, SimulatorP2P};
use tokio::time::sleep;

use super::{SERVICE, guarded};
use crate::fixture::secured;

/// How often tokens were asked for, and exchanged.
#[derive(Clone, Default)]
struct Counts {
    asked: Arc<AtomicUsize>,
    exchanged: Arc<AtomicUsize>,
}

impl Counts {
    fn now(&self) -> (usize, usize) {
        (self.asked.load(Ordering::Relaxed), self.exchanged.load(Ordering::Relaxed))
    }
}

/// A coordinator whose tokens live for a hundred seconds, on streams.
async fn serve(network: &Network) -> (Coordinator<MemoryStore>, CoordinatorAddr, Counts) {
    let door = provider(network, "coordinator");
    let mut security = guarded();
    security.tokens.access_lifetime = Duration::from_secs(100);
    let coordinator = secured(MemoryStore::new(), security);
    let counts = Counts::default();
    let count = counts.clone();
    let app =
        router::router(coordinator.clone()).layer(from_fn(move |request: Request, next: Next| {
            let count = count.clone();
            async move {
                let counter = match request.uri().path() {
                    "/api/v1/auth/token" => Some(&count.asked),
                    "/api/v1/auth/refresh" => Some(&count.exchanged),
                    _ => None,
                };
                if let Some(counter) = counter {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                let answer: Response = next.run(request).await;
                answer
            }
        }));
    let listener = peer::open(&door, Limits::default()).await.expect("listening");
    tokio::spawn(peer::run(listener, app, Limits::default(), Closing::new()));
    (coordinator, CoordinatorAddr::Peer(door.local_addr()), counts)
}

fn provider(network: &Network, name: &str) -> SimulatorP2P {
    network.host(name).provider(ConnectionConfig::default()).expect("a free host")
}

fn alice() -> TokenRequest {
    TokenRequest { player_id: "alice".parse().expect("an id"), user_id: None, api_key: None }
}

fn keyed() -> ClientConfig {
    ClientConfig::default().with_api_key(ApiKey::new(SERVICE))
}

#[test]
fn twenty_requests_at_once_renew_a_token_once_and_before_it_ends() {
    Simulation::new(3)
        .run(async |network| {
            let (_, addr, counts) = serve(&network).await;
            let client = Client::new(provider(&network, "alice"), addr, keyed()).expect("one");
            let alice = client.logged_in(alice()).await.expect("logged in");
            assert_eq!(counts.now(), (1, 0));
            for (after, exchanged) in [(70, 0), (10, 1), (60, 1), (20, 2), (300, 3)] {
                sleep(Duration::from_secs(after)).await;
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..20 {
                    let alice = alice.clone();
                    tasks.spawn(async move { alice.zones().await.map(drop) });
                }
                for outcome in tasks.join_all().await {
                    outcome.expect("answered");
                }
                assert_eq!(counts.now(), (1, exchanged));
            }
        })
        .expect("it ends");
}

#[test]
fn a_request_that_is_given_up_in_the_middle_of_a_renewal_costs_no_login() {
    Simulation::new(4)
        .run(async |network| {
            let (_, addr, counts) = serve(&network).await;
            let client = Client::new(provider(&network, "alice"), addr, keyed()).expect("one");
            // What somebody else got for her: there is nothing to log in anew with.
            let tokens = client.log_in(&alice()).await.expect("tokens");
            let alice = client.with_tokens(tokens);
            alice.zones().await.expect("answered");
            for _ in 0..5 {
                sleep(Duration::from_secs(120)).await;
                // Its renewal reaches the coordinator, and its answer nobody.
                let polled = tokio::time::timeout(Duration::from_millis(1), alice.zones()).await;
                assert!(polled.is_err(), "a link takes longer");
                sleep(Duration::from_secs(1)).await;
                alice.zones().await.expect("the same exchange, sent again");
            }
            assert!(counts.now().1 >= 5, "{:?}", counts.now());
        })
        .expect("it ends");
}

#[test]
fn a_login_that_was_taken_back_is_made_anew_or_is_a_typed_error() {
    Simulation::new(5)
        .run(async |network| {
            let (coordinator, addr, counts) = serve(&network).await;
            let client = Client::new(provider(&network, "alice"), addr, keyed()).expect("one");
            let able = client.logged_in(alice()).await.expect("logged in");
            let unable = client.with_tokens(client.log_in(&alice()).await.expect("tokens"));
            let admin = coordinator.acting_as(Caller::TRUSTED);
            admin.log_out_player(&"alice".parse().expect("an id")).await.expect("logged out");
            able.zones().await.expect("by a new login");
            assert_eq!(counts.now(), (3, 1));
            for _ in 0..2 {
                let refused = unable.zones().await;
                assert!(matches!(refused, Err(RequestError::LoggedOut { .. })), "{refused:?}");
            }
            // Nobody is asked for what is known.
            assert_eq!(counts.now(), (3, 2));
            assert!(unable.tokens().is_none());
        })
        .expect("it ends");
}
