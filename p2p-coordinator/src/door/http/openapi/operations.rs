//! Every path and method, with what it reads and answers.

use p2p_coordinator_api::auth::TokenReply;
use p2p_coordinator_api::ids::MAX_CHARS;
use p2p_coordinator_api::service::{Health, Readiness, ServiceInfo};
use p2p_coordinator_api::{
    HeartbeatReply, Host, IssuedChallenge, JoinReply, RegisteredHost, Session, Zone,
};
use serde_json::json;

use super::operation::Operation;
use crate::domain::signaling::Kind;
use crate::door::http::fields::{Fields, Invalid};
use crate::door::http::{auth, hosts, sessions, signaling, zones};
use crate::security::jwt::MAX_TOKEN;
use crate::service::monitoring::{Dashboard, HostStats};
use crate::service::signaling::SignalingStats;

/// The groups of paths.
pub(super) const TAGS: [(&str, &str); 7] = [
    ("auth", "Tokens of players."),
    ("hosts", "Who can carry sessions."),
    ("zones", "Where players meet, and what a host must be able to do to carry one."),
    ("sessions", "Players of a zone on a host."),
    ("signaling", "Messages by which WebRTC peers find each other."),
    ("monitoring", "The service in numbers."),
    ("service", "What the service is, and how it is."),
];

/// All of them, in the order of the page.
pub(in super::super) fn operations() -> Vec<Operation> {
    let groups = [of_auth(), of_hosts(), of_zones(), of_sessions(), of_places(), of_signaling()];
    groups.into_iter().flatten().chain(of_the_service()).collect()
}

fn get(path: &str, summary: &'static str) -> Operation {
    Operation::new("GET", path, summary)
}

fn post(path: &str, summary: &'static str) -> Operation {
    Operation::new("POST", path, summary)
}

fn of_auth() -> Vec<Operation> {
    vec![
        post("/api/v1/auth/token", "Gives tokens to a player")
            .says("Who asks vouches for the name: with a key of the role service or admin.")
            .body("TokenRequest", auth::credentials)
            .answers::<TokenReply>(200, "An access and a refresh token"),
        post("/api/v1/auth/refresh", "Exchanges a refresh token")
            .says(
                "Each is good once. Whoever shows one again ends the login: one of two who have it \
                 has stolen it.",
            )
            .open()
            .body("RefreshRequest", auth::refresh_token)
            .answers::<TokenReply>(200, "New tokens")
            .refuses(401, "The token is not good"),
        post("/api/v1/auth/logout", "Ends a login")
            .says("By the refresh token in the body; without a body, by the access token.")
            .open()
            .body("LogoutRequest", auth::refresh_token)
            .optional()
            .tells("It is ended"),
        post("/api/v1/auth/revoke", "Ends all logins of a player")
            .body("RevokeRequest", sessions::player_of)
            .tells("How many there were"),
    ]
}

fn of_hosts() -> Vec<Operation> {
    vec![
        post("/api/v1/hosts/challenge", "Asks for what a host is to sign")
            .answers::<IssuedChallenge>(200, "The challenge"),
        post("/api/v1/hosts/register", "Registers a host, or updates it")
            .says("With `p2p`, the host proves a peer id; from then on the host id is that peer's.")
            .body("RegisterHost", hosts::registration)
            .answers::<RegisteredHost>(201, "The host as it is known now"),
        post("/api/v1/hosts/{host_id}/heartbeat", "Tells that a host lives, and how it is")
            .body("Heartbeat", hosts::beat)
            .answers::<HeartbeatReply>(200, "The host as it is known now")
            .refuses(404, "There is no such host"),
        get("/api/v1/hosts/{host_id}", "A host")
            .answers::<Host>(200, "The host")
            .refuses(404, "There is no such host"),
        Operation::new("DELETE", "/api/v1/hosts/{host_id}", "Removes a host")
            .says("Its sessions fail.")
            .answers_nothing(204, "It is removed")
            .refuses(404, "There is no such host"),
        get("/api/v1/hosts/", "Hosts, the best first")
            .query(hosts::listing)
            .lists::<Host>("A page of them")
            .refuses(400, "There is no such status"),
        get("/api/v1/hosts/available/list", "Hosts that take sessions, the best first")
            .query(hosts::choice)
            .lists::<Host>("A page of them"),
        get("/api/v1/hosts/available/best", "The best host that takes sessions")
            .query(hosts::choice)
            .answers::<Host>(200, "The host")
            .refuses(404, "There is none"),
    ]
}

