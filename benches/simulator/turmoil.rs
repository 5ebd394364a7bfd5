//! turmoil: TCP between two hosts, UDP between many.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use p2p_benches::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream, UdpSocket};
use turmoil::{Builder, Sim};

use crate::hosts::Random;
use crate::meter::{Meter, Plan};
use crate::pair::YEAR;

const PORT: u16 = 1;
const TICK: Duration = Duration::from_millis(1);
/// Messages between two looks at the clock.
const LOOK_EVERY: f64 = 1024.0;

fn builder(latency: Duration) -> Builder {
    let mut builder = Builder::new();
    builder.rng_seed(1).tick_duration(TICK).simulation_duration(YEAR);
    builder.min_message_latency(latency).max_message_latency(latency);
    builder
}

const fn any() -> (IpAddr, u16) {
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)
}

/// Messages per second of CPU time. The window of a stream is its capacity: 64 segments, each of
/// one write, which the reader's reading frees.
pub(crate) fn messages(plan: Plan, size: usize) -> Result<Vec<f64>> {
    let mut sim = builder(TICK).tcp_capacity(64).build();
    let rate = Rc::new(Cell::new(None));
    sim.client("receiver", {
        let rate = rate.clone();
        async move {
            let listener = TcpListener::bind(any()).await?;
            let (mut stream, _) = listener.accept().await?;
            // A length and a message, of which the length is known here.
            let mut framed = vec![0; 4 + size];
            let mut meter = Meter::start(plan, LOOK_EVERY);
            while rate.get().is_none() {
                stream.read_exact(&mut framed).await?;
                rate.set(meter.add(1.0));
            }
            Ok(())
        }
    });
    sim.client("sender", async move {
        let mut stream = TcpStream::connect(("receiver", PORT)).await?;
        let framed = vec![7; 4 + size];
        loop {
            stream.write_all(&framed).await?;
        }
    });
    until(&mut sim, &rate)
}

/// Messages per second of CPU time, one in flight.
pub(crate) fn ping_pong(plan: Plan) -> Result<Vec<f64>> {
    let mut sim = builder(TICK).build();
    let rate = Rc::new(Cell::new(None));
    sim.client("echo", async {
        let listener = TcpListener::bind(any()).await?;
        let (mut stream, _) = listener.accept().await?;
        let mut framed = [0; 4 + 64];
        loop {
            stream.read_exact(&mut framed).await?;
            stream.write_all(&framed).await?;
        }
    });
    sim.client("pinging", {
        let rate = rate.clone();
        async move {
            let mut stream = TcpStream::connect(("echo", PORT)).await?;
            let mut framed = [7; 4 + 64];
            let mut meter = Meter::start(plan, LOOK_EVERY);
            while rate.get().is_none() {
                stream.write_all(&framed).await?;
                stream.read_exact(&mut framed).await?;
                rate.set(meter.add(2.0));
            }
            Ok(())
        }
    });
    until(&mut sim, &rate)
}

fn until(sim: &mut Sim<'_>, rate: &Cell<Option<f64>>) -> Result<Vec<f64>> {
    loop {
        sim.step().map_err(|error| error.to_string())?;
        if let Some(rate) = rate.get() {
            return Ok(vec![rate]);
        }
    }
}

/// Virtual seconds per second of CPU time.
pub(crate) fn hosts(plan: Plan, hosts: usize) -> Result<Vec<f64>> {
    let mut sim = talking(hosts, usize::MAX);
    let mut meter = Meter::start(plan, 0.0);
    loop {
        sim.step().map_err(|error| error.to_string())?;
        if let Some(rate) = meter.add(TICK.as_secs_f64()) {
            return Ok(vec![rate]);
        }
    }
}

/// Runs per second of CPU time.
pub(crate) fn seeds(plan: Plan) -> Result<Vec<f64>> {
    let mut meter = Meter::start(plan, 1.0);
    loop {
        talking(10, 60).run().map_err(|error| error.to_string())?;
        if let Some(rate) = meter.add(1.0) {
            return Ok(vec![rate]);
        }
    }
}

/// Hosts of which each sends so many messages, one a second, to another.
fn talking(hosts: usize, messages: usize) -> Sim<'static> {
    let mut sim = builder(Duration::from_millis(50)).build();
    let mut random = Random::new(1);
    for number in 0..hosts {
        let peer = format!("h{}", (number + hosts / 3) % hosts);
        let offset = Duration::from_millis(random.below(1000) as u64);
        sim.client(format!("h{number}"), async move {
            let socket = Rc::new(UdpSocket::bind(any()).await?);
            let receiving = tokio::task::spawn_local({
                let socket = socket.clone();
                async move {
                    let mut buffer = [0; 64];
                    while socket.recv_from(&mut buffer).await.is_ok() {}
                }
            });
            sleep(offset).await;
            for _ in 0..messages {
                socket.send_to(&[7; 64], (peer.as_str(), PORT)).await?;
                sleep(Duration::from_secs(1)).await;
            }
            receiving.abort();
            Ok(())
        });
    }
    sim
}
