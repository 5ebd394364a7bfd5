//! A node that echoes, an honest peer of it, and whoever comes to do harm.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::super::raw::{NORMAL, Raw, Wire, Words, preamble, read};
use super::super::step::{ListenerOf, Task, done, ensure, protocol, spawn, step};
use super::super::{Failure, Outcome, World};
use crate::address::PeerAddr;
use crate::close::CloseCause;
use crate::config::ConnectionConfig;
use crate::options::{ConnectOptions, ListenOptions};
use crate::priority::Priority;
use crate::provider::{P2PConnection, P2PListener, P2PProvider};
use crate::reconnect::{Backoff, FailoverPolicy, ReconnectPolicy};
use crate::transport::LinkClosed;

/// A world in which strangers reach nodes without our engine.
pub trait Hostile: World {
    /// What strangers have.
    type Wire: Wire;

    /// Dials `node` as the stranger of this number, who has one identity and one endpoint however
    /// often it dials.
    fn dial(
        &self,
        stranger: u32,
        node: &PeerAddr,
    ) -> impl Future<Output = Outcome<Self::Wire>> + Send;

    /// How long an honest peer's echo may take at most, where the world's time is exact; otherwise
    /// nothing is said about it.
    fn echo_within(&self) -> Option<Duration> {
        None
    }
}

/// What is spoken.
pub(super) const SPEECH: &str = "conformance/1";
/// The node's patience with those who say hello.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(2);
/// After so long without room a flood counts as held up.
const STALL: Duration = Duration::from_secs(1);
/// Between two messages of the honest peer.
const PACE: Duration = Duration::from_millis(10);

/// What the honest peer and the node are made with: all that can be attacked is on.
pub(super) fn config() -> ConnectionConfig {
    ConnectionConfig::default()
        .with_handshake_timeout(HANDSHAKE)
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()))
        .with_failover(FailoverPolicy::REDIAL)
}

/// A node that sends back what it receives, and an honest peer that has a message echoed every 10 ms
/// while the attack goes on.
#[expect(missing_debug_implementations, reason = "what it is made of need not have one")]
pub struct Siege<'a, W: Hostile> {
    world: &'a W,
    node: PeerAddr,
    honest: W::Provider,
    connection: <W::Provider as P2PProvider>::Connection,
    peer: Honest,
    _serving: (W::Provider, Task<()>),
}

struct Honest {
    stop: Arc<AtomicBool>,
    echoes: Arc<AtomicU64>,
    /// Until its end was awaited.
    task: Option<Task<()>>,
}

impl<'a, W: Hostile> Siege<'a, W> {
    /// With timers and bounds under which all that can be attacked is on.
    ///
    /// # Errors
    ///
    /// [`Failure`], if the peers do not meet.
    pub async fn lay(world: &'a W) -> Outcome<Self> {
        Self::with(world, config()).await
    }

    /// With timers and bounds of one's own.
    ///
    /// # Errors
    ///
    /// [`Failure`], if the peers do not meet.
    pub async fn with(world: &'a W, config: ConnectionConfig) -> Outcome<Self> {
        let node = done("to make a provider", world.provider(config.clone())).await?;
        let honest = done("to make a provider", world.provider(config)).await?;
        let listener =
            step("to listen", node.listen(ListenOptions::new(protocol(SPEECH)?))).await?;
        let addr = node.local_addr();
        let serving = spawn(serve::<W>(listener));
        let connection = step("to connect", honest.connect(&addr, options()?)).await?;
        let peer = Honest::start(&connection, world.echo_within());
        let siege = Self { world, node: addr, honest, connection, peer, _serving: (node, serving) };
        siege.peer.has_echoes(4).await?;
        Ok(siege)
    }

    /// Where the node is.
    pub const fn node(&self) -> &PeerAddr {
        &self.node
    }

    /// A link of the attacker's, and its first words on it.
    pub(super) async fn attack(&self, hello: &Words) -> Outcome<Attacker<W::Wire>> {
        self.attack_with(0, &hello.encode()).await
    }