fn of_zones() -> Vec<Operation> {
    let absent = "There is no such zone";
    vec![
        post("/api/v1/zones/", "Defines a zone, or updates it")
            .body("DefineZoneRequest", zones::definition)
            .answers::<Zone>(201, "The zone"),
        get("/api/v1/zones/", "Zones, by priority")
            .query(zones::listing)
            .lists::<Zone>("A page of them")
            .refuses(400, "There is no such status"),
        get("/api/v1/zones/p2p/enabled", "Zones in which peers may meet")
            .query(zones::page)
            .lists::<Zone>("A page of them"),
        get("/api/v1/zones/{zone_id}", "A zone")
            .answers::<Zone>(200, "The zone")
            .refuses(404, absent),
        Operation::new("PATCH", "/api/v1/zones/{zone_id}/status", "Changes a zone's status")
            .query(zones::new_status)
            .answers::<Zone>(200, "The zone")
            .refuses(400, "There is no such status")
            .refuses(404, absent),
        post("/api/v1/zones/{zone_id}/enable-p2p", "Lets peers meet in a zone")
            .answers::<Zone>(200, "The zone")
            .refuses(404, absent),
        post("/api/v1/zones/{zone_id}/disable-p2p", "Lets peers meet in a zone no more")
            .answers::<Zone>(200, "The zone")
            .refuses(404, absent),
    ]
}

fn of_sessions() -> Vec<Operation> {
    let refused = "It cannot be done: why, is in X-Refusal-Reason";
    vec![
        post("/api/v1/sessions/", "Makes a session")
            .says("On the host that is named or, without one, on the best that fits the zone.")
            .body("CreateSession", sessions::creation)
            .answers::<Session>(201, "The session")
            .refuses(400, refused),
        get("/api/v1/sessions/{session_id}", "A session")
            .answers::<Session>(200, "The session")
            .refuses(404, "There is no such session"),
        post("/api/v1/sessions/{session_id}/activate", "Begins a session")
            .tells("It has begun")
            .refuses(400, refused),
        post("/api/v1/sessions/{session_id}/pause", "Holds a session")
            .tells("It is held")
            .refuses(400, refused),
        post("/api/v1/sessions/{session_id}/end", "Ends a session")
            .tells("It is over")
            .refuses(400, refused),
        Operation::new("PATCH", "/api/v1/sessions/{session_id}/metrics", "Tells what was measured")
            .says("In the query or in the body. What is left out stays as it was.")
            .query(sessions::metrics)
            .body("SessionMetrics", sessions::metrics)
            .optional()
            .tells("It is noted")
            .refuses(400, refused),
        post("/api/v1/sessions/cleanup", "Lets sessions fail in which nothing happened")
            .query(sessions::silence)
            .tells("How many there were"),
        get("/api/v1/sessions/host/{host_id}/active", "Active sessions on a host")
            .query(zones::page)
            .lists::<Session>("A page of them"),
        get("/api/v1/sessions/zone/{zone_id}/active", "Active sessions in a zone")
            .query(zones::page)
            .lists::<Session>("A page of them"),
    ]
}

fn of_places() -> Vec<Operation> {
    let refused = "It cannot be done: why, is in X-Refusal-Reason";
    let player = "/api/v1/sessions/{session_id}/players/{player_id}";
    vec![
        post("/api/v1/sessions/join", "Gives a player a place in a zone")
            .says("And the address of the host, and a token to show it.")
            .body("JoinRequest", sessions::joining)
            .answers::<JoinReply>(200, "The place")
            .refuses(404, "There is no such zone")
            .refuses(409, "There is no place: `reason` says why"),
        post("/api/v1/sessions/{session_id}/players", "Gives a player a place in a session")
            .body("AddPlayer", sessions::player_of)
            .tells("The player has a place")
            .refuses(400, refused),
        Operation::new("DELETE", player, "Takes a player's place back")
            .query(sessions::nonce)
            .tells("The player has none any more")
            .refuses(400, refused),
    ]
}

