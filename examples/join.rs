//! Connects to a host, sends messages and checks their echoes, watches which way the data goes. The
//! host is named by its ticket, or a coordinator names it.
//!
//! ```sh
//! cargo run --example join -- --ticket ticket.txt --relay https://192.0.2.7:3443 \
//!     --relay-ca relay.pem --require-direct --seconds 30
//! cargo run --example join -- --coordinator http://127.0.0.1:8001 --zone meadow
//! cargo run --example join -- --p2p-config p2p_config.json --zone meadow
//! ```
//!
//! With a game client's `p2p_config.json` it goes on over the game's server where that says so, which
//! here is to say so and to end well.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use clap::{ArgGroup, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use p2p_transport::coordinator::api::{PlayerId, ZoneId};
use p2p_transport::coordinator::{CoordinatorAddr, Joined, P2pConfig, Route};
use p2p_transport::iroh::{IrohConnection, IrohP2P};
use p2p_transport::{
    ConnectOptions, P2PConnection, P2PError, P2PProvider, PathKind, PeerAddr, RecvStream,
    SendStream,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::{self, Instant, MissedTickBehavior};

#[allow(dead_code, unused_imports, reason = "each program uses a part of it")]
mod common;

use common::{Event, Failure, Introduced, Output, PROTOCOL, PeerArgs, Sent, Stop};
use common::{finish, parse, read_p2p_config, read_ticket};

/// Connects to a host, sends messages and checks their echoes
#[derive(Parser)]
#[command(group(ArgGroup::new("way").required(true).args(["ticket", "coordinator", "p2p_config"])))]
#[command(group(ArgGroup::new("asked").args(["coordinator", "p2p_config"])))]
struct Args {
    #[command(flatten)]
    peer: PeerArgs,
    /// The host's ticket, or the file that holds it
    #[arg(long, value_name = "TICKET|FILE")]
    ticket: Option<String>,
    /// Asks this coordinator for a place in a zone, and for its host
    #[arg(long, value_name = "URL|TICKET", requires = "zone")]
    coordinator: Option<CoordinatorAddr>,
    /// The same, with the coordinator and all else as a game client's p2p_config.json says
    #[arg(long, value_name = "FILE", requires = "zone")]
    p2p_config: Option<PathBuf>,
    /// Where to play
    #[arg(long, requires = "asked")]
    zone: Option<ZoneId>,
    /// Who plays [default: 'player-' and the short peer id]
    #[arg(long, value_name = "NAME", requires = "asked")]
    player: Option<PlayerId>,
    /// How long the coordinator and the host have until the connection is there [default: 15, or as
    /// --p2p-config says]
    #[arg(long, value_name = "SECONDS", requires = "asked",
          value_parser = clap::value_parser!(u32).range(1..))]
    join_timeout: Option<u32>,
    /// Fails if the data does not go to the host directly by the end
    #[arg(long)]
    require_direct: bool,
    /// How long to go on after connecting
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u32,
    /// Time between messages
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    every_ms: u32,
    /// File to send meanwhile; the run goes on until it has arrived
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match parse::<Args>() {
        Ok(args) => finish(Output::new(args.peer.json), run(args).await),
        Err(code) => code,
    }
}

async fn run(args: Args) -> Result<Option<Sent>, Failure> {
    let mut stop = Stop::catch()?;
    let host = args.ticket.as_deref().map(read_ticket).transpose()?;
    let settings = Settings::of(&args)?;
    let file = match &args.file {
        Some(path) => Some(open(path).await?),
        None => None,
    };
    let config = args.peer.config(args.peer.secret()?)?;
    let interrupted = || Failure::interrupted("interrupted before the connection was there");
    let node = tokio::select! {
        bound = config.bind() => bound?,
        () = stop.requested() => return Err(interrupted()),
    };
    let connected = tokio::select! {
        connected = reach(&node, host.as_ref(), settings.as_ref(), &args) => connected,
        () = stop.requested() => Err(interrupted()),
    };
    // Without a connection there is nobody to take leave of, and nothing to wait for.
    let Some(connection) = connected? else {
        node.shutdown().await;
        return Ok(None);
    };
    let result = visit(&connection, &args, file, &mut stop).await;
    node.shutdown().await;
    result
}

/// How a coordinator is asked.
struct Settings {
    config: P2pConfig,
    /// Whether the game's server takes over by the word of a file.
    by_file: bool,
}

