//! One heartbeat or one registration of a running host.

use p2p_coordinator_api::{Heartbeat, HeartbeatReply};
use p2p_core::{P2PConnection, P2PProvider, PeerAddr};
use tokio::time::Instant;

use super::hall::Hall;
use super::register::{Registered, Registrar};
use super::rhythm::Outcome;
use crate::error::{RequestError, sentence};

const NOT_FOUND: u16 = 404;
/// The host's token has ended, or the coordinator has another key: to register again gives a new one.
const UNAUTHORIZED: u16 = 401;

/// What is told.
#[derive(Debug)]
pub(super) enum Told {
    Beat(Heartbeat),
    Register(PeerAddr),
}

/// What was said to that.
#[derive(Debug)]
pub(super) enum Answer {
    Beat(Result<HeartbeatReply, RequestError>),
    Register(Result<Option<Registered>, RequestError>),
}

impl Told {
    pub(super) async fn tell<P: P2PProvider>(self, registrar: &Registrar<P>) -> Answer {
        match self {
            Self::Beat(beat) => Answer::Beat(registrar.beat(&beat).await),
            Self::Register(addr) => Answer::Register(registrar.register(addr, false).await),
        }
    }
}

/// What the host has to say now.
pub(super) fn heartbeat<'a, C: P2PConnection>(
    now: Instant,
    hall: &mut Hall,
    connections: impl Iterator<Item = &'a C>,
) -> Heartbeat {
    let rtt = connections.filter_map(|connection| connection.path().rtt).min();
    let present = hall.guests.present(now);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Heartbeat {
        // The nearest guest's: what is more is the others' way, not the host's.
        latency_ms: rtt.map_or(0.0, |rtt| rtt.as_secs_f64() * 1000.0),
        packet_loss_percent: 0.0,
        bandwidth_usage_mbps: 0.0,
        current_players: count(present.len()),
        current_zones: count(hall.guests.zones()),
        present: Some(present.iter().map(ToString::to_string).collect()),
    }
}

impl Hall {
    /// Takes note of the answer.
    pub(super) fn note(&mut self, now: Instant, answer: &Answer) -> Outcome {
        let error = match answer {
            Answer::Beat(Ok(reply)) => {
                self.route(reply.routing, &reply.server_routed);
                self.heard(now);
                return Outcome::Done;
            }
            Answer::Register(Ok(Some(registered))) => {
                self.registered(registered);
                return Outcome::Done;
            }
            Answer::Register(Ok(None)) => {
                self.failed("the coordinator gave no issuer of join tokens".into(), false);
                return Outcome::Failed;
            }
            Answer::Beat(Err(error)) | Answer::Register(Err(error)) => error,
        };
        let unknown = error.is_status(NOT_FOUND);
        self.failed(sentence(error), unknown);
        if unknown || error.is_status(UNAUTHORIZED) { Outcome::Unknown } else { Outcome::Failed }
    }
}
