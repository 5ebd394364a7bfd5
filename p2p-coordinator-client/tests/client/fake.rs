//! A coordinator that answers as it is told, and one that does as much as a host and a player need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use p2p_coordinator_client::api::host::HostTerms;
use p2p_coordinator_client::api::{
    Challenge, Heartbeat, Host, HostId, HostStatus, IssuedChallenge, JoinClaims, JoinReply,
    JoinRequest, JoinToken, Nonce, RegisterHost, RegisteredHost, Session, SessionName,
    SessionStatus, Timestamp, paths,
};
use p2p_core::{
    ListenOptions, P2PConnection, P2PListener, P2PProvider, PeerAddr, SecretKey, StreamIo,
};
use p2p_simulator::{SimulatorConnection, SimulatorListener, SimulatorP2P};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) what: String,
    pub(crate) body: Value,
    /// By which it is known when it comes again.
    pub(crate) key: Option<String>,
}

/// What is said to that.
pub(crate) enum Answer {
    /// A status and a body.
    Say(u16, Bytes),
    /// Nothing, ever.
    Silence,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &impl serde::Serialize) -> Self {
        Self::Say(status, serde_json::to_vec(body).expect("JSON").into())
    }
}

pub(crate) async fn listen(provider: &SimulatorP2P) -> SimulatorListener {
    let protocol = paths::PROTOCOL.parse().expect("a name");
    provider.listen(ListenOptions::new(protocol)).await.expect("listening")
}

/// Serves HTTP on the streams of all who connect, in tasks that end with the returned set.
pub(crate) async fn serve<F>(provider: &SimulatorP2P, answer: F) -> JoinSet<()>
where
    F: Fn(Asked) -> Answer + Clone + Send + 'static,
{
    let listener = listen(provider).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok(connection) = listener.accept().await {
            connections.spawn(serve_connection(connection, answer.clone()));
        }
    });
    tasks
}

async fn serve_connection<F>(connection: SimulatorConnection, answer: F)
where
    F: Fn(Asked) -> Answer + Clone + Send + 'static,
{
    let mut streams = JoinSet::new();
    while let Ok((send, recv)) = connection.accept_stream().await {
        let answer = answer.clone();
        streams.spawn(async move {
            let service = service_fn(move |request| respond(request, answer.clone()));
            let io = TokioIo::new(StreamIo::new(send, recv));
            // The date would come from the wall clock, and no two runs would be the same.
            let mut server = http1::Builder::new();
            let _ = server.auto_date_header(false).serve_connection(io, service).await;
        });
    }
}

