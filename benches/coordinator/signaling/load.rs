//! What clients do.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::rc::Rc;

use p2p_benches::{Result, percentile};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::peer::{Peer, name, say, tokens};
use crate::process::{Plan, until_the_bench_is_gone};

const PAIRS: usize = 50;
/// Messages of each pair that are on their way at once.
const IN_FLIGHT: usize = 8;
/// Messages a second by the clock: half of the goal.
const PACE: usize = 40_000;
/// The length of what is sent, as in the measurement of the service before this one.
const PAYLOAD: usize = 120;
/// How many handshakes go on at once.
const AT_ONCE: usize = 32;

fn message(to: usize, payload: &str) -> String {
    format!(r#"{{"type":"ice-candidate","to":"{}","candidate":"{payload}"}}"#, name(to))
}

/// Prints how many messages a second arrive, and how many there were with those before.
pub(crate) async fn rate(at: String, plan: Plan) -> Result<()> {
    let tokens = tokens();
    let count = Rc::new(Cell::new(0_u64));
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    let mut peers = Vec::new();
    for number in 0..2 * PAIRS {
        peers.push(Peer::connect(&at, &tokens, number).await?);
    }
    for (number, mut peer) in peers.into_iter().enumerate() {
        let count = count.clone();
        let text = message(number ^ 1, &"x".repeat(PAYLOAD));
        tasks.spawn_local_on(
            async move {
                if number % 2 == 0 {
                    (0..IN_FLIGHT).for_each(|_| peer.say(&text));
                    peer.flush().await?;
                }
                loop {
                    let answer = |heard: &str, out: &mut Vec<u8>| {
                        if heard.starts_with(r#"{"type":"ice"#) {
                            count.set(count.get() + 1);
                            say(out, &text);
                        }
                    };
                    peer.hear(answer).await?;
                }
            },
            &local,
        );
    }
    let measured = async {
        sleep(plan.warm_up).await;
        let (begun, before) = (Instant::now(), count.get());
        sleep(plan.window).await;
        (count.get() - before) as f64 / begun.elapsed().as_secs_f64()
    };
    let measured = local.run_until(async {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next() => Err(broken(ended)),
            rate = measured => Ok(rate),
        }
    });
    let rate = measured.await?;
    tell(&[rate, count.get() as f64])
}

fn broken(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> p2p_benches::Error {
    match ended {
        Ok(Ok(())) => "a peer ended".into(),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

/// Prints the median and the 99th percentile of the time from sending to arrival, in milliseconds.
pub(crate) async fn pace(at: String, plan: Plan) -> Result<()> {
    let tokens = tokens();
    let local = LocalSet::new();
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    let times = Rc::new(RefCell::new(Vec::new()));
    let begun = Instant::now();
    let from = begun + plan.warm_up;
    let mut peers = Vec::new();
    for number in 0..2 * PAIRS {
        peers.push(Peer::connect(&at, &tokens, number).await?);
    }
    for (number, mut peer) in peers.into_iter().enumerate() {
        let times = times.clone();
        tasks.spawn_local_on(
            async move {
                // Peers do not all send at the same moment.
                let every = Duration::from_secs(1) * (2 * PAIRS) as u32 / PACE as u32;
                sleep(every * number as u32 / (2 * PAIRS) as u32).await;
                let mut clock = interval(every);
                clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
                loop {
                    let arrived = |heard: &str, _: &mut Vec<u8>| {
                        let Some((_, rest)) = heard.split_once(r#""candidate":""#) else { return };
                        let sent: u64 = rest[..20].parse().unwrap_or_default();
                        let now = begun.elapsed().as_nanos() as u64;
                        if begun + Duration::from_nanos(sent) > from {
                            times.borrow_mut().push((now - sent) as f64 / 1e6);
                        }
                    };
                    tokio::select! {
                        biased;
                        due = clock.tick() => {
                            // When it was due, not when it could be sent.
                            let sent = due.duration_since(begun).as_nanos() as u64;
                            let payload = format!("{sent:020}{}", "x".repeat(PAYLOAD - 20));
                            peer.say(&message(number ^ 1, &payload));
                            peer.flush().await?;
                        }
                        heard = peer.hear(arrived) => heard?,
                    }
                }
            },
            &local,
        );
    }
    local
        .run_until(async {
            tokio::select! {
                biased;
                Some(ended) = tasks.join_next() => Err(broken(ended)),
                () = sleep(plan.warm_up + plan.window) => Ok(()),
            }
        })
        .await?;
    let times = times.borrow();
    let due = (PACE as f64 * plan.window.as_secs_f64()) as usize;
    if times.len() < due * 9 / 10 {
        return Err(format!("only {} of {due} messages arrived", times.len()).into());
    }
    let at = |percent| percentile(&times, percent).ok_or("nothing arrived");
    tell(&[at(50.0)?, at(99.0)?])
}

/// Connects peers, says so, and holds them until the bench has what it wants.
pub(crate) async fn idle(at: String, first: usize, count: usize) -> Result<()> {
    let tokens = tokens();
    let mut held = Vec::new();
    let mut dialling = JoinSet::new();
    let mut next = first;
    while held.len() < count {
        while dialling.len() < AT_ONCE && next < first + count {
            let (at, tokens, number) = (at.clone(), tokens.clone(), next);
            dialling.spawn(async move {
                let connected = Peer::connect(&at, &tokens, number);
                timeout(Duration::from_secs(20), connected).await.map_err(|_| "no answer")?
            });
            next += 1;
        }
        let Some(peer) = dialling.join_next().await else { break };
        held.push(peer??);
    }
    tell(&[held.len() as f64])?;
    until_the_bench_is_gone().await;
    Ok(())
}

fn tell(numbers: &[f64]) -> Result<()> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", numbers.join(" "))?;
    Ok(out.flush()?)
}
