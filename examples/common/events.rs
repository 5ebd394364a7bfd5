//! What happens, as a line of text or of JSON.

use std::fmt;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p_transport::{CloseReason, PathInfo, PeerAddr, PeerId};
use serde_json::{Value, json};

/// Something worth a line. On the host, `peer` says with whom.
pub(crate) enum Event<'a> {
    /// A peer can be connected to with this ticket.
    Ready { ticket: &'a PeerAddr },
    /// A relay serves this URL.
    Serving { url: &'a str, quic: u16 },
    /// The attempt to connect begins.
    Dialing { peer: PeerId },
    /// It succeeded, after this long on the side that dialled.
    Connected { peer: PeerId, after: Option<Duration> },
    /// The data takes this way from now on.
    Path { peer: PeerId, path: &'a PathInfo },
    /// An answer came, or will not come any more.
    Echo { seq: u64, ok: bool, rtt: Option<Duration> },
    /// The connection ended; on the host with the number of messages and files it served.
    Closed { peer: PeerId, reason: &'a CloseReason, served: Option<(u64, u64)> },
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
            Self::Serving { url, quic } => ("ready", json!({ "url": url, "quic_port": quic })),
            Self::Dialing { peer } => ("dialing", json!({ "peer": peer.to_string() })),
            Self::Connected { peer, after } => {
                let ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                ("connected", json!({ "peer": peer.to_string(), "ms": ms }))
            }
            Self::Path { peer, path } => (
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
            Self::Closed { peer, reason, served } => {
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
        if let Some(fields) = line.as_object_mut() {
            fields.retain(|_, value| !value.is_null() || name == "path" || name == "echo");
        }
        line
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { ticket } => write!(f, "ready; connect with this ticket:\n{ticket}"),
            Self::Serving { url, quic } => {
                write!(f, "relay {url}, address discovery on UDP port {quic}")
            }
            Self::Dialing { peer } => write!(f, "dialing {}", peer.fmt_short()),
            Self::Connected { peer, after: Some(after) } => {
                write!(f, "connected to {} after {} ms", peer.fmt_short(), after.as_millis())
            }
            Self::Connected { peer, after: None } => write!(f, "{} joined", peer.fmt_short()),
            Self::Path { peer, path } => {
                write!(f, "path to {}: {}", peer.fmt_short(), path.kind)?;
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
            Self::Closed { peer, reason, served } => {
                write!(f, "connection with {} {reason}", peer.fmt_short())?;
                match served {
                    Some((messages, files)) => write!(f, "; {messages} messages, {files} files"),
                    None => Ok(()),
                }
            }
            Self::Error { what } => write!(f, "error: {what}"),
            Self::Done { file: None } => f.write_str("done"),
            Self::Done { file: Some(Sent { bytes, after, hash }) } => {
                let seconds = after.as_secs_f64();
                write!(f, "done; {bytes} bytes of file arrived in {seconds:.2} s, BLAKE3 {hash}")
            }
        }
    }
}
