//! A coordinator of each test's own, in memory or in a file, asked over TCP or without a socket.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use p2p_coordinator::door::{Closing, Limits, http as router, tcp};
use p2p_coordinator::security::SecuritySettings;
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::sqlite::{Durability, SqliteStore};
use p2p_coordinator::store::{MemoryStore, Store};
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::Timestamp;
use p2p_core::{PeerId, SecretKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tower_service::Service as _;

use crate::ask::{Answer, over_tcp, raw, request};
use crate::described;
use crate::folder::Folder;

/// 31 January 2026, noon.
pub(crate) const EPOCH: Timestamp = Timestamp::from_millis(1_769_860_800_000);

pub(crate) fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

pub(crate) fn coordinator<S: Store>(store: S, seed: u8) -> Coordinator<S> {
    let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([seed; 32]));
    Coordinator::new(store, key(), clock, random, Settings::default())
}

pub(crate) fn secured<S: Store>(store: S, security: SecuritySettings) -> Coordinator<S> {
    let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([1; 32]));
    let mut settings = Settings::default();
    settings.security = security;
    Coordinator::new(store, key(), clock, random, settings)
}

/// The description of the interface: the same for all, but for who may ask.
static DOCUMENT: OnceCell<Value> = OnceCell::const_new();

/// Looks for lost hosts; how many there were.
type Sweep = Arc<dyn Fn() -> tokio::task::JoinHandle<usize> + Send + Sync>;

/// A coordinator that ends with the test.
#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    /// Where it serves, if it does over TCP.
    address: Option<SocketAddr>,
    sweep: Sweep,
    issuer: PeerId,
    /// Dropping it closes the door.
    _folder: Option<Arc<Folder>>,
}

impl Service {
    pub(crate) async fn in_memory() -> Self {
        Self::without_socket_in_memory().serving().await
    }

    pub(crate) async fn in_a_file() -> Self {
        Self::without_socket_in_a_file().serving().await
    }

    pub(crate) fn without_socket_in_memory() -> Self {
        Self::on(MemoryStore::new(), None)
    }

    pub(crate) fn without_socket_in_a_file() -> Self {
        let folder = Folder::new();
        let store = SqliteStore::open(folder.file("test.db"), Durability::Process);
        Self::on(store.expect("a database"), Some(folder))
    }

    /// In memory, without a socket, with these settings.
    pub(crate) fn secured(security: SecuritySettings) -> Self {
        Self::of(secured(MemoryStore::new(), security), None)
    }

    /// The same over TCP.
    pub(crate) async fn secured_over_tcp(security: SecuritySettings) -> Self {
        Self::secured(security).serving().await
    }

    fn on<S: Store>(store: S, folder: Option<Folder>) -> Self {
        Self::of(coordinator(store, 1), folder)
    }

    pub(crate) fn of<S: Store>(coordinator: Coordinator<S>, folder: Option<Folder>) -> Self {
        let sweeping = coordinator.clone();
        Self {
            issuer: coordinator.issuer(),
            router: router::router(coordinator),
            address: None,
            sweep: Arc::new(move || {
                let coordinator = sweeping.clone();
                tokio::spawn(async move { coordinator.sweep().await.expect("a sweep") })
            }),
            _folder: folder.map(Arc::new),
        }
    }

    async fn serving(mut self) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        self.address = Some(listener.local_addr().expect("an address"));
        tokio::spawn(tcp::run(listener, self.router.clone(), Limits::default(), Closing::new()));
        self
    }

    /// Of one that serves over TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("it serves")
    }

    pub(crate) fn issuer(&self) -> PeerId {
        self.issuer
    }

    pub(crate) async fn sweep(&self) -> usize {
        (self.sweep)().await.expect("the task ends")
    }

    /// Every answer has to be one that the description of the interface names.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.answer(request).await;
        let document = DOCUMENT.get_or_init(async || {
            let asked = raw("GET", "/openapi.json", None, "");
            self.answer(asked).await.is(200)
        });
        described::check(document.await, &method, &path, answer.status);
        answer
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Answer {
        if let Some(address) = self.address {
            return over_tcp(address, request).await.expect("an answer");
        }
        let request = request.map(axum::body::Body::new);
        let answer: Result<_, Infallible> = self.router.clone().call(request).await;
        let (head, body) = answer.expect("never fails").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer::new(head.status, head.headers, &body)
    }

    /// Below `/api/v1`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request("GET", &format!("/api/v1{path}"), None)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(request("DELETE", &format!("/api/v1{path}"), None)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request("POST", &format!("/api/v1{path}"), Some(&body))).await
    }

    pub(crate) async fn post_nothing(&self, path: &str) -> Answer {
        self.send(request("POST", &format!("/api/v1{path}"), None)).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let path = format!("/api/v1{path}");
        self.send(raw("POST", &path, Some("application/json"), body)).await
    }

    /// Registers a host that is good enough for every zone.
    pub(crate) async fn host(&self, id: &str) -> Value {
        self.post("/hosts/register", host(id)).await.is(201)
    }

    pub(crate) async fn zone(&self, id: &str, max_players: u32) -> Value {
        let zone = with(zone(id), "max_players", json!(max_players));
        self.post("/zones/", zone).await.is(201)
    }

    /// The number of a new session.
    pub(crate) async fn session(&self, host: &str, zone: &str, players: &[&str]) -> i64 {
        let body = json!({ "host_id": host, "zone_id": zone, "player_ids": players });
        self.post("/sessions/", body).await.is(201)["id"].as_i64().expect("a number")
    }

    pub(crate) async fn session_now(&self, id: i64) -> Value {
        self.get(&format!("/sessions/{id}")).await.is(200)
    }
}

pub(crate) fn host(id: &str) -> Value {
    json!({
        "host_id": id, "player_id": "owner", "player_name": "Owner",
        "ip_address": "192.0.2.1", "port": 7000, "cpu_cores": 8, "cpu_frequency_mhz": 3000,
        "memory_mb": 16384, "network_speed_mbps": 1000,
    })
}

pub(crate) fn zone(id: &str) -> Value {
    json!({ "zone_id": id, "zone_name": id, "zone_display_name": id, "map_name": "map" })
}

pub(crate) fn beat() -> Value {
    json!({
        "latency_ms": 0, "packet_loss_percent": 0, "bandwidth_usage_mbps": 0,
        "current_players": 0, "current_zones": 0,
    })
}

/// The object with one field changed, or without it if the value is `Value::Null` and so asked.
pub(crate) fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

pub(crate) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name);
    object
}

/// The names of all fields, sorted.
pub(crate) fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        object.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// One claim, on a coordinator in memory and on one in a file.
macro_rules! on_both_stores {
    ($($claim:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $claim() {
                super::$claim($crate::fixture::Service::in_memory().await).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $claim() {
                super::$claim($crate::fixture::Service::in_a_file().await).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;
