//! Waits for peers: echoes their messages, takes their files, and says which way the data goes.
//!
//! ```sh
//! cargo run --example host -- --relay https://192.0.2.7:3443 --relay-ca relay.pem
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use clap::Parser;
use p2p_transport::iroh::{IrohConnection, IrohP2P};
use p2p_transport::{
    ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider, RecvStream, SendStream,
};
use tokio::task::JoinSet;

#[allow(dead_code, unused_imports, reason = "each program uses a part of it")]
mod common;

use common::{Event, Failure, Output, PROTOCOL, PeerArgs, Stop};
use common::{discard, finish, parse, write_whole};

/// Waits for peers, echoes their messages and takes their files
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    peer: PeerArgs,
    /// File for the ticket, there as soon as peers can connect
    #[arg(long, value_name = "FILE")]
    ticket_out: Option<PathBuf>,
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
    let config = args.peer.config()?;
    let node = tokio::select! {
        bound = config.bind() => bound?,
        () = stop.requested() => return Err(Failure::interrupted("stopped before it was ready")),
    };
    let served = serve(&node, &args, &mut stop).await;
    node.shutdown().await;
    served
}

/// Serves until it is asked to stop, which is how a host ends well.
async fn serve(node: &IrohP2P, args: &Args, stop: &mut Stop) -> Result<(), Failure> {
    let output = Output::new(args.peer.json);
    let protocol = PROTOCOL.parse().map_err(Failure::new)?;
    let listener = node.listen(ListenOptions::new(protocol)).await?;
    let ticket = listener.local_addr();
    if let Some(path) = &args.ticket_out {
        write_whole(path, &format!("{ticket}\n"))?;
    }
    output.emit(&Event::Ready { ticket: &ticket });

    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                guests.spawn(entertain(accepted?, output));
            }
            Some(_ended) = guests.join_next() => {}
            () = stop.requested() => break,
        }
    }
    // Closes the connections; each says so and ends.
    node.shutdown().await;
    while guests.join_next().await.is_some() {}
    Ok(())
}

/// One guest, from its arrival to its end.
async fn entertain(connection: IrohConnection, output: Output) {
    let peer = connection.peer_id();
    output.emit(&Event::Connected { peer, after: None });
    let files = Arc::new(AtomicU64::new(0));
    let mut paths = connection.path_events();
    let watching = async {
        while let Some(path) = paths.next().await {
            output.emit(&Event::Path { peer, path: &path });
        }
    };
    let (messages, (), ()) =
        tokio::join!(echo(&connection), take_files(&connection, &files), watching);
    let served = Some((messages, files.load(Ordering::Relaxed)));
    output.emit(&Event::Closed { peer, reason: &connection.closed().await, served });
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
