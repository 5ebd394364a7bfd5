//! What a seed stands for.

use std::time::Duration;

use p2p_core::{Backoff, ConnectionConfig, FailoverPolicy, ReconnectPolicy};
use p2p_simulator::{Bandwidth, Fault, FaultProfile, FaultSchedule, Host, LinkProfile};

/// How long faults begin.
const FAULTS: Duration = Duration::from_secs(25);

/// Numbers drawn one after another, by splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Alice,
    Bob,
}

impl Side {
    fn draw(dice: &mut Dice) -> Self {
        if dice.one_in(2) { Self::Alice } else { Self::Bob }
    }
}

/// A crash, from which the host comes back as a new process.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    pub(super) who: Side,
    pub(super) at: Duration,
    pub(super) lasting: Duration,
}

/// How somebody ends a connection before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Close,
    Drop,
}

/// What one side does.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub(super) config: ConnectionConfig,
    /// How long it waits between two of its messages, and two of the peer's.
    pub(super) pause: [u64; 2],
    pub(super) max_size: u64,
    pub(super) renews: bool,
    pub(super) opens_streams: bool,
    /// Whether its senders give up waiting now and then, and send again.
    pub(super) impatient: bool,
    pub(super) leaves: Option<(Leave, Duration)>,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) link: LinkProfile,
    /// The way over a relay, if there is one.
    pub(super) relayed: Option<LinkProfile>,
    pub(super) faults: FaultSchedule,
    pub(super) crash: Option<Crash>,
    /// In each lane, from each side.
    pub(super) messages: u64,
    pub(super) sides: [Habits; 2],
}

impl Plan {
    /// Follows from the host's identity, which follows from the seed.
    pub(super) fn draw(host: &Host) -> Self {
        let bytes = host.secret_key().to_bytes();
        let seed = bytes.iter().fold(0, |seed: u64, &byte| seed.rotate_left(7) ^ u64::from(byte));
        let dice = &mut Dice::new(seed);
        let mut link = LinkProfile::new()
            .with_latency(dice.millis(1, 80))
            .with_jitter(dice.millis(0, 20))
            .with_loss(dice.below(6) as f64 / 100.0);
        if dice.one_in(2) {
            link = link.with_bandwidth(1_000_000 << dice.below(5));
            link = link.with_queue(dice.millis(20, 400));
        }
        let crash = dice.one_in(4).then(|| Crash {
            who: Side::draw(dice),
            at: dice.millis(100, 15_000),
            lasting: dice.millis(10, 10_000),
        });
        let messages = 1 + dice.below(20);
        let mut faults = faults(dice);
        let mut sides = [habits(dice), habits(dice)];
        let relayed = dice.one_in(2).then(|| {
            faults = direct_faults(dice, std::mem::take(&mut faults));
            for (side, who) in sides.iter_mut().zip([Side::Alice, Side::Bob]) {
                let failover = match (dice.one_in(2), who) {
                    (true, _) => FailoverPolicy::STANDBY,
                    // Who dials must look after itself: a stream may hang for ever on a link whose path
                    // was given up in the dark, and the transport does not say so.
                    (false, Side::Alice) => FailoverPolicy::REDIAL,
                    (false, Side::Bob) => continue,
                };
                side.config = side.config.clone().with_failover(failover);
            }
            let latency = dice.millis(1, 120);
            LinkProfile::new().with_latency(latency).with_loss(dice.below(6) as f64 / 100.0)
        });
        Self { seed, link, relayed, faults, crash, messages, sides }
    }
}

fn faults(dice: &mut Dice) -> FaultSchedule {
    let profile = match dice.below(4) {
        0 => FaultProfile::Calm,
        1 => FaultProfile::Lossy,
        _ => FaultProfile::Hostile,
    };
    let mut faults = FaultSchedule::generate(dice.draw(), profile, &["alice", "bob"], FAULTS);
    // Crashes end processes here, of which this knows nothing.
    faults.faults.retain(|planned| !matches!(planned.fault, Fault::Crash { .. }));
    if dice.one_in(4) {
        let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
        let limit = Bandwidth::BitsPerSecond(100_000 << dice.below(4));
        let (at, lasting) = (dice.millis(100, 5000), dice.millis(1000, 15_000));
        faults = faults.with("collapse", at, lasting, Fault::Bandwidth { a, b, limit });
    }
    faults
}

/// And some that only direct ways know.
fn direct_faults(dice: &mut Dice, mut faults: FaultSchedule) -> FaultSchedule {
    for number in 0..dice.below(5) {
        let (at, lasting) = (dice.millis(100, 20_000), dice.millis(50, 20_000));
        if dice.one_in(2) {
            let host = if dice.one_in(2) { "alice" } else { "bob" }.to_owned();
            faults = faults.with(&format!("rebind {number}"), at, lasting, Fault::Rebind { host });
        } else {
            let (a, b) = (vec!["alice".to_owned()], vec!["bob".to_owned()]);
            faults = faults.with(&format!("cut {number}"), at, lasting, Fault::UdpCut { a, b });
        }
    }
    faults
}

fn habits(dice: &mut Dice) -> Habits {
    let backoff = Backoff::default()
        .with_first(dice.millis(10, 200))
        .with_max(dice.millis(500, 5000))
        .with_attempt(dice.millis(1000, 4000))
        .with_give_up(Duration::from_secs(120));
    let mut config = ConnectionConfig::default()
        .with_reconnect(ReconnectPolicy::Resume(backoff))
        .with_send_queue(1 << dice.below(17))
        .with_receive_window(1 << (14 + dice.below(7)))
        .with_idle_timeout(dice.millis(3000, 30_000));
    if dice.one_in(2) {
        config = config.with_failover(FailoverPolicy::REDIAL);
    }
    if dice.one_in(2) {
        config = config.with_compress_from(dice.below(2000) as usize);
    }
    let pause = |dice: &mut Dice| if dice.one_in(2) { 1 + dice.below(500) } else { 0 };
    let leaves = dice.one_in(6).then(|| {
        (if dice.one_in(2) { Leave::Close } else { Leave::Drop }, dice.millis(10, 20_000))
    });
    Habits {
        config,
        pause: [pause(dice), pause(dice)],
        max_size: 16 << dice.below(12),
        renews: dice.one_in(3),
        opens_streams: dice.one_in(3),
        impatient: dice.one_in(3),
        leaves,
    }
}
