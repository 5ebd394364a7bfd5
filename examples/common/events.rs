//! What happens, as a line of text or of JSON.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p_transport::coordinator::CoordinatorAddr;
use p2p_transport::coordinator::api::{HostId, PlayerId, SessionName, ZoneId};
use p2p_transport::{CloseReason, PathInfo, PeerAddr, PeerId};
use serde_json::{Value, json};

/// What a coordinator said about a peer; nothing about those who met by a ticket.
#[derive(Clone, Copy, Default)]
pub(crate) struct Introduced<'a> {
    pub(crate) session: Option<&'a SessionName>,
    /// Whom a player meets.
    pub(crate) host: Option<&'a HostId>,
    /// Whom a host meets.
    pub(crate) player: Option<&'a PlayerId>,
}

/// Something worth a line. On the host, `peer` says with whom.
pub(crate) enum Event<'a> {
    /// A peer can be connected to with this ticket.
    Ready { ticket: &'a PeerAddr },
    /// A host asks the coordinator to make it known.
    Registering { coordinator: &'a CoordinatorAddr, host: &'a HostId },
    /// Players can join a host through the coordinator that knows it.
    Hosting { ticket: &'a PeerAddr, host: &'a HostId, zone: Option<&'a ZoneId> },
    /// A relay serves this URL.
    Serving { url: &'a str, quic: u16 },
    /// The attempt to connect begins.
    Dialing { peer: PeerId },
    /// The attempt to get a place and to connect to its host begins.
    Joining { coordinator: &'a CoordinatorAddr, zone: &'a ZoneId, player: &'a PlayerId },
    /// It succeeded, after this long on the side that dialled.
    Connected { peer: PeerId, by: Introduced<'a>, after: Option<Duration> },
    /// The data takes this way from now on.
    Path { peer: PeerId, by: Introduced<'a>, path: &'a PathInfo },
    /// An answer came, or will not come any more.
    Echo { seq: u64, ok: bool, rtt: Option<Duration> },
    /// The connection ended; on the host with the number of messages and files it served.
    Closed { peer: PeerId, by: Introduced<'a>, reason: &'a CloseReason, served: Option<(u64, u64)> },
    /// Something that is not as somebody may think.
    Note { what: &'a str },
    /// The game goes on over its server.
    Server { reason: &'a str },
    /// What failed.
    Error { what: &'a str },
    /// All went well, a file with it if one was sent.
    Done { file: Option<Sent> },
}

/// A file that has arrived whole at the other side.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) after: Duration,
    pub(crate) hash: blake3::Hash,
}

/// Where events go: standard output, one line each.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    Human,
    Json,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }

    pub(crate) fn emit(self, event: &Event<'_>) {
        let line = match self {
            Self::Human => event.to_string(),
            Self::Json => event.to_json().to_string(),
        };
        let mut out = std::io::stdout().lock();
        // A reader that has seen enough does not end the trial.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

impl Event<'_> {
    fn to_json(&self) -> Value {
        let (name, mut line) = match self {
            Self::Ready { ticket } => ("ready", json!({ "ticket": ticket.to_string() })),
            Self::Registering { coordinator, host } => {
                ("registering", json!({ "coordinator": coordinator.to_string(), "host_id": host }))
            }
            Self::Hosting { ticket, host, zone } => {
                ("ready", json!({ "ticket": ticket.to_string(), "host_id": host, "zone": zone }))
            }
            Self::Serving { url, quic } => ("ready", json!({ "url": url, "quic_port": quic })),
            Self::Dialing { peer } => ("dialing", json!({ "peer": peer.to_string() })),
            Self::Joining { coordinator, zone, player } => (
                "joining",
                json!({ "coordinator": coordinator.to_string(), "zone": zone, "player": player }),
            ),
            Self::Connected { peer, by, after } => {
                let ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let (session, host) = (by.session, by.host);
                let peer = peer.to_string();
                (
                    "connected",
                    json!({ "peer": peer, "ms": ms, "session": session, "host_id": host }),
                )
            }
            Self::Path { peer, path, .. } => (
                "path",
                json!({
                    "peer": peer.to_string(),
                    "selected": path.kind.to_string(),
                    "addr": path.remote.as_ref().map(ToString::to_string),
                    "rtt_us": path.rtt.map(micros),
                }),
            ),
            Self::Echo { seq, ok, rtt } => {
                ("echo", json!({ "seq": seq, "ok": ok, "rtt_us": rtt.map(micros) }))
            }
            Self::Closed { peer, reason, served, .. } => {
                let (messages, files) = served.unzip();
                (
                    "closed",
                    json!({
                        "peer": peer.to_string(),
                        "reason": reason.to_string(),
                        "messages": messages,
                        "files": files,
                    }),
                )
            }
            Self::Note { what } => ("note", json!({ "what": what })),
            Self::Server { reason } => ("server", json!({ "reason": reason })),
            Self::Error { what } => ("error", json!({ "what": what })),
            Self::Done { file: None } => ("done", json!({})),
            Self::Done { file: Some(Sent { bytes, after, hash }) } => (
                "done",
                json!({
                    "file_bytes": bytes,
                    "file_us": micros(*after),
                    "file_blake3": hash.to_hex().as_str(),
                }),
            ),
        };
        #[allow(clippy::disallowed_methods, reason = "the lines of several machines are compared")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line["t"] = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).into();
        line["ev"] = name.into();
        if let Some(player) = self.introduced().player {
            line["player"] = player.as_str().into();
        }
        if let Some(fields) = line.as_object_mut() {
            fields.retain(|_, value| !value.is_null() || name == "path" || name == "echo");
        }
        line
    }

    fn introduced(&self) -> Introduced<'_> {
        match self {
            Self::Connected { by, .. } | Self::Path { by, .. } | Self::Closed { by, .. } => *by,
            _ => Introduced::default(),
        }
    }
}

/// What people call whoever is at the other end.
fn called(peer: PeerId, by: Introduced<'_>) -> String {
    match (by.player, by.host) {
        (Some(player), _) => player.to_string(),
        (None, Some(host)) => host.to_string(),
        (None, None) => peer.fmt_short().to_string(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { ticket } => write!(f, "ready; connect with this ticket:\n{ticket}"),
            Self::Registering { coordinator, host } => {
                write!(f, "registering '{host}' with {coordinator}")
            }
            Self::Hosting { host, zone: Some(zone), .. } => {
                write!(f, "ready as '{host}'; players join zone '{zone}' through the coordinator")
            }
            Self::Hosting { host, zone: None, .. } => {
                write!(f, "ready as '{host}'; players join any zone through the coordinator")
            }
            Self::Serving { url, quic } => {
                write!(f, "relay {url}, address discovery on UDP port {quic}")
            }
            Self::Dialing { peer } => write!(f, "dialing {}", peer.fmt_short()),
            Self::Joining { coordinator, zone, player } => {
                write!(f, "joining zone '{zone}' as '{player}' through {coordinator}")
            }
            Self::Connected { peer, by, after: Some(after) } => {
                write!(f, "connected to {} after {} ms", called(*peer, *by), after.as_millis())
            }
            Self::Connected { peer, by, after: None } => write!(f, "{} joined", called(*peer, *by)),
            Self::Path { peer, by, path } => {
                write!(f, "path to {}: {}", called(*peer, *by), path.kind)?;
                if let Some(remote) = &path.remote {
                    write!(f, " {remote}")?;
                }
                match path.rtt {
                    Some(rtt) => write!(f, ", round trip {:.1} ms", rtt.as_secs_f64() * 1e3),
                    None => Ok(()),
                }
            }
            Self::Echo { seq, ok: true, rtt: Some(rtt) } => {
                write!(f, "echo {seq} after {:.1} ms", rtt.as_secs_f64() * 1e3)
            }
            Self::Echo { seq, ok: true, rtt: None } => write!(f, "echo {seq}"),
            Self::Echo { seq, ok: false, rtt: Some(_) } => write!(f, "echo {seq} is wrong"),
            Self::Echo { seq, ok: false, rtt: None } => write!(f, "echo {seq} did not come"),
            Self::Closed { peer, by, reason, served } => {
                write!(f, "connection with {} {reason}", called(*peer, *by))?;
                match served {
                    Some((messages, files)) => write!(f, "; {messages} messages, {files} files"),
                    None => Ok(()),
                }
            }
            Self::Note { what } => write!(f, "note: {what}"),
            Self::Server { reason } => write!(f, "the game goes on over its server: {reason}"),
            Self::Error { what } => write!(f, "error: {what}"),
            Self::Done { file: None } => f.write_str("done"),
            Self::Done { file: Some(Sent { bytes, after, hash }) } => {
                let seconds = after.as_secs_f64();
                write!(f, "done; {bytes} bytes of file arrived in {seconds:.2} s, BLAKE3 {hash}")
            }
        }
    }
}
