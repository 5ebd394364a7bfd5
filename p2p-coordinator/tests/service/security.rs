//! Who may do what, and how much: over the router, as clients meet it.

mod agent;
mod cors;
mod hosts;
pub(crate) mod outage;
mod production;
mod rates;
mod renewal;
mod repeats;
mod roles;
mod tls;
mod tokens;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use p2p_coordinator::security::{ApiKey, Role, SecuritySettings};
use p2p_coordinator_api::HostProof;
use p2p_core::PeerAddr;
use serde_json::{Value, json};

use crate::ask::{Answer, request};
use crate::fixture::{Service, host, with};
use crate::join::key;

pub(crate) const ADMIN: &str = "the key of who runs it";
pub(crate) const SERVICE: &str = "the key of the game's server";
pub(crate) const HOST: &str = "the key of who carries sessions";
pub(crate) const PLAYER: &str = "the key in every client";

/// Keys are asked for, one of each role.
pub(crate) fn guarded() -> SecuritySettings {
    let mut security = SecuritySettings::default();
    security.check_api_keys = true;
    let keys = [
        (Role::Admin, ADMIN),
        (Role::Service, SERVICE),
        (Role::Host, HOST),
        (Role::Player, PLAYER),
    ];
    security.api_keys = keys.map(|(role, key)| ApiKey::new(role, key)).into_iter().collect();
    security
}

/// How somebody says who asks.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Key(&'static str),
    Token(String),
    Nothing,
}

pub(crate) fn asked(
    method: &str,
    path: &str,
    body: Option<&Value>,
    shown: &Shown,
) -> Request<Full<Bytes>> {
    let mut request = request(method, &format!("/api/v1{path}"), body);
    match shown {
        Shown::Key(key) => header(&mut request, "x-api-key", key),
        Shown::Token(token) => header(&mut request, "authorization", &format!("Bearer {token}")),
        Shown::Nothing => {}
    }
    request
}

pub(crate) fn header<B>(request: &mut Request<B>, name: &str, value: &str) {
    let name: HeaderName = name.parse().expect("a name");
    request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
}

pub(crate) async fn ask(
    service: &Service,
    method: &str,
    path: &str,
    body: Option<Value>,
    shown: &Shown,
) -> Answer {
    service.send(asked(method, path, body.as_ref(), shown)).await
}

/// The tokens of a player, given by the game's server.
pub(crate) async fn log_in(service: &Service, player: &str) -> Value {
    let body = json!({ "player_id": player });
    ask(service, "POST", "/auth/token", Some(body), &Shown::Key(SERVICE)).await.is(200)
}

pub(crate) async fn player(service: &Service, name: &str) -> Shown {
    Shown::Token(text(&log_in(service, name).await["access_token"]))
}

/// A registration with the proof of the key of this number.
pub(crate) async fn proven(service: &Service, id: &str, number: u8) -> Value {
    let issued = ask(service, "POST", "/hosts/challenge", None, &Shown::Key(HOST)).await.is(200);
    let challenge = serde_json::from_value(issued["challenge"].clone()).expect("a challenge");
    let (key, name) = (key(number), id.parse().expect("an id"));
    let addr = PeerAddr::new(key.peer_id());
    let proof = HostProof::new(&key, &name, addr, true, challenge);
    with(host(id), "p2p", json!(proof))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
