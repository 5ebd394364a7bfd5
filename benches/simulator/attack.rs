//! What honest traffic costs a node that strangers attack.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use p2p_benches::{Result, cpu_time, median};
use p2p_core::transport::{Link, Transport};
use p2p_core::{
    ConnectOptions, ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider,
    PeerAddr, ProtocolName, SendStream,
};
use p2p_simulator::{Network, Simulation, SimulatorP2P};
use tokio::time::{Instant, sleep};

use crate::meter::Plan;
use crate::pair::YEAR;

/// Of the honest peer's messages that are on their way, and as many echoes.
const IN_FLIGHT: usize = 64;
/// Each has an address of its own, and dials this often.
const STRANGERS: usize = 4;
const EVERY: Duration = Duration::from_millis(1);
/// One dial of so many says nothing: so few that there is always a place for the others.
const SILENT: u64 = 50;
/// How long the node lets those wait who say nothing.
const PATIENCE: Duration = Duration::from_secs(2);
const REPEATS: usize = 5;

/// Who is there besides the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guests {
    Honest,
    Strangers,
    Both,
}

/// What a span of virtual time came to.
struct Spent {
    cpu: f64,
    messages: f64,
    dials: f64,
}

/// What a message costs beside an attack, less the attack itself, in relation to what it costs alone;
/// and CPU microseconds for a stranger's dial, its own part and the node's.
pub(crate) fn cost(plan: Plan) -> Result<Vec<f64>> {
    let span = Duration::from_secs(if plan.quick { 2 } else { 10 });
    let (mut costs, mut dials) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let [alone, attack, both] = [
            spend(Guests::Honest, span)?,
            spend(Guests::Strangers, span)?,
            spend(Guests::Both, span)?,
        ];
        // The strangers come as often with an honest peer there as without.
        let beside = (both.cpu - attack.cpu) / both.messages;
        costs.push(beside / (alone.cpu / alone.messages));
        dials.push(attack.cpu / attack.dials * 1e6);
    }
    let of = |samples: &[f64]| median(samples).ok_or("no sample");
    Ok(vec![of(&costs)?, of(&dials)?])
}

fn spend(guests: Guests, span: Duration) -> Result<Spent> {
    let run = Simulation::new(1).with_time_limit(YEAR).run(async move |network| {
        let config = ConnectionConfig::default().with_handshake_timeout(PATIENCE);
        let node = network.host("node").provider(config.clone())?;
        let listener = node.listen(ListenOptions::new(protocol()?)).await?;
        let addr = node.local_addr();
        let serving = tokio::spawn(serve(listener));
        let honest = network.host("honest").provider(config)?;
        let connection = honest.connect(&addr, ConnectOptions::new(protocol()?)).await?;
        let attacking = match guests {
            Guests::Honest => Vec::new(),
            Guests::Strangers | Guests::Both => attack(&network, &addr)?,
        };
        // Until those who wait are as many as they get.
        sleep(2 * PATIENCE).await;
        let (began, until) = (cpu_time(), Instant::now() + span);
        let mut messages = 0;
        if guests == Guests::Strangers {
            sleep(span).await;
        } else {
            while Instant::now() < until {
                for _ in 0..IN_FLIGHT {
                    connection.send(Bytes::from_static(&[7; 64])).await?;
                }
                for _ in 0..IN_FLIGHT {
                    connection.recv().await?;
                }
                messages += 2 * IN_FLIGHT;
            }
        }
        let cpu = (cpu_time() - began).as_secs_f64();
        serving.abort();
        attacking.iter().for_each(tokio::task::JoinHandle::abort);
        let dials = span.as_secs_f64() / EVERY.as_secs_f64() * attacking.len() as f64;
        Ok(Spent { cpu, messages: messages as f64, dials })
    })?;
    run.output
}

fn protocol() -> Result<ProtocolName> {
    Ok("bench/1".parse()?)
}

/// Sends back whatever comes.
async fn serve(listener: <SimulatorP2P as P2PProvider>::Listener) {
    while let Ok(connection) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(message) = connection.recv().await {
                if connection.send(message).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Lets strangers dial for ever: most say what is no hello, and some nothing.
fn attack(network: &Network, node: &PeerAddr) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let attack = |number: usize| {
        let host = network.host(&format!("stranger {number}"));
        let transport = Arc::new(host.transport(&ConnectionConfig::default())?);
        let node = node.clone();
        Ok(tokio::spawn(async move {
            for dial in 0_u64.. {
                let (transport, node) = (transport.clone(), node.clone());
                tokio::spawn(async move {
                    let Ok(link) = transport.dial(&node).await else { return };
                    let Ok(mut stream) = link.open_uni().await else { return };
                    if dial % SILENT != 0 {
                        let _ = stream.write_all(Bytes::from_static(GARBAGE)).await;
                    }
                    link.closed().await;
                });
                sleep(EVERY).await;
            }
        }))
    };
    (0..STRANGERS).map(attack).collect()
}

/// A control stream with a frame that no hello is.
const GARBAGE: &[u8] = &[0x00, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff];