async fn respond<F>(
    request: Request<Incoming>,
    answer: F,
) -> Result<Response<Full<Bytes>>, hyper::Error>
where
    F: Fn(Asked) -> Answer,
{
    let what = format!("{} {}", request.method(), request.uri());
    let key = request.headers().get("idempotency-key");
    let key = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let body = request.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match answer(Asked { what, body, key }) {
        Answer::Say(status, body) => {
            Ok(Response::builder().status(status).body(Full::new(body)).expect("a response"))
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// A coordinator of one zone, whose hosts have one session each.
#[derive(Clone)]
pub(crate) struct Coordinator {
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) key: SecretKey,
    began: Instant,
    pub(crate) hosts: BTreeMap<HostId, PeerAddr>,
    pub(crate) registered: Vec<RegisterHost>,
    pub(crate) beats: Vec<Heartbeat>,
    /// What else was asked.
    pub(crate) log: Vec<String>,
    nonces: u8,
    pub(crate) lease: Duration,
}

impl Coordinator {
    pub(crate) fn new(key: u8) -> Self {
        let state = State {
            key: SecretKey::from_bytes(&[key; 32]),
            began: Instant::now(),
            hosts: BTreeMap::new(),
            registered: Vec::new(),
            beats: Vec::new(),
            log: Vec::new(),
            nonces: 0,
            lease: Duration::from_secs(4),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) async fn serve(&self, provider: &SimulatorP2P) -> JoinSet<()> {
        let coordinator = self.clone();
        serve(provider, move |asked| coordinator.state().answer(&asked)).await
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Makes a host known that has no agent.
    pub(crate) fn add_host(&self, host: &str, addr: PeerAddr) {
        self.state().hosts.insert(host.parse().expect("an id"), addr);
    }
}

fn refuse(status: u16, reason: &str) -> Answer {
    Answer::json(status, &json!({ "detail": format!("refused: {reason}"), "reason": reason }))
}

fn parse<T: serde::de::DeserializeOwned>(asked: &Asked) -> T {
    serde_json::from_value(asked.body.clone()).expect("a request of the contract")
}

impl State {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000).after(self.began.elapsed())
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        match asked.what.as_str() {
            "POST /api/v1/hosts/challenge" => {
                let challenge = Challenge::new(&self.key, self.now(), [7; 16]);
                let expires_at = self.now().after(Challenge::LIFETIME);
                Answer::json(200, &IssuedChallenge { challenge, expires_at })
            }
            "POST /api/v1/hosts/register" => self.register(parse(asked)),
            "POST /api/v1/sessions/join" => self.join(&parse(asked)),
            what => {
                let host = what
                    .strip_prefix("POST /api/v1/hosts/")
                    .and_then(|rest| rest.strip_suffix("/heartbeat"));
                match host {
                    Some(host) => self.beat(&host.parse().expect("an id"), parse(asked)),
                    None => {
                        self.log.push(what.to_owned());
                        Answer::json(200, &json!({ "message": "done" }))
                    }
                }
            }
        }
    }

    fn register(&mut self, host: RegisterHost) -> Answer {
        let proof = host.p2p.clone().expect("a peer");
        let checked = proof.check(&host.host_id, self.key.peer_id(), self.now());
        if checked.is_err() {
            return refuse(403, "proof");
        }
        self.hosts.insert(host.host_id.clone(), proof.addr);
        let lease_ms = self.lease.as_millis() as u64;
        let terms =
            HostTerms { issuer: self.key.peer_id(), now: self.now(), lease_ms, access: None };
        let shown = shown(&host.host_id);
        self.registered.push(host);
        Answer::json(201, &RegisteredHost { host: shown, p2p: Some(terms) })
    }

    fn beat(&mut self, host: &HostId, beat: Heartbeat) -> Answer {
        if !self.hosts.contains_key(host) {
            return refuse(404, "unknown_host");
        }
        self.beats.push(beat);
        Answer::json(200, &shown(host))
    }

    fn join(&mut self, request: &JoinRequest) -> Answer {
        if request.zone_id.as_str() != "plaza" {
            return refuse(404, "unknown_zone");
        }
        let mut hosts = self.hosts.iter().filter(|(host, _)| !request.avoid.contains(host));
        let Some((host, addr)) = hosts.next() else { return refuse(409, "no_host") };
        let (host, addr) = (host.clone(), addr.clone());
        self.nonces += 1;
        let claims = JoinClaims {
            session: session_of(&host),
            zone: request.zone_id.clone(),
            host: host.clone(),
            host_peer: addr.id(),
            player: request.player_id.clone(),
            peer: request.peer_id,
            places: 100,
            epoch: 1,
            issued_at: self.now(),
            expires_at: self.now().after(Duration::from_secs(30)),
            nonce: Nonce([self.nonces; 16]),
        };
        let reply = JoinReply {
            session: session(claims.session.clone(), self.now()),
            host_id: host,
            host_addr: addr,
            token: JoinToken::sign(&self.key, &claims).expect("a short token"),
            expires_at: claims.expires_at,
        };
        Answer::json(200, &reply)
    }
}

fn session_of(host: &HostId) -> SessionName {
    SessionName::from_bits(host.as_str().bytes().map(u64::from).sum())
}

fn session(session_id: SessionName, now: Timestamp) -> Session {
    Session {
        id: 1,
        session_id,
        host_id: 1,
        zone_id: 1,
        connected_players: Vec::new(),
        current_players: 0,
        max_players: 100,
        status: SessionStatus::Pending,
        average_latency_ms: 0.0,
        average_packet_loss_percent: 0.0,
        bandwidth_usage_mbps: 0.0,
        started_at: None,
        ended_at: None,
        created_at: now,
        updated_at: now,
        routing: p2p_coordinator_client::api::Routing::Peers,
    }
}

fn shown(host: &HostId) -> Host {
    Host {
        id: 1,
        host_id: host.clone(),
        player_id: "alice".parse().expect("an id"),
        player_name: host.to_string(),
        ip_address: "0.0.0.0".into(),
        port: 1,
        public_ip: None,
        cpu_cores: 4,
        cpu_frequency_mhz: 2400,
        memory_mb: 8192,
        network_speed_mbps: 1000,
        latency_ms: 0.0,
        packet_loss_percent: 0.0,
        bandwidth_usage_mbps: 0.0,
        status: HostStatus::Online,
        max_players: 50,
        current_players: 0,
        max_zones: 5,
        current_zones: 0,
        quality_score: 100.0,
        peer_id: None,
    }
}
