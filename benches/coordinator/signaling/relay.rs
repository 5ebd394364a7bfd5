//! The least that a relay can be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::routing::any;
use p2p_benches::Result;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::process::until_the_bench_is_gone;

type Peers = Arc<Mutex<BTreeMap<String, UnboundedSender<Utf8Bytes>>>>;

#[derive(Deserialize)]
struct Who {
    peer_id: String,
}

#[derive(Deserialize)]
struct Addressed<'a> {
    to: &'a str,
}

pub(crate) async fn serve() -> Result<()> {
    let peers = Peers::default();
    let open = async |upgrade: WebSocketUpgrade, who: Query<Who>, peers: State<Peers>| {
        // As small as its users make them who care.
        let upgrade = upgrade.read_buffer_size(4096).write_buffer_size(0);
        upgrade.on_upgrade(move |socket| relay(socket, who.0.peer_id, peers.0))
    };
    let router = Router::new().route("/api/v1/signaling/ws", any(open)).with_state(peers);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::select! {
        biased;
        () = until_the_bench_is_gone() => Ok(()),
        served = axum::serve(listener, router).into_future() => Ok(served?),
    }
}

async fn relay(mut socket: WebSocket, peer: String, peers: Peers) {
    let (sender, mut queue) = unbounded_channel();
    let _ = sender.send(r#"{"type":"session-joined"}"#.into());
    peers.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, sender);
    loop {
        tokio::select! {
            biased;
            Some(text) = queue.recv() => {
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            heard = socket.recv() => {
                let Some(Ok(Message::Text(text))) = heard else { return };
                let Ok(addressed) = serde_json::from_str::<Addressed<'_>>(&text) else { continue };
                let peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(target) = peers.get(addressed.to) {
                    let _ = target.send(text.clone());
                }
            }
        }
    }
}
