//! Waits for peers: echoes their messages, takes their files, and says which way the data goes.
//! Either for those who have its ticket, or for players whom a coordinator sends.
//!
//! ```sh
//! cargo run --example host -- --relay https://192.0.2.7:3443 --relay-ca relay.pem
//! cargo run --example host -- --coordinator http://127.0.0.1:8001 --zone meadow
//! cargo run --example host -- --p2p-config p2p_config.json --zone meadow
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::{ArgGroup, Parser};
use p2p_transport::coordinator::api::{
    DefineZone, HostId, PlayerId, RefusalReason, ZoneId, ZoneStatus,
};
use p2p_transport::coordinator::{
    Client, CoordinatorAddr, Guest, HostAgent, HostConfig, P2pConfig,
};
use p2p_transport::iroh::{IrohConnection, IrohListener, IrohP2P};
use p2p_transport::{
    ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider, PeerAddr, ProtocolName,
    RecvStream, SecretKey, SendStream,
};
use tokio::task::JoinSet;

#[allow(dead_code, unused_imports, reason = "each program uses a part of it")]
mod common;

use common::{Event, Failure, Introduced, Output, PROTOCOL, PeerArgs, Stop};
use common::{discard, finish, parse, read_p2p_config, write_whole};

/// Waits for peers, echoes their messages and takes their files
#[derive(Parser)]
#[command(group(ArgGroup::new("asked").args(["coordinator", "p2p_config"])))]
struct Args {
    #[command(flatten)]
    peer: PeerArgs,
    /// File for the ticket, there as soon as peers can connect
    #[arg(long, value_name = "FILE", conflicts_with = "coordinator")]
    ticket_out: Option<PathBuf>,
    /// Registers with this coordinator, and lets in only the players it sends
    #[arg(long, value_name = "URL|TICKET")]
    coordinator: Option<CoordinatorAddr>,
    /// The same, with the coordinator and all else as a game client's p2p_config.json says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["coordinator", "ticket_out"])]
    p2p_config: Option<PathBuf>,
    /// Zone that the coordinator is to have; made with its defaults if it is not there
    #[arg(long, requires = "asked")]
    zone: Option<ZoneId>,
    /// What the coordinator is to call this host [default: 'host-' and the short peer id]
    #[arg(long, value_name = "NAME", requires = "asked")]
    host_id: Option<HostId>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match parse::<Args>() {
        Ok(args) => finish(Output::new(args.peer.json), run(args).await.map(|()| None)),
        Err(code) => code,
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let mut stop = Stop::catch()?;
    if let Some(path) = &args.ticket_out {
        discard(path)?;
    }
    let secret = args.peer.secret()?;
    let config = args.peer.config(secret.clone())?;
    let interrupted = || Failure::interrupted("stopped before it was ready");
    let node = tokio::select! {
        bound = config.bind() => bound?,
        () = stop.requested() => return Err(interrupted()),
    };
    let opened = tokio::select! {
        opened = open(&node, secret, &args) => opened,
        () = stop.requested() => Err(interrupted()),
    };
    let served = match opened {
        Ok(door) => serve(&node, &door, &args, &mut stop).await,
        Err(failure) => Err(failure),
    };
    node.shutdown().await;
    served
}

/// Who is let in.
enum Door {
    /// Whoever has the ticket.
    Ticket(IrohListener),
    /// Whom the coordinator sends.
    Coordinator(HostAgent<IrohP2P>),
}

impl Door {
    async fn accept(&self) -> Result<Visitor, P2PError> {
        match self {
            Self::Ticket(listener) => listener.accept().await.map(Visitor::Peer),
            Self::Coordinator(agent) => agent.accept().await.map(Visitor::Player),
        }
    }

    fn local_addr(&self) -> PeerAddr {
        match self {
            Self::Ticket(listener) => listener.local_addr(),
            Self::Coordinator(agent) => agent.local_addr(),
        }
    }

    async fn close(&self) {
        match self {
            Self::Ticket(listener) => listener.close(),
            Self::Coordinator(agent) => agent.shutdown().await,
        }
    }
}

/// Who has come.
enum Visitor {
    Peer(IrohConnection),
    Player(Guest<IrohConnection>),
}

impl Visitor {
    const fn connection(&self) -> &IrohConnection {
        match self {
            Self::Peer(connection) => connection,
            Self::Player(guest) => &guest.connection,
        }
    }

    fn introduced(&self) -> Introduced<'_> {
        match self {
            Self::Peer(_) => Introduced::default(),
            Self::Player(Guest { session, player, .. }) => {
                Introduced { session: Some(session), player: Some(player), host: None }
            }
        }
    }
}

async fn open(node: &IrohP2P, secret: SecretKey, args: &Args) -> Result<Door, Failure> {
    let protocol = PROTOCOL.parse().map_err(Failure::new)?;
    let Some(settings) = settings(args)? else {
        return Ok(Door::Ticket(node.listen(ListenOptions::new(protocol)).await?));
    };
    register(node, secret, &settings, protocol, args).await.map(Door::Coordinator)
}

