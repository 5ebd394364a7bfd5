//! The main job, twice: two peers meet by ticket, exchange 100 000 messages each way and a file, on
//! real QUIC over loopback and on a simulated link. One generic function does it on both.
//!
//! ```text
//! cargo run --release --example quickstart [FILE]
//! ```
//!
//! Without FILE, 256 MiB of generated data. What arrives is verified by BLAKE3 and not stored.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use p2p_transport::iroh::IrohConfig;
use p2p_transport::simulator::{LinkProfile, Simulation};
use p2p_transport::{
    ConnectOptions, ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider,
    PathInfo, PeerAddr, RecvStream, SendStream,
};
use tokio::time::Instant;

const MESSAGES: u64 = 100_000;
const MESSAGE_BYTES: usize = 64;
const GENERATED_BYTES: u64 = 256 << 20;
/// How much is handed to a stream at once.
const CHUNK: usize = 256 * 1024;

/// Two peers exchange messages and a file: over QUIC on this machine, then over a simulated link.
#[derive(Parser)]
struct Arguments {
    /// The file to exchange; 256 MiB of generated data if not given. It is read, never changed.
    file: Option<PathBuf>,
}

type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run(Arguments::parse().file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut sentence = format!("quickstart: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                sentence += &format!(": {error}");
                cause = error.source();
            }
            let _ = writeln!(io::stderr(), "{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: Option<PathBuf>) -> Result<(), AnyError> {
    let content = Content::new(file)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = writeln!(io::stderr(), "\nquickstart: interrupted; nothing was left behind");
            std::process::exit(130);
        }
    });

    say("1. iroh: two endpoints on loopback, QUIC, wall clock");
    let real = runtime.block_on(async {
        let config = || IrohConfig::default().with_bind_address(([127, 0, 0, 1], 0).into());
        let (alice, bob) = (config().bind().await?, config().bind().await?);
        let figures = main_job(&alice, &bob, &content).await;
        alice.shutdown().await;
        bob.shutdown().await;
        figures
    })?;

    say("2. simulator: 40 ms each way, 1 ms of jitter, 1 % loss, 200 Mbit/s, virtual time");
    let link = LinkProfile::new()
        .with_latency(Duration::from_millis(40))
        .with_jitter(Duration::from_millis(1))
        .with_loss(0.01)
        .with_bandwidth(200_000_000);
    let outcome = Simulation::new(7).with_link(link).run(async |network| {
        let alice = network.host("alice").provider(ConnectionConfig::default())?;
        let bob = network.host("bob").provider(ConnectionConfig::default())?;
        main_job(&alice, &bob, &content).await
    })?;
    let simulated = outcome.output?;

    say("");
    say(format_args!(
        "{:<10} {:<7} {:>10} {:>12} {:>9}  clock",
        "backend", "path", "RTT", "messages/s", "MiB/s"
    ));
    for (backend, figures, clock) in
        [("iroh", &real, "wall clock"), ("simulator", &simulated, "virtual time")]
    {
        let rtt =
            figures.path.rtt.map_or("-".into(), |rtt| format!("{:.2} ms", rtt.as_secs_f64() * 1e3));
        let (path, messages, mib) = (figures.path.kind, figures.messages_per_s, figures.mib_per_s);
        say(format_args!("{backend:<10} {path:<7} {rtt:>10} {messages:>12.0} {mib:>9.1}  {clock}"));
    }
    say("");
    say(format_args!(
        "messages: {MESSAGES} of {MESSAGE_BYTES} bytes each way at once, both ways counted"
    ));
    say(format_args!("file: {} bytes, hashed at both ends, equal both times", content.bytes));
    say(format_args!("simulated trace: seed {}, hash {}", outcome.seed, outcome.trace_hash));
    Ok(())
}

/// Prints a line. A reader that has gone away is no reason to stop.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// What one run of the main job measured.
struct Figures {
    path: PathInfo,
    messages_per_s: f64,
    mib_per_s: f64,
}

/// The main job, on any backend. Its clock is tokio's: the wall clock, or virtual time.
async fn main_job<P: P2PProvider>(
    alice: &P,
    bob: &P,
    content: &Content,
) -> Result<Figures, AnyError> {
    let protocol: p2p_transport::ProtocolName = "quickstart/1".parse()?;
    let listener = bob.listen(ListenOptions::new(protocol.clone())).await?;
    let ticket = bob.local_addr().to_string();
    say(format_args!("   bob's ticket: {ticket}"));

    let bobs_addr: PeerAddr = ticket.parse()?;
    let to_bob = alice.connect(&bobs_addr, ConnectOptions::new(protocol)).await?;
    let to_alice = listener.accept().await?;

    let begun = Instant::now();
    let bar = progress(2 * MESSAGES, "messages", "{human_pos} of {human_len}");
    let tasks = [
        tokio::spawn(send_messages(to_bob.clone())),
        tokio::spawn(send_messages(to_alice.clone())),
        tokio::spawn(recv_messages(to_bob.clone(), bar.clone())),
        tokio::spawn(recv_messages(to_alice.clone(), bar.clone())),
    ];
    for task in tasks {
        task.await??;
    }
    let messages_per_s = per_second(2 * MESSAGES, begun);
    bar.finish();

    let begun = Instant::now();
    let bar = progress(content.bytes, "file", "{binary_bytes} of {binary_total_bytes}");
    let receiver = tokio::spawn(recv_file(to_alice.clone(), bar.clone()));
    let sent = send_file(&to_bob, content).await?;
    let received = receiver.await??;
    if sent != received {
        return Err(format!("the file arrived altered: {sent} sent, {received} received").into());
    }
    let mib_per_s = per_second(content.bytes, begun) / f64::from(1 << 20);
    bar.finish();

    let path = to_bob.path();
    to_bob.close(0, "done").await;
    Ok(Figures { path, messages_per_s, mib_per_s })
}

