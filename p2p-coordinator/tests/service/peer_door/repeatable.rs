//! The same seed gives the same run, in one process and in two: with a thousand requests.

use std::process::Command;
use std::time::Duration;

use p2p_coordinator::door::Limits;
use p2p_coordinator_api::{Challenge, HostProof};
use p2p_core::{PeerAddr, SecretKey};
use p2p_simulator::{LinkProfile, Outcome, Simulation};
use serde_json::{Value, json};

use super::{Door, Guest};
use crate::ask::{Answer, request};
use crate::fixture::{beat, host, with, zone};

/// Set in the process that is to print its hash and do nothing else.
const CHILD: &str = "P2P_COORDINATOR_TEST_CHILD";

const GUESTS: usize = 5;
/// Of each guest, besides those that ask for a challenge and show a proof.
const REQUESTS: usize = 198;

/// Some guests on lossy links ask for all there is, right and wrong. How many answers of each status
/// there were, and a sum over all their bytes.
fn thousand(seed: u64) -> Outcome<(Vec<(u16, usize)>, u64)> {
    let link = LinkProfile::new()
        .with_latency(Duration::from_micros(40_123))
        .with_jitter(Duration::from_micros(7_777))
        .with_loss(0.02)
        .with_bandwidth(20_000_000);
    let run = Simulation::new(seed).with_link(link).run(async |network| {
        let door = Door::open(&network, Limits::default(), seed as u8).await;
        let mut tasks = Vec::new();
        for number in 0..GUESTS {
            let guest = door.guest(&network, &format!("guest {number}")).await;
            tasks.push(tokio::spawn(visit(guest, number)));
        }
        let (mut answers, mut sum) = (Vec::new(), 0_u64);
        for task in tasks {
            answers.extend(task.await.expect("the task ends"));
        }
        assert_eq!(answers.len(), 1000);
        let mut statuses: Vec<(u16, usize)> = Vec::new();
        for answer in answers {
            for byte in answer.text.bytes() {
                sum = sum.wrapping_mul(1_099_511_628_211).wrapping_add(byte.into());
            }
            match statuses.iter_mut().find(|(status, _)| *status == answer.status) {
                Some((_, count)) => *count += 1,
                None => statuses.push((answer.status, 1)),
            }
        }
        statuses.sort_unstable();
        (statuses, sum)
    });
    run.expect("a run")
}

async fn visit(guest: Guest, number: usize) -> Vec<Answer> {
    let send = async |method: &str, path: &str, body: Option<Value>| {
        let path = format!("/api/v1{path}");
        guest.ask(request(method, &path, body.as_ref())).await.expect("an answer")
    };
    let issued = send("POST", "/hosts/challenge", None).await;
    let registered = {
        let challenge: Challenge =
            serde_json::from_value(issued.json()["challenge"].clone()).expect("a challenge");
        let key = SecretKey::from_bytes(&[number as u8 + 1; 32]);
        let (name, addr) = (format!("h{number}"), PeerAddr::new(key.peer_id()));
        let proof = HostProof::new(&key, &name.parse().expect("an id"), addr, true, challenge);
        let body = with(host(&name), "p2p", serde_json::to_value(proof).expect("JSON"));
        send("POST", "/hosts/register", Some(body)).await
    };
    let mut answers = vec![issued, registered];
    for step in 0..REQUESTS {
        let peer = SecretKey::from_bytes(&[(number * 40 + step % 40) as u8; 32]).peer_id();
        let (zone_id, player) = (format!("z{}", step / 9 % 3), format!("p{}", step % 20));
        let answer = match step % 9 {
            0 => send("POST", "/zones/", Some(with(zone(&zone_id), "max_players", json!(4)))).await,
            1..=3 => {
                let body = json!({
                    "zone_id": zone_id, "player_id": player, "peer_id": peer.to_string(),
                });
                send("POST", "/sessions/join", Some(body)).await
            }
            4 => send("POST", &format!("/hosts/h{number}/heartbeat"), Some(beat())).await,
            5 => send("GET", "/hosts/available/list", None).await,
            6 => {
                let body = json!({ "player_id": player });
                send("POST", &format!("/sessions/{}/players", step % 5), Some(body)).await
            }
            7 => send("POST", &format!("/sessions/{}/activate", step % 7), None).await,
            _ => send("POST", "/zones/", Some(json!({ "zone_id": step }))).await,
        };
        answers.push(answer);
        tokio::time::sleep(Duration::from_micros((step % 5 * 700) as u64)).await;
    }
    answers
}

#[test]
fn another_seed_gives_another_run() {
    let (first, second) = (thousand(1), thousand(2));
    assert_ne!(first.trace_hash, second.trace_hash);
    assert_ne!(first.output.1, second.output.1, "names and nonces are others, too");
    let served = first.output.0.iter().filter(|(status, _)| *status < 300);
    let served: usize = served.map(|(_, count)| count).sum();
    assert!(served > 500, "most of it is work: {:?}", first.output.0);
}

#[test]
fn two_processes_serve_a_thousand_requests_alike() {
    let run = thousand(23);
    let seen = format!("trace {} after {:?} of {:?}", run.trace_hash, run.elapsed, run.output);
    if std::env::var_os(CHILD).is_some() {
        println!("{seen}");
        return;
    }
    let name = "peer_door::repeatable::two_processes_serve_a_thousand_requests_alike";
    for _ in 0..2 {
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .expect("the child runs");
        let printed = String::from_utf8_lossy(&child.stdout);
        assert!(printed.contains(&seen), "expected {seen} in: {printed}");
    }
}