/// How the coordinator is asked, if there is one.
fn settings(args: &Args) -> Result<Option<P2pConfig>, Failure> {
    let Some(path) = &args.p2p_config else {
        return Ok(args.coordinator.clone().map(|coordinator| {
            let mut config = P2pConfig::default();
            config.coordinator = coordinator;
            // What a host takes by itself.
            config.max_peers = 256;
            config
        }));
    };
    let config = read_p2p_config(path, Output::new(args.peer.json))?;
    let off = match &args.zone {
        _ if !config.hosting => Some("hosting is switched off there"),
        Some(zone) => config.closed(zone),
        None if !config.enabled => Some("P2P is switched off there"),
        None => None,
    };
    match off {
        Some(why) => Err(Failure::new(format!("no host by {}: {why}", path.display()))),
        None => Ok(Some(config)),
    }
}

/// Makes the host known to the coordinator, and the zone if it is not.
async fn register(
    node: &IrohP2P,
    secret: SecretKey,
    settings: &P2pConfig,
    protocol: ProtocolName,
    args: &Args,
) -> Result<HostAgent<IrohP2P>, Failure> {
    let short = || HostId::new(format!("host-{}", node.local_peer_id().fmt_short()));
    let host = args.host_id.clone().map_or_else(short, Ok).map_err(Failure::new)?;
    let owner = PlayerId::new(host.as_str()).map_err(Failure::new)?;
    let coordinator = &settings.coordinator;
    Output::new(args.peer.json).emit(&Event::Registering { coordinator, host: &host });

    let client = settings.client(node.clone()).map_err(|error| Failure::of(&error))?;
    let config = HostConfig::new(host, owner, protocol).with_start_timeout(PATIENCE);
    let config = settings.apply_to_host(config);
    let agent = HostAgent::start(client.clone(), node.clone(), secret, config)
        .await
        .map_err(|error| Failure::of(&error).advise("check --coordinator and --host-id"))?;
    if let Some(zone) = &args.zone
        && let Err(failure) = prepare_zone(&client, zone).await
    {
        agent.shutdown().await;
        return Err(failure);
    }
    Ok(agent)
}

/// How long a coordinator that is just starting has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sees to it that players can join the zone.
async fn prepare_zone(client: &Client<IrohP2P>, zone: &ZoneId) -> Result<(), Failure> {
    let found = match client.zone(zone).await {
        Err(error) if error.reason() == Some(RefusalReason::UnknownZone) => {
            client.define_zone(&DefineZone::new(zone.clone())).await
        }
        found => found,
    };
    let found = found.map_err(|error| Failure::of(&error))?;
    let why = match found.status {
        ZoneStatus::Enabled if found.definition.p2p_enabled => return Ok(()),
        ZoneStatus::Enabled => "it is not for peers".to_owned(),
        status => format!("its status is '{status}'"),
    };
    Err(Failure::new(format!("zone '{zone}' is closed ({why}): open it, or name another --zone")))
}

/// Serves until it is asked to stop, which is how a host ends well.
async fn serve(node: &IrohP2P, door: &Door, args: &Args, stop: &mut Stop) -> Result<(), Failure> {
    let output = Output::new(args.peer.json);
    let ticket = door.local_addr();
    if let Some(path) = &args.ticket_out {
        write_whole(path, &format!("{ticket}\n"))?;
    }
    output.emit(&match door {
        Door::Ticket(_) => Event::Ready { ticket: &ticket },
        Door::Coordinator(agent) => {
            Event::Hosting { ticket: &ticket, host: agent.host_id(), zone: args.zone.as_ref() }
        }
    });

    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept() => {
                guests.spawn(entertain(accepted?, output));
            }
            Some(_ended) = guests.join_next() => {}
            () = stop.requested() => break,
        }
    }
    door.close().await;
    // Closes the connections; each says so and ends.
    node.shutdown().await;
    while guests.join_next().await.is_some() {}
    Ok(())
}

/// One guest, from its arrival to its end.
async fn entertain(visitor: Visitor, output: Output) {
    let (connection, by) = (visitor.connection(), visitor.introduced());
    let peer = connection.peer_id();
    output.emit(&Event::Connected { peer, by, after: None });
    let files = Arc::new(AtomicU64::new(0));
    let mut paths = connection.path_events();
    let watching = async {
        while let Some(path) = paths.next().await {
            output.emit(&Event::Path { peer, by, path: &path });
        }
    };
    let (messages, (), ()) =
        tokio::join!(echo(connection), take_files(connection, &files), watching);
    let served = Some((messages, files.load(Ordering::Relaxed)));
    output.emit(&Event::Closed { peer, by, reason: &connection.closed().await, served });
}

/// Sends back what comes, until the end; tells how much it was.
async fn echo(connection: &IrohConnection) -> u64 {
    let mut echoed = 0;
    while let Ok(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            break;
        }
        echoed += 1;
    }
    echoed
}

/// Answers each stream with the hash of its content. The transport bounds how many there are.
async fn take_files(connection: &IrohConnection, files: &Arc<AtomicU64>) {
    let mut transfers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_stream() => {
                let Ok((send, recv)) = accepted else { break };
                let files = files.clone();
                transfers.spawn(async move {
                    if answer(send, recv).await.is_ok() {
                        files.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            Some(_ended) = transfers.join_next() => {}
        }
    }
    while transfers.join_next().await.is_some() {}
}

async fn answer(mut send: impl SendStream, mut recv: impl RecvStream) -> Result<(), P2PError> {
    let mut hasher = blake3::Hasher::new();
    while let Some(chunk) = recv.read_chunk(CHUNK).await? {
        hasher.update(&chunk);
    }
    send.write_all(Bytes::copy_from_slice(hasher.finalize().as_bytes())).await?;
    send.finish()?;
    send.finished().await?;
    Ok(())
}

const CHUNK: usize = 256 * 1024;