async fn send_messages(connection: impl P2PConnection) -> Result<(), AnyError> {
    for number in 0..MESSAGES {
        let mut message = BytesMut::zeroed(MESSAGE_BYTES);
        message[..8].copy_from_slice(&number.to_le_bytes());
        connection.send(message.freeze()).await?;
    }
    Ok(())
}

async fn recv_messages(connection: impl P2PConnection, bar: ProgressBar) -> Result<(), AnyError> {
    for number in 0..MESSAGES {
        let message = connection.recv().await?;
        if message.len() != MESSAGE_BYTES || message[..8] != number.to_le_bytes() {
            return Err(format!("message {number} arrived altered or out of order").into());
        }
        bar.inc(1);
    }
    Ok(())
}

/// Sends the content on a stream of its own, and returns its hash once the peer's hash has come back.
async fn send_file(
    connection: &impl P2PConnection,
    content: &Content,
) -> Result<blake3::Hash, AnyError> {
    let (mut send, mut recv) = connection.open_stream().await?;
    let mut source = content.open()?;
    let mut hash = blake3::Hasher::new();
    while let Some(chunk) = source.next()? {
        hash.update(&chunk);
        send.write_all(chunk).await?;
    }
    send.finish()?;
    let (ours, theirs) = (hash.finalize(), recv.read_to_end(64).await?);
    if theirs[..] != *ours.as_bytes() {
        return Err("the peer received something else than was sent".into());
    }
    Ok(ours)
}

/// Takes a stream to its end, and answers with the hash of what came.
async fn recv_file(
    connection: impl P2PConnection,
    bar: ProgressBar,
) -> Result<blake3::Hash, AnyError> {
    let (mut send, mut recv) = connection.accept_stream().await?;
    let mut hash = blake3::Hasher::new();
    // Chunks are as small as packets; the hash and the bar are faster with more at a time.
    let mut collected = BytesMut::with_capacity(2 * CHUNK);
    while let Some(chunk) = recv.read_chunk(CHUNK).await? {
        collected.extend_from_slice(&chunk);
        if collected.len() >= CHUNK {
            hash.update(&collected);
            bar.inc(collected.len() as u64);
            collected.clear();
        }
    }
    hash.update(&collected);
    bar.inc(collected.len() as u64);
    let hash = hash.finalize();
    send.write_all(Bytes::copy_from_slice(hash.as_bytes())).await?;
    send.finish()?;
    send.finished().await?;
    Ok(hash)
}

fn per_second(amount: u64, since: Instant) -> f64 {
    amount as f64 / since.elapsed().as_secs_f64().max(1e-9)
}

fn progress(length: u64, what: &'static str, amount: &str) -> ProgressBar {
    let template = format!("   {{prefix:<9}} {{bar:40}} {amount}");
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_prefix(what)
}

/// What is sent: a file, or as many bytes of a pattern.
struct Content {
    file: Option<PathBuf>,
    bytes: u64,
    /// Pseudo-random bytes, repeated. A prime length, so that no two chunks are the same.
    pattern: Bytes,
}

impl Content {
    fn new(file: Option<PathBuf>) -> Result<Self, AnyError> {
        let Some(path) = file else {
            let mut pattern = vec![0; 1_048_573];
            blake3::Hasher::new().finalize_xof().fill(&mut pattern);
            return Ok(Self { file: None, bytes: GENERATED_BYTES, pattern: pattern.into() });
        };
        let unreadable = |error| format!("cannot read '{}': {error}", path.display());
        let metadata = File::open(&path).and_then(|file| file.metadata()).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(format!("'{}' is not a file: name one", path.display()).into());
        }
        Ok(Self { bytes: metadata.len(), file: Some(path), pattern: Bytes::new() })
    }

    fn open(&self) -> Result<Source<'_>, AnyError> {
        let file = self.file.as_ref().map(File::open).transpose()?;
        Ok(Source { content: self, file, done: 0 })
    }
}

/// Reads content from its beginning.
struct Source<'a> {
    content: &'a Content,
    file: Option<File>,
    done: u64,
}

impl Source<'_> {
    /// The next chunk. A file is read in place, not in a thread: in a simulation there are none.
    fn next(&mut self) -> Result<Option<Bytes>, AnyError> {
        let Some(file) = &mut self.file else {
            let from = (self.done % self.content.pattern.len() as u64) as usize;
            let left = (self.content.bytes - self.done) as usize;
            let to = self.content.pattern.len().min(from + CHUNK.min(left));
            self.done += (to - from) as u64;
            return Ok((to > from).then(|| self.content.pattern.slice(from..to)));
        };
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk)?;
        chunk.truncate(read);
        Ok((read > 0).then(|| chunk.into()))
    }
}