    /// The same for the stranger of this number, with any first bytes.
    pub(super) async fn attack_with(
        &self,
        stranger: u32,
        hello: &[u8],
    ) -> Outcome<Attacker<W::Wire>> {
        let wire = done("to dial", self.world.dial(stranger, &self.node)).await??;
        match Raw::greet(wire, hello).await {
            Some(raw) => Ok(Attacker { raw, lanes: None }),
            None => Err(Failure::new("the link ended before the first stream was open")),
        }
    }

    /// A link on which nothing is said.
    pub(super) async fn silent(&self, stranger: u32) -> Outcome<W::Wire> {
        done("to dial", self.world.dial(stranger, &self.node)).await?
    }

    /// That the node lets in another connection of the honest peer.
    ///
    /// # Errors
    ///
    /// [`Failure`], if it does not.
    pub async fn lets_in(&self) -> Outcome {
        let again = step("to connect", self.honest.connect(&self.node, options()?)).await?;
        step("to send", again.send("still there?".into())).await?;
        let got = step("to have an echo", again.recv()).await?;
        ensure!(got == "still there?", "another echo came: {got:.40?}");
        Ok(())
    }

    /// That the honest peer went on over the same link and lost nothing, and is let in once more.
    ///
    /// # Errors
    ///
    /// [`Failure`], if it was disturbed.
    pub async fn withstood(mut self) -> Outcome {
        self.peer.has_echoes(8).await?;
        self.peer.stop.store(true, Ordering::Relaxed);
        if let Some(task) = self.peer.task.take() {
            task.end("the honest peer").await?;
        }
        let links = self.connection.stats().links;
        ensure!(links == 1, "the honest peer's connection has had {links} links");
        self.lets_in().await
    }
}

impl Honest {
    fn start<C: P2PConnection>(connection: &C, within: Option<Duration>) -> Self {
        let (stop, echoes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, count, connection) = (stop.clone(), echoes.clone(), connection.clone());
        let task = spawn(async move {
            let mut number = 0_u64;
            while !until.load(Ordering::Relaxed) {
                let message = Bytes::copy_from_slice(&number.to_be_bytes());
                let priority = Priority::ALL[number as usize % Priority::COUNT];
                let start = Instant::now();
                step("to send", connection.send_with(priority, message.clone())).await?;
                let got = step("to have an echo", connection.recv_message()).await?;
                ensure!(
                    got.payload == message && got.priority == priority,
                    "expected the echo of {number}, not {got:?}"
                );
                let took = start.elapsed();
                ensure!(
                    within.is_none_or(|most| took <= most),
                    "the echo of {number} took {took:?}, at most {within:?} were allowed"
                );
                number += 1;
                count.store(number, Ordering::Relaxed);
                sleep(PACE).await;
            }
            Ok(())
        });
        Self { stop, echoes, task: Some(task) }
    }

    fn is_over(&self) -> bool {
        self.task.as_ref().is_none_or(Task::is_over)
    }

    /// Waits until so many further messages have come back.
    async fn has_echoes(&self, further: u64) -> Outcome {
        let enough = self.echoes.load(Ordering::Relaxed) + further;
        done("the honest peer's echoes", async {
            while self.echoes.load(Ordering::Relaxed) < enough && !self.is_over() {
                sleep(PACE).await;
            }
        })
        .await
    }
}

fn options() -> Outcome<ConnectOptions> {
    Ok(ConnectOptions::new(protocol(SPEECH)?))
}

/// Sends back whatever comes on any connection.
async fn serve<W: Hostile>(listener: ListenerOf<W>) -> Outcome {
    let mut echoing = Vec::new();
    while let Ok(connection) = listener.accept().await {
        echoing.push(spawn(async move {
            while let Ok(message) = connection.recv_message().await {
                if connection.send_with(message.priority, message.payload).await.is_err() {
                    break;
                }
            }
            Ok(())
        }));
    }
    Ok(())
}

