//! Requests and answers: echo, timeouts with retries, and a question to many of which some answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use p2p_core::{P2PConnection, P2PProvider, RecvStream, SendStream};
use p2p_simulator::{Network, SimulatorConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{MS, SECOND, accept_each, dial, dial_surely, provider, repeats, serve};

async fn echo(connection: SimulatorConnection) {
    while let Ok(message) = connection.recv().await {
        if connection.send(message).await.is_err() {
            return;
        }
    }
}

#[test]
fn echo_with_many_clients_at_once() {
    let program = async |network: Network| {
        let server = provider(&network.host("server"));
        let address = server.local_addr();
        tokio::spawn(accept_each(serve(&server).await, echo));
        let mut clients = JoinSet::new();
        for client in 0..8u8 {
            let provider = provider(&network.host(&format!("client {client}")));
            let address = address.clone();
            clients.spawn(async move {
                let connection = dial_surely(&provider, &address).await;
                for number in 0..30u8 {
                    let message = vec![client ^ number; usize::from(number) * 100 + 1];
                    connection.send(message.clone().into()).await?;
                    assert_eq!(connection.recv().await?, message);
                }
                Ok::<_, p2p_core::P2PError>(client)
            });
        }
        let mut order = Vec::new();
        while let Some(client) = clients.join_next().await {
            order.push(client.expect("no panic").expect("no error"));
        }
        order
    };
    let orders = repeats(20, program);
    let sorted = |order: &Vec<u8>| {
        let mut order = order.clone();
        order.sort_unstable();
        order
    };
    assert!(orders.iter().all(|order| sorted(order) == Vec::from_iter(0..8)));
    assert!(orders.iter().any(|order| order != &orders[0]), "who is first depends on the seed");
}

/// Answers a request late, by how much depends on the request; does each once.
async fn slow_counter(connection: SimulatorConnection, done: Arc<Mutex<BTreeMap<u8, u32>>>) {
    while let Ok((mut send, mut recv)) = connection.accept_stream().await {
        let done = done.clone();
        tokio::spawn(async move {
            let Ok(Some(request)) = recv.read_chunk(16).await else { return };
            let number = request[0];
            sleep(MS * u32::from(number % 7) * 20).await;
            let times = {
                let mut done = done.lock().expect("no panic");
                let times = done.entry(number).or_insert(0);
                *times += 1;
                *times
            };
            let _ = send.write_all(vec![number, times as u8].into()).await;
            let _ = send.finish();
        });
    }
}

#[test]
fn requests_with_timeouts_are_tried_again_and_none_is_forgotten() {
    let program = async |network: Network| {
        let server_host = network.host("server");
        let server = provider(&server_host);
        let address = server.local_addr();
        let done: Arc<Mutex<BTreeMap<u8, u32>>> = Arc::default();
        let counted = done.clone();
        let listener = serve(&server).await;
        tokio::spawn(accept_each(listener, move |link| slow_counter(link, counted.clone())));
        let client_host = network.host("client");
        let client = provider(&client_host);
        let connection = dial_surely(&client, &address).await;
        let request = async |number: u8| {
            let (mut send, mut recv) = connection.open_stream().await.ok()?;
            send.write_all(vec![number].into()).await.ok()?;
            send.finish().ok()?;
            let answer = recv.read_chunk(16).await.ok()??;
            (answer[0] == number).then_some(answer[1])
        };
        let mut retries = 0;
        let mut cut = None;
        for number in 0..40u8 {
            if number == 20 {
                cut = Some(network.fault("blip").partition([&server_host], [&client_host]));
            }
            // A request takes up to 140 ms, and longer if something is lost.
            while timeout(MS * 150, request(number)).await.ok().flatten().is_none() {
                retries += 1;
                cut = None;
            }
        }
        drop(cut);
        let done = done.lock().expect("no panic").clone();
        assert_eq!(done.len(), 40, "each was done");
        assert!(retries > 0, "the cut cost one try at least");
        (retries, done.values().sum::<u32>())
    };
    for (retries, done) in repeats(20, program) {
        assert!(done <= 40 + retries, "{done} done with {retries} retries");
    }
}

#[test]
fn a_quorum_of_five_answers_though_two_are_cut_off() {
    let program = async |network: Network| {
        let hosts = [0, 1, 2, 3, 4].map(|number| network.host(&format!("replica {number}")));
        let mut replicas = Vec::new();
        for host in &hosts {
            let replica = provider(host);
            tokio::spawn(accept_each(serve(&replica).await, echo));
            replicas.push(replica);
        }
        let asker_host = network.host("asker");
        let asker = provider(&asker_host);
        let _cut = network.fault("two of five").partition(&hosts[3..], [&asker_host]);
        let mut questions = JoinSet::new();
        for (number, replica) in replicas.iter().enumerate() {
            let (asker, address) = (asker.clone(), replica.local_addr());
            questions.spawn(async move {
                let connection = dial(&asker, &address).await.ok()?;
                connection.send(vec![number as u8].into()).await.ok()?;
                connection.recv().await.ok().map(|answer| answer[0])
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = questions.join_next().await {
            answers.extend(answer.expect("no panic"));
            if answers.len() == 3 {
                // The rest is dropped where it is.
                questions.shutdown().await;
            }
        }
        assert!(network.elapsed() < SECOND * 3, "nobody waited for the two");
        answers
    };
    for mut answers in repeats(30, program) {
        answers.sort_unstable();
        assert_eq!(answers, [0, 1, 2]);
    }
}