impl Settings {
    fn of(args: &Args) -> Result<Option<Self>, Failure> {
        if let Some(path) = &args.p2p_config {
            let config = read_p2p_config(path, Output::new(args.peer.json))?;
            return Ok(Some(Self { config, by_file: true }));
        }
        Ok(args.coordinator.clone().map(|coordinator| {
            let mut config = P2pConfig::default();
            config.coordinator = coordinator;
            config.connection_timeout = Duration::from_secs(15);
            config.fallback_to_server = false;
            Self { config, by_file: false }
        }))
    }
}

async fn reach(
    node: &IrohP2P,
    host: Option<&PeerAddr>,
    settings: Option<&Settings>,
    args: &Args,
) -> Result<Option<IrohConnection>, Failure> {
    match (host, settings, &args.zone) {
        (Some(host), ..) => connect(node, host, args).await.map(Some),
        (None, Some(settings), Some(zone)) => join(node, settings, zone, args).await,
        // The command line has one of both, or there is none.
        (None, ..) => Err(Failure::new("no host: give --ticket, or --coordinator and --zone")),
    }
}

/// Gets a place from the coordinator, and connects to its host; nothing, if the game goes on over its
/// server.
async fn join(
    node: &IrohP2P,
    settings: &Settings,
    zone: &ZoneId,
    args: &Args,
) -> Result<Option<IrohConnection>, Failure> {
    let (output, config) = (Output::new(args.peer.json), &settings.config);
    if let (Some(reason), true) = (config.closed(zone), settings.by_file) {
        output.emit(&Event::Server { reason });
        return Ok(None);
    }
    let short = || PlayerId::new(format!("player-{}", node.local_peer_id().fmt_short()));
    let player = args.player.clone().map_or_else(short, Ok).map_err(Failure::new)?;
    output.emit(&Event::Joining { coordinator: &config.coordinator, zone, player: &player });
    let start = Instant::now();
    let client = config.client(node.clone()).map_err(|error| Failure::of(&error))?;
    let mut options = config.join_options(PROTOCOL.parse().map_err(Failure::new)?);
    if let Some(seconds) = args.join_timeout {
        options = options.with_timeout(Duration::from_secs(seconds.into()));
    }
    let joined = client.join(zone, &player, options).await;
    let route = config.route(joined).map_err(|error| Failure::new(error.fall_back_reason()))?;
    let Joined { connection, session, host_id, .. } = match route {
        Route::Peer(joined) => *joined,
        Route::Server { reason } => {
            output.emit(&Event::Server { reason: &reason });
            return Ok(None);
        }
    };
    let (session, host) = (Some(&session.session_id), Some(&host_id));
    let by = Introduced { session, host, player: None };
    let (peer, after) = (connection.peer_id(), Some(start.elapsed()));
    output.emit(&Event::Connected { peer, by, after });
    Ok(Some(connection))
}

async fn connect(node: &IrohP2P, host: &PeerAddr, args: &Args) -> Result<IrohConnection, Failure> {
    let (output, peer) = (Output::new(args.peer.json), host.id());
    output.emit(&Event::Dialing { peer });
    let start = Instant::now();
    let protocol = PROTOCOL.parse().map_err(Failure::new)?;
    let connection = node.connect(host, ConnectOptions::new(protocol)).await.map_err(|error| {
        let hint = if host.relays().len() > 0 && node.local_addr().relays().len() == 0 {
            "give --relay as the host has it"
        } else {
            "check that the host is running, and that this is its latest ticket"
        };
        Failure::new(format!("{error}: {hint}"))
    })?;
    let (by, after) = (Introduced::default(), Some(start.elapsed()));
    output.emit(&Event::Connected { peer, by, after });
    Ok(connection)
}

/// The connection, from its beginning to its end.
async fn visit(
    connection: &IrohConnection,
    args: &Args,
    file: Option<File>,
    stop: &mut Stop,
) -> Result<Option<Sent>, Failure> {
    let (output, peer) = (Output::new(args.peer.json), connection.peer_id());
    let by = Introduced::default();
    let mut paths = connection.path_events();
    let watching = async {
        while let Some(path) = paths.next().await {
            output.emit(&Event::Path { peer, by, path: &path });
        }
    };
    let working = async {
        let result = tokio::select! {
            result = work(connection, args, file) => result,
            () = stop.requested() => Err(Failure::interrupted("interrupted: connection closed")),
        };
        connection.close(0, if result.is_ok() { "done" } else { "giving up" }).await;
        result
    };
    let (result, ()) = tokio::join!(working, watching);
    output.emit(&Event::Closed { peer, by, reason: &connection.closed().await, served: None });
    result
}