/// A stranger's link.
pub(super) struct Attacker<W: Wire> {
    pub(super) raw: Raw<W>,
    /// The node's control stream, once it was looked at.
    lanes: Option<W::In>,
}

impl<W: Wire> Attacker<W> {
    /// A stream with these bytes; `None` if the link has ended.
    pub(super) async fn open(&self, bytes: &[u8]) -> Option<W::Out> {
        self.raw.open(bytes).await
    }

    /// The normal lane from its beginning, with these bytes.
    pub(super) async fn lane(&self, bytes: &[u8]) -> Option<W::Out> {
        self.open(&[preamble(NORMAL, 0), bytes.to_vec()].concat()).await
    }

    /// Waits until the node has let the attacker in.
    pub(super) async fn admitted(&mut self) -> Outcome {
        let mut control = done("the node's control stream", self.raw.wire.accept())
            .await?
            .ok_or_else(|| Failure::new("no control stream"))?;
        let hello = done("the node's hello", async {
            ensure!(read::<W>(&mut control, 1).await == [0], "another kind of stream");
            let first = read::<W>(&mut control, 1).await;
            let length = match first[..] {
                [first @ 0..0x40] => usize::from(first),
                [first] => {
                    let low = read::<W>(&mut control, 1).await;
                    usize::from(first & 0x3f) << 8 | usize::from(low.first().copied().unwrap_or(0))
                }
                _ => 0,
            };
            Ok(read::<W>(&mut control, length).await)
        });
        ensure!(!hello.await??.is_empty(), "no hello");
        let admitted = done("to be let in", read::<W>(&mut control, 2)).await?;
        ensure!(admitted == [1, 1], "not let in but told {admitted:?}");
        self.lanes = Some(control);
        Ok(())
    }

    /// The stream on which the node answers, after these bytes of it.
    pub(super) async fn hears(&mut self, expected: &[u8]) -> Outcome<W::In> {
        if self.lanes.is_none() {
            self.admitted().await?;
        }
        let mut lane = done("a lane of the node's", self.raw.wire.accept())
            .await?
            .ok_or_else(|| Failure::new("no lane"))?;
        let got = done("the node's words", read::<W>(&mut lane, expected.len())).await?;
        ensure!(got == expected, "expected {expected:?}, not {got:?}");
        Ok(lane)
    }

    /// The node has closed the link, for this cause and with these words in it.
    pub(super) async fn closed_for(&self, cause: CloseCause, words: &str) -> Outcome {
        closed_for(&self.raw.wire, cause, words).await
    }

    /// The node has left the link open.
    pub(super) fn is_open(&self) -> Outcome {
        match self.raw.wire.end() {
            None => Ok(()),
            Some(end) => Err(Failure::new(format!("the link was not left open: {end}"))),
        }
    }

    /// Writes until there has been no room for a while, or no interest; how much that was.
    pub(super) async fn pour(&self, out: &mut W::Out, piece: &[u8]) -> usize {
        let mut poured = 0;
        loop {
            let mut data = Bytes::copy_from_slice(piece);
            while !data.is_empty() {
                let before = data.len();
                let wrote = timeout(STALL, W::write(out, &mut data)).await;
                poured += before - data.len();
                if wrote != Ok(true) {
                    return poured;
                }
            }
        }
    }
}

/// The node has closed this link, for this cause and with these words in it.
pub(super) async fn closed_for<W: Wire>(wire: &W, cause: CloseCause, words: &str) -> Outcome {
    match done("that the node closes the link", wire.ended()).await? {
        LinkClosed::Peer { code, message } => {
            let told = CloseCause::from_wire(code);
            ensure!(told == cause, "closed for {told:?}, not {cause:?}: {message}");
            ensure!(message.contains(words), "'{message}' says nothing of '{words}'");
            Ok(())
        }
        other => Err(Failure::new(format!("it ended so: {other}"))),
    }
}
