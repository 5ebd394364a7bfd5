//! The main job, on any backend. Its clock is tokio's: the wall clock, or virtual time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use indicatif::{ProgressBar, ProgressStyle};
use p2p_transport::coordinator::api::{DefineZone, PlayerId, ZoneId};
use p2p_transport::coordinator::{
    Client, ClientConfig, CoordinatorAddr, Guest, HostAgent, HostConfig, JoinOptions,
};
use p2p_transport::{
    P2PConnection, P2PProvider, PathInfo, ProtocolName, RecvStream, SecretKey, SendStream,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::content::{CHUNK, Content};
use crate::{AnyError, say};

/// How many messages each player sends, and gets back.
pub(crate) const MESSAGES: u64 = 100_000;
/// How large each is.
pub(crate) const MESSAGE_BYTES: usize = 64;

/// Who takes part.
pub(crate) struct World<P> {
    pub(crate) coordinator: CoordinatorAddr,
    pub(crate) host: P,
    pub(crate) host_key: SecretKey,
    pub(crate) players: Vec<P>,
}

/// What one run of the main job measured.
pub(crate) struct Figures {
    pub(crate) path: PathInfo,
    pub(crate) join: Duration,
    pub(crate) messages_per_s: f64,
    pub(crate) mib_per_s: f64,
}

/// A host registers, players join, everybody plays, one downloads the host's file.
pub(crate) async fn main_job<P: P2PProvider>(
    world: &World<P>,
    content: &Content,
) -> Result<Figures, AnyError> {
    let protocol: ProtocolName = "quickstart/1".parse()?;
    let zone: ZoneId = "meadow".parse()?;
    let client = |provider: &P| {
        Client::new(provider.clone(), world.coordinator.clone(), ClientConfig::default())
    };

    let hosts_client = client(&world.host)?;
    hosts_client.define_zone(&DefineZone::new(zone.clone())).await?;
    let config = HostConfig::new("host-1".parse()?, "owner".parse()?, protocol.clone());
    let (host, key) = (world.host.clone(), world.host_key.clone());
    let agent = HostAgent::start(hosts_client, host, key, config).await?;
    say(format_args!("   host '{}' is registered", agent.host_id()));

    let hosting = async {
        let mut guests = JoinSet::new();
        for _ in &world.players {
            let guest = agent.accept().await?;
            guests.spawn(entertain(guest, content.clone()));
        }
        while let Some(ended) = guests.join_next().await {
            ended??;
        }
        Ok::<_, AnyError>(())
    };
    let playing = async {
        let mut joins = Vec::new();
        let mut connections = Vec::new();
        for (number, provider) in world.players.iter().enumerate() {
            let player: PlayerId = format!("player-{number}").parse()?;
            let begun = Instant::now();
            let joined =
                client(provider)?.join(&zone, &player, JoinOptions::new(protocol.clone())).await?;
            joined.connection.send("hello".into()).await?;
            joined.connection.recv().await?;
            joins.push(begun.elapsed());
            let (session, host) = (&joined.session.session_id, &joined.host_id);
            say(format_args!("   {player} is in {session} on '{host}'"));
            connections.push(joined.connection);
        }
        joins.sort();
        let join = joins[joins.len() / 2];

        let total = 2 * MESSAGES * connections.len() as u64;
        let (begun, bar) =
            (Instant::now(), progress(total, "messages", "{human_pos} of {human_len}"));
        let mut tasks = JoinSet::new();
        for connection in &connections {
            tasks.spawn(send_messages(connection.clone()));
            tasks.spawn(recv_messages(connection.clone(), bar.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let messages_per_s = per_second(total, begun);
        bar.finish();

        let (begun, bar) = (
            Instant::now(),
            progress(content.bytes, "file", "{binary_bytes} of {binary_total_bytes}"),
        );
        let downloader = connections.last().ok_or("there are no players")?;
        download(downloader, content.bytes, &bar).await?;
        let mib_per_s = per_second(content.bytes, begun) / f64::from(1 << 20);
        bar.finish();

        let path = downloader.path();
        for connection in &connections {
            connection.close(0, "done").await;
        }
        Ok::<_, AnyError>(Figures { path, join, messages_per_s, mib_per_s })
    };
    let ((), figures) = tokio::try_join!(hosting, playing)?;
    agent.shutdown().await;
    Ok(figures)
}

/// One guest, from its coming to its leaving: its messages come back, its streams get the file.
async fn entertain<C: P2PConnection>(guest: Guest<C>, content: Content) -> Result<(), AnyError> {
    let connection = &guest.connection;
    let echoing = async {
        // Until the guest leaves.
        while let Ok(message) = connection.recv().await {
            if connection.send(message).await.is_err() {
                break;
            }
        }
    };
    let giving = async {
        while let Ok((send, recv)) = connection.accept_stream().await {
            give(&content, send, recv).await?;
        }
        Ok::<_, AnyError>(())
    };
    tokio::join!(echoing, giving).1
}

/// Sends the content, its hash behind it, and waits for the guest to have it.
async fn give(
    content: &Content,
    mut send: impl SendStream,
    mut recv: impl RecvStream,
) -> Result<(), AnyError> {
    recv.read_to_end(0).await?;
    let mut source = content.open()?;
    let mut hash = blake3::Hasher::new();
    while let Some(chunk) = source.next()? {
        hash.update(&chunk);
        send.write_all(chunk).await?;
    }
    send.write_all(Bytes::copy_from_slice(hash.finalize().as_bytes())).await?;
    send.finish()?;
    send.finished().await?;
    Ok(())
}

/// Takes a stream to its end, and compares what came with the hash behind it.
async fn download(
    connection: &impl P2PConnection,
    bytes: u64,
    bar: &ProgressBar,
) -> Result<(), AnyError> {
    let (mut send, mut recv) = connection.open_stream().await?;
    send.finish()?;
    let mut hash = blake3::Hasher::new();
    // Chunks are as small as packets; the hash and the bar are faster with more at a time.
    let mut collected = BytesMut::with_capacity(2 * CHUNK);
    let mut left = bytes;
    while left > 0 {
        let most = left.min(CHUNK as u64) as usize;
        let chunk = recv.read_chunk(most).await?.ok_or("the file ended too early")?;
        left -= chunk.len() as u64;
        collected.extend_from_slice(&chunk);
        if collected.len() >= CHUNK || left == 0 {
            hash.update(&collected);
            bar.inc(collected.len() as u64);
            collected.clear();
        }
    }
    let theirs = recv.read_to_end(blake3::OUT_LEN).await?;
    if theirs[..] != *hash.finalize().as_bytes() {
        return Err("the file arrived altered".into());
    }
    Ok(())
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
        // Two messages: this one came, and its like went before.
        bar.inc(2);
    }
    Ok(())
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
