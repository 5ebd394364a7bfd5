//! Sets that grow on many hosts and become one: a partition, its repair, and gossip over streams.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use p2p_core::{P2PConnection, P2PProvider, RecvStream, SendStream};
use p2p_simulator::{Network, SimulatorConnection};
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::{MS, SECOND, accept_each, dial_surely, provider, repeats, serve};

type Set = Arc<Mutex<BTreeSet<u8>>>;

/// Takes what a peer has, and answers with what is here.
async fn answer(connection: SimulatorConnection, set: Set) {
    while let Ok((mut send, mut recv)) = connection.accept_stream().await {
        let mut theirs = Vec::new();
        while let Ok(Some(chunk)) = recv.read_chunk(1024).await {
            theirs.extend_from_slice(&chunk);
        }
        let ours: Vec<u8> = {
            let mut set = set.lock().expect("no panic");
            set.extend(theirs);
            set.iter().copied().collect()
        };
        if send.write_all(ours.into()).await.is_err() || send.finish().is_err() {
            return;
        }
    }
}

async fn exchange(connection: &SimulatorConnection, set: &Set) -> Option<()> {
    let (mut send, mut recv) = connection.open_stream().await.ok()?;
    let ours: Vec<u8> = set.lock().expect("no panic").iter().copied().collect();
    send.write_all(ours.into()).await.ok()?;
    send.finish().ok()?;
    while let Some(chunk) = recv.read_chunk(1024).await.ok()? {
        set.lock().expect("no panic").extend(chunk.iter());
    }
    Some(())
}

async fn program(network: Network) -> ([BTreeSet<u8>; 4], [BTreeSet<u8>; 4]) {
    let hosts = [0u8, 1, 2, 3].map(|number| network.host(&format!("peer {number}")));
    let sets: [Set; 4] = Default::default();
    let providers = hosts.each_ref().map(provider);
    // A receiver for each: several of one are woken in a random order.
    let stops = [(); 4].map(|()| watch::channel(false).0);
    for (provider, set) in providers.iter().zip(&sets) {
        let set = set.clone();
        let listener = serve(provider).await;
        tokio::spawn(accept_each(listener, move |link| answer(link, set.clone())));
    }
    // Each gossips with the next; the last with the first.
    let mut gossips = Vec::new();
    for (number, provider) in providers.iter().enumerate() {
        let (provider, set) = (provider.clone(), sets[number].clone());
        let next = providers[(number + 1) % 4].local_addr();
        let mut stopped = stops[number].subscribe();
        gossips.push(tokio::spawn(async move {
            let mut ticks = interval(MS * 100);
            let mut connection = dial_surely(&provider, &next).await;
            loop {
                tokio::select! {
                    biased;
                    _ = stopped.changed() => return,
                    _ = ticks.tick() => {}
                }
                let done = tokio::select! {
                    biased;
                    _ = stopped.changed() => return,
                    done = exchange(&connection, &set) => done,
                };
                if done.is_none() {
                    connection = dial_surely(&provider, &next).await;
                }
            }
        }));
    }
    sleep(SECOND).await;
    let cut = network.fault("ocean").partition(&hosts[..2], &hosts[2..]);
    for (number, set) in (0..).zip(&sets) {
        set.lock().expect("no panic").insert(number * 10);
    }
    sleep(SECOND * 10).await;
    let apart = sets.each_ref().map(|set| set.lock().expect("no panic").clone());
    cut.repair();
    sleep(SECOND * 10).await;
    for stop in &stops {
        stop.send(true).expect("it listens");
    }
    for gossip in gossips {
        gossip.await.expect("no panic");
    }
    (apart, sets.map(|set| set.lock().expect("no panic").clone()))
}

#[test]
fn halves_that_were_apart_agree_after_the_repair() {
    for (apart, together) in repeats(10, program) {
        let [left, right] = [[0, 10], [20, 30]].map(BTreeSet::from);
        assert_eq!(apart, [left.clone(), left, right.clone(), right]);
        assert!(together.iter().all(|set| *set == BTreeSet::from([0, 10, 20, 30])), "{together:?}");
    }
}