async fn work(
    connection: &IrohConnection,
    args: &Args,
    file: Option<File>,
) -> Result<Option<Sent>, Failure> {
    let sending = async {
        match file {
            Some(file) => send_file(connection, file, args.peer.json).await.map(Some),
            None => Ok(None),
        }
    };
    let ((), sent) = tokio::try_join!(exchange(connection, args), sending)?;
    if args.require_direct && connection.path().kind != PathKind::Direct {
        let path = connection.path();
        let way = match path.remote {
            Some(remote) => format!("the data goes over {remote}"),
            None => "there is no path".to_owned(),
        };
        return Err(Failure::new(format!(
            "no direct path to {} after {} s ({way}): check that UDP passes, and --relay-quic",
            connection.peer_id().fmt_short(),
            args.seconds
        )));
    }
    Ok(sent)
}

/// Messages and their echoes, for as long as was asked for. What is not answered by then has until
/// the connection's idle timeout.
async fn exchange(connection: &IrohConnection, args: &Args) -> Result<(), Failure> {
    let output = Output::new(args.peer.json);
    let mut clock = time::interval(Duration::from_millis(args.every_ms.into()));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = time::sleep(Duration::from_secs(args.seconds.into()));
    tokio::pin!(end);
    let mut waiting = BTreeMap::new();
    let (mut next, mut open) = (0, true);
    let lost = loop {
        tokio::select! {
            _ = clock.tick(), if open => {
                waiting.insert(next, Instant::now());
                if let Err(error) = connection.send(message(next)).await {
                    break error;
                }
                next += 1;
            }
            () = &mut end, if open => open = false,
            answer = connection.recv() => {
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(error) => break error,
                };
                let seq = answer.first_chunk().map(|seq| u64::from_be_bytes(*seq));
                let sent = seq.and_then(|seq| waiting.remove(&seq).map(|sent| (seq, sent)));
                let Some((seq, sent)) = sent else {
                    let what = "the host answered what it was not asked: it runs something else";
                    return Err(Failure::new(what));
                };
                let ok = answer == message(seq);
                output.emit(&Event::Echo { seq, ok, rtt: Some(sent.elapsed()) });
                if !ok {
                    return Err(Failure::new(format!("echo {seq} differs from what was sent")));
                }
            }
        }
        if !open && waiting.is_empty() {
            return Ok(());
        }
    };
    for &seq in waiting.keys() {
        output.emit(&Event::Echo { seq, ok: false, rtt: None });
    }
    Err(gone(lost))
}

/// 64 bytes: the number, and what follows from it.
fn message(seq: u64) -> Bytes {
    let mut message = BytesMut::with_capacity(64);
    message.put_u64(seq);
    message.resize(64, 0);
    blake3::Hasher::new().update(&seq.to_be_bytes()).finalize_xof().fill(&mut message[8..]);
    message.freeze()
}

fn gone(error: P2PError) -> Failure {
    Failure::new(format!("the connection is gone, {error}: check that the host is still running"))
}

async fn open(path: &PathBuf) -> Result<File, Failure> {
    let name = path.display();
    let cannot = |error| Failure::new(format!("cannot read {name} ({error}): check --file"));
    let file = File::open(path).await.map_err(cannot)?;
    if file.metadata().await.map_err(cannot)?.is_dir() {
        return Err(Failure::new(format!("{name} is a folder: give --file a file")));
    }
    Ok(file)
}

/// Sends the file on a stream and compares what the host says about it.
async fn send_file(
    connection: &IrohConnection,
    mut file: File,
    json: bool,
) -> Result<Sent, Failure> {
    let start = Instant::now();
    let cannot = |error| Failure::new(format!("cannot read --file to its end ({error})"));
    let length = file.metadata().await.map_err(cannot)?.len();
    let progress = if json { ProgressBar::hidden() } else { bar(length) };
    let (mut send, mut recv) = connection.open_stream().await.map_err(gone)?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        if file.read_buf(&mut chunk).await.map_err(cannot)? == 0 {
            break;
        }
        hasher.update(&chunk);
        bytes += chunk.len() as u64;
        let written = chunk.len() as u64;
        send.write_all(chunk.freeze()).await.map_err(|error| gone(error.into()))?;
        progress.inc(written);
    }
    send.finish().map_err(|error| gone(error.into()))?;
    let theirs = recv.read_to_end(blake3::OUT_LEN).await.map_err(gone)?;
    progress.finish_and_clear();
    let hash = hasher.finalize();
    if theirs[..] != hash.as_bytes()[..] {
        return Err(Failure::new("the file arrived damaged: send it again"));
    }
    Ok(Sent { bytes, after: start.elapsed(), hash })
}

/// Progress on standard error, if that is a terminal.
fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bytes} of {total_bytes}, {bytes_per_sec}, {eta}");
    let bar = ProgressBar::new(length);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

const CHUNK: usize = 256 * 1024;
