//! A coordinator of each test's own, and peers on WebSockets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use p2p_coordinator::domain::signaling::{Limits, Reach};
use p2p_coordinator::door::{self, Closing, http as router, tcp};
use p2p_coordinator::security::{Claims, Kind, Role, Tokens};
use p2p_coordinator::service::signaling::Identity;
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_coordinator_api::{CreateSession, DefineZone, Nonce, PlayerId, RegisterHost};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::ask::{Answer, over_tcp, request};
use crate::fixture::{EPOCH, host, key};

/// How long anything may take that takes moments.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) coordinator: Coordinator<MemoryStore>,
    pub(super) closing: Closing,
    pub(super) serving: JoinHandle<bool>,
    tokens: Tokens,
    address: SocketAddr,
}

impl Server {
    /// As the service before this one: everybody is who they say, and reaches everybody.
    pub(super) async fn open() -> Self {
        Self::with(|settings| {
            settings.signaling.identity = Identity::Claimed;
            settings.signaling.reach = Reach::Anyone;
        })
        .await
    }

    /// The same with other bounds.
    pub(super) async fn open_within(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|settings| {
            settings.signaling.identity = Identity::Claimed;
            settings.signaling.reach = Reach::Anyone;
            change(&mut settings.signaling.limits);
        })
        .await
    }

    /// As it is by default: with tokens, and with the sessions of the store.
    pub(super) async fn guarded() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let tokens = Tokens::new(settings.security.tokens.clone(), &key());
        let (clock, random) = (Clock::starting_at(EPOCH), Randomness::new([3; 32]));
        let coordinator = Coordinator::new(MemoryStore::new(), key(), clock, random, settings);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (router, closing) = (router::router(coordinator.clone()), Closing::new());
        let limits = door::Limits::default();
        let serving = tokio::spawn(tcp::run(listener, router, limits, closing.clone()));
        Self { coordinator, closing, serving, tokens, address }
    }

    /// A session on a host of `owner`, with these players. Its name.
    pub(super) async fn session(&self, zone: &str, players: &[&str]) -> String {
        let host_id = format!("host-of-{zone}");
        let mut registration: RegisterHost =
            serde_json::from_value(host(&host_id)).expect("a host");
        registration.player_id = id("owner");
        self.coordinator.register_host(registration).await.expect("registered");
        let zone = zone.parse().expect("an id");
        self.coordinator.define_zone(DefineZone::new(zone)).await.expect("a zone");
        let request = CreateSession {
            host_id: Some(host_id.parse().expect("an id")),
            zone_id: host_id["host-of-".len()..].parse().expect("an id"),
            player_ids: players.iter().map(|player| id(player)).collect(),
        };
        self.coordinator.create_session(&request).await.expect("a session").session_id.into()
    }

    /// An access token.
    pub(super) fn token(&self, player: &str) -> String {
        self.token_for(player, Role::Player, None, Duration::from_secs(600))
    }

    pub(super) fn token_for(
        &self,
        player: &str,
        role: Role,
        host: Option<&str>,
        life: Duration,
    ) -> String {
        let now = self.coordinator.now();
        self.tokens.sign(&Claims {
            kind: Kind::Access,
            id: Nonce([1; 16]),
            family: Nonce([2; 16]),
            role,
            player: id(player),
            user: None,
            host: host.map(|host| host.parse().expect("an id")),
            peer: None,
            issued_at: now,
            expires_at: now.after(life),
        })
    }

    pub(super) fn url(&self, query: &str) -> String {
        format!("ws://{}/api/v1/signaling/ws{query}", self.address)
    }

    pub(super) fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) async fn dial(&self, query: &str) -> Result<Peer, tungstenite::Error> {
        let dialled = timeout(PATIENCE, connect_async(self.url(query))).await.expect("in time");
        dialled.map(|(socket, _)| Peer(socket))
    }

    /// A peer of this name, without a token.
    pub(super) async fn peer(&self, name: &str) -> Peer {
        self.dial(&format!("?peer_id={name}")).await.expect("connected")
    }

    /// A peer of this name, with its token.
    pub(super) async fn player(&self, name: &str) -> Peer {
        let token = self.token(name);
        self.dial(&format!("?peer_id={name}&token={token}")).await.expect("connected")
    }

    /// A peer that has joined a session.
    pub(super) async fn member(&self, name: &str, session: &str) -> Peer {
        let mut peer = match self.coordinator.settings().signaling.identity {
            Identity::Claimed => self.peer(name).await,
            Identity::Proven => self.player(name).await,
        };
        peer.say(json!({ "type": "join", "session_id": session })).await;
        assert_eq!(peer.hears().await["type"], "session-joined");
        peer
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let mut request: http::Request<Full<Bytes>> =
            request(method, &format!("/api/v1{path}"), body.as_ref());
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("authorization", value);
        }
        timeout(PATIENCE, over_tcp(self.address, request))
            .await
            .expect("in time")
            .expect("answered")
    }

    pub(super) async fn stats(&self) -> Value {
        self.ask("GET", "/signaling/stats", None, None).await.is(200)
    }
}

fn id(name: &str) -> PlayerId {
    name.parse().expect("an id")
}

pub(super) struct Peer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Peer {
    pub(super) async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub(super) async fn say_text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(super) async fn send(&mut self, message: Message) {
        timeout(PATIENCE, self.0.send(message)).await.expect("in time").expect("sent");
    }

    /// The next message that is JSON; pings are answered on the way.
    pub(super) async fn hears(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no text: {other:?}"),
            }
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("in time")
    }

    /// What it hears, and the error that it has to be.
    pub(super) async fn is_told(&mut self, message: &str) {
        assert_eq!(self.hears().await, json!({ "type": "error", "message": message }));
    }

    /// Nothing has come so far: what is asked now is answered next.
    pub(super) async fn has_heard_nothing(&mut self) {
        self.say(json!({ "type": "ping" })).await;
        assert_eq!(self.hears().await["type"], "pong");
    }

    /// Waits for the end: code and reason. What is said before is thrown away.
    pub(super) async fn is_closed(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(close)))) => {
                    return (close.code.into(), close.reason.to_string());
                }
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close: {other:?}"),
            }
        }
    }

    pub(super) async fn leaves(mut self) {
        self.0.close(None).await.expect("closed");
        while let Some(Ok(_)) = self.next().await {}
    }

    /// The connection breaks without a word.
    pub(super) fn breaks(self) {
        drop(self);
    }

    pub(super) fn plain(self) -> TcpStream {
        match self.0.into_inner() {
            MaybeTlsStream::Plain(stream) => stream,
            _ => panic!("no TLS here"),
        }
    }
}
