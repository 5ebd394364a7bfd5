//! The same work as ours, on madsim's `Endpoint`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use madsim::Config;
use madsim::net::Endpoint;
use madsim::runtime::{NodeHandle, Runtime};
use madsim::time::sleep;
use rustix::time::{ClockId, clock_gettime};

const SECOND: Duration = Duration::from_secs(1);
const TAG: u64 = 1;

pub fn run(metric: &str, window: Duration) -> Option<f64> {
    Some(match metric {
        "sim_pair_64_per_s" => messages(window, 64),
        "sim_pair_1k_per_s" => messages(window, 1024),
        "sim_pingpong_per_s" => ping_pong(window),
        "sim_hosts_100_virtual_s" => hosts(window, 100),
        "sim_hosts_1000_virtual_s" => hosts(window, 1000),
        "sim_hosts_10000_virtual_s" => hosts(window, 10_000),
        "sim_seeds_per_s" => seeds(window),
        _ => return None,
    })
}

const NEAR: Range<Duration> = Duration::from_millis(1)..Duration::from_nanos(1_000_001);
const FAR: Range<Duration> = Duration::from_millis(40)..Duration::from_millis(60);

fn runtime(seed: u64, latency: Range<Duration>) -> Runtime {
    let mut config = Config::default();
    config.net.send_latency = latency;
    Runtime::with_seed_and_config(seed, config)
}

/// `send_to` waits a millisecond or so by itself: with a latency of 1 ms few are in flight.
fn messages(window: Duration, size: usize) -> f64 {
    let runtime = runtime(1, NEAR);
    let (from, to) = (node(&runtime, 0), node(&runtime, 1));
    runtime.block_on(async move {
        let receiving = to.spawn(async move {
            let endpoint = bind(1).await;
            let mut meter = Meter::start(window, 1024.0);
            let mut buffer = vec![0; size];
            loop {
                endpoint.recv_from(TAG, &mut buffer).await.expect("the network is up");
                if let Some(rate) = meter.add(1.0) {
                    return rate;
                }
            }
        });
        from.spawn(async move {
            let endpoint = bind(0).await;
            let message = vec![7; size];
            loop {
                endpoint.send_to(address(1), TAG, &message).await.expect("the network is up");
            }
        });
        receiving.await.expect("the receiver returns the rate")
    })
}

fn ping_pong(window: Duration) -> f64 {
    let runtime = runtime(1, NEAR);
    let (from, to) = (node(&runtime, 0), node(&runtime, 1));
    runtime.block_on(async move {
        to.spawn(async move {
            let endpoint = bind(1).await;
            let mut buffer = [0; 64];
            loop {
                let (_, from) = endpoint.recv_from(TAG, &mut buffer).await.expect("it is up");
                endpoint.send_to(from, TAG, &buffer).await.expect("the network is up");
            }
        });
        let pinging = from.spawn(async move {
            let endpoint = bind(0).await;
            // Until the other is there.
            sleep(SECOND).await;
            let mut meter = Meter::start(window, 1024.0);
            let mut buffer = [7; 64];
            loop {
                endpoint.send_to(address(1), TAG, &buffer).await.expect("the network is up");
                endpoint.recv_from(TAG, &mut buffer).await.expect("the network is up");
                if let Some(rate) = meter.add(2.0) {
                    return rate;
                }
            }
        });
        pinging.await.expect("it returns the rate")
    })
}

fn hosts(window: Duration, hosts: u32) -> f64 {
    let runtime = runtime(1, FAR);
    let nodes: Vec<_> = (0..hosts).map(|number| node(&runtime, number)).collect();
    runtime.block_on(async move {
        for (number, node) in (0..).zip(&nodes) {
            node.spawn(talk(number, hosts, u64::MAX));
        }
        // Past the first second of all.
        sleep(2 * SECOND).await;
        let mut meter = Meter::start(window, 1.0);
        loop {
            sleep(SECOND).await;
            if let Some(rate) = meter.add(1.0) {
                return rate;
            }
        }
    })
}

/// Sends so many messages, one a second, to the host that is `hosts / 3` places on.
async fn talk(number: u32, hosts: u32, messages: u64) {
    let endpoint = bind(number).await;
    let receiving = endpoint.clone();
    madsim::task::spawn(async move {
        let mut buffer = [0; 64];
        while receiving.recv_from(TAG, &mut buffer).await.is_ok() {}
    });
    // A step that has no factor in common with a thousand, so that all thousandths occur.
    sleep(Duration::from_millis(u64::from(number) * 617 % 1000)).await;
    let peer = address((number + hosts / 3) % hosts);
    for _ in 0..messages {
        endpoint.send_to(peer, TAG, &[7; 64]).await.expect("the network is up");
        sleep(SECOND).await;
    }
}

fn seeds(window: Duration) -> f64 {
    let mut meter = Meter::start(window, 1.0);
    for seed in 0.. {
        let runtime = runtime(seed, FAR);
        let nodes: Vec<_> = (0..10).map(|number| node(&runtime, number)).collect();
        runtime.block_on(async move {
            let talks: Vec<_> =
                (0..).zip(&nodes).map(|(number, node)| node.spawn(talk(number, 10, 60))).collect();
            for talk in talks {
                talk.await.expect("it sends all");
            }
        });
        if let Some(rate) = meter.add(1.0) {
            return rate;
        }
    }
    unreachable!("the window ends")
}

fn node(runtime: &Runtime, number: u32) -> NodeHandle {
    runtime.create_node().ip(ip(number)).build()
}

async fn bind(number: u32) -> Endpoint {
    Endpoint::bind(address(number)).await.expect("the address is free")
}

fn address(number: u32) -> SocketAddr {
    (ip(number), 1).into()
}

fn ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + number).into()
}

/// Counts until the window is over. The first tenth is a warm-up.
struct Meter {
    window: Duration,
    look_every: f64,
    until_look: f64,
    counted: f64,
    began: Duration,
    warmed_up: Option<(Duration, f64)>,
}

impl Meter {
    fn start(window: Duration, look_every: f64) -> Self {
        let began = cpu_time();
        Self { window, look_every, until_look: look_every, counted: 0.0, began, warmed_up: None }
    }

    fn add(&mut self, count: f64) -> Option<f64> {
        self.counted += count;
        self.until_look -= count;
        if self.until_look > 0.0 {
            return None;
        }
        self.until_look = self.look_every;
        let now = cpu_time();
        match self.warmed_up {
            None if now - self.began >= self.window / 10 => {
                self.warmed_up = Some((now, self.counted));
                None
            }
            Some((since, before)) if now - since >= self.window => {
                Some((self.counted - before) / (now - since).as_secs_f64())
            }
            _ => None,
        }
    }
}

/// By a system call of its own: madsim replaces the C library's clocks.
fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}