fn of_signaling() -> Vec<Operation> {
    let forms = [
        (Kind::Offer, "PostOffer", letter_of_offer as fn(&mut Fields<'_>) -> _),
        (Kind::Answer, "PostAnswer", letter_of_answer),
        (Kind::IceCandidate, "PostCandidate", letter_of_candidate),
    ];
    let mut all = Vec::new();
    for (kind, name, read) in forms {
        let path = format!("/api/v1/signaling/{}", kind.as_str());
        let (from, why) = ("Who asks may not speak for the peer, or is not in the session", "text");
        let message = json!({
            "type": "object",
            "properties": {
                "type": { "const": kind.as_str() },
                "from": { "type": "string" },
                kind.field(): { "description": "As it was sent." },
                "timestamp": { "type": "string", "format": "date-time" },
            },
            "required": ["type", "from", kind.field(), "timestamp"],
        });
        all.push(
            post(&path, "Sends a message to a peer")
                .body(name, read)
                .tells("It is sent, or kept until it is asked for")
                .refuses(403, from)
                .refuses(404, "There is nobody of that name"),
        );
        all.push(
            get(&path, "Takes the messages that wait for a peer")
                .query(signaling::rest::mailbox)
                .answers_with(200, why, json!({ "type": "array", "items": message }))
                .refuses(400, "The peer's or the session's name is not allowed")
                .refuses(403, from),
        );
    }
    all.push(
        get("/api/v1/signaling/ws", "Opens a WebSocket for signaling")
            .says(
                "Messages are JSON objects with a `type`: `join`, `leave`, `offer`, `answer`, \
                 `ice-candidate`, `ping`. This page cannot open one.",
            )
            .open()
            .query(visitor)
            .answers_nothing(101, "A WebSocket")
            .answers_nothing(400, "The handshake breaks the rules")
            .answers_nothing(403, "peer_id is missing")
            .refuses(404, "No WebSocket was asked for")
            .answers_nothing(426, "Another version of the protocol"),
    );
    all.push(
        get("/api/v1/signaling/stats", "How many are connected")
            .answers::<SignalingStats>(200, "The numbers"),
    );
    all
}

type Letter = Result<(String, String, String, String), Invalid>;

fn letter_of_offer(fields: &mut Fields<'_>) -> Letter {
    signaling::rest::letter(fields, Kind::Offer)
}

fn letter_of_answer(fields: &mut Fields<'_>) -> Letter {
    signaling::rest::letter(fields, Kind::Answer)
}

fn letter_of_candidate(fields: &mut Fields<'_>) -> Letter {
    signaling::rest::letter(fields, Kind::IceCandidate)
}

/// A handshake has no 422: this is read by hand.
fn visitor(fields: &mut Fields<'_>) -> Result<(), Invalid> {
    fields.text("peer_id", MAX_CHARS);
    fields.optional_text("session_id", MAX_CHARS);
    fields.optional_text("token", MAX_TOKEN);
    fields.optional_text("resume", MAX_CHARS);
    fields.optional_int("seq", 0, u32::MAX);
    Ok(())
}

fn of_the_service() -> Vec<Operation> {
    vec![
        get("/api/v1/monitoring/dashboard", "The service in numbers")
            .says("When the database is away, the numbers are all zero and `error` says so.")
            .answers::<Dashboard>(200, "The numbers"),
        get("/api/v1/monitoring/hosts/stats", "Hosts by how good they are")
            .answers::<HostStats>(200, "The numbers"),
        get("/api/v1/monitoring/metrics", "Metrics, as Prometheus reads them")
            .answers_text("The metrics"),
        get("/metrics", "The same, where scrapers look").answers_text("The metrics").answers_with(
            404,
            "They are turned off",
            json!({
                "type": "object", "properties": { "error": { "type": "string" } },
                "required": ["error"],
            }),
        ),
        get("/", "What the service is").exempt().answers::<ServiceInfo>(200, "What it is"),
        get("/health", "Whether the process lives").exempt().answers::<Health>(200, "It does"),
        get("/ready", "Whether the service can do its work")
            .exempt()
            .answers::<Readiness>(200, "It can")
            .answers::<Readiness>(503, "It cannot"),
    ]
}
