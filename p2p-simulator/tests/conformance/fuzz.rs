//! Fuzz target: hellos, claims, lanes and control frames as steps, in any sequence, on any number of
//! links of one stranger. Whatever it does, the node lives, its honest peer is not disturbed, and a
//! link that the node ends is ended with a reason of the engine's own.
//!
//! `cargo bolero test -p p2p-simulator conformance::fuzz::handshake` searches with libFuzzer.

use std::time::Duration;

use bolero::TypeGenerator;
use bytes::Bytes;
use p2p_core::CloseCause;
use p2p_core::conformance::malice::{Hostile, Siege};
use p2p_core::conformance::raw::{
    BULK, DATAGRAM, NORMAL, PROBE, PROGRAM, READ, Raw, TAKEN, Wire, Words, count, frame, marked,
    preamble,
};
use p2p_core::conformance::{Failure, Fixture, Outcome};
use p2p_core::transport::LinkClosed;
use p2p_simulator::{SimLink, Simulation};

use super::super::{Hosts, Simulated};

/// How many sequences in `cargo test`, besides the corpus.
const SEQUENCES: usize = 150;

#[derive(Clone, Debug, TypeGenerator)]
enum Step {
    /// Another link, with these words first.
    Dial {
        claim: Option<Claim>,
        old: bool,
        capabilities: u8,
        window: u16,
    },
    /// Another link, with any bytes first.
    DialWith(Vec<u8>),
    /// A stream whose first bytes make sense.
    Open {
        kind: Kind,
        number: u8,
    },
    /// A stream whose first bytes need not.
    OpenWith(Vec<u8>),
    /// A frame on the last stream that was opened.
    Frame {
        payload: Vec<u8>,
        packed: bool,
    },
    /// A message of this size on it.
    Message {
        size: u16,
    },
    /// Any bytes on it.
    Write(Vec<u8>),
    Finish,
    Reset,
    /// A control frame that makes sense.
    Count {
        taken: bool,
        total: u16,
        lane: u8,
    },
    /// One that need not.
    Say(Vec<u8>),
    /// Any bytes on the control stream.
    Mumble(Vec<u8>),
    Datagram(Vec<u8>),
    /// A stream of the node's is refused.
    Stop,
    Wait {
        millis: u8,
    },
    /// The oldest link is dropped.
    Leave,
}

#[derive(Clone, Debug, TypeGenerator)]
struct Claim {
    number: bool,
    attempt: u8,
    standing: Vec<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Kind {
    Bulk,
    Control,
    Datagram,
    Normal,
    Probe,
    Program,
}

impl Kind {
    fn first_bytes(self, number: u8) -> Vec<u8> {
        match self {
            Self::Bulk => preamble(BULK, number.into()),
            Self::Control => vec![0],
            Self::Datagram => vec![DATAGRAM],
            Self::Normal => preamble(NORMAL, number.into()),
            Self::Probe => preamble(PROBE, number.into()),
            Self::Program => vec![PROGRAM],
        }
    }
}

fn hello(claim: Option<&Claim>, old: bool, capabilities: u8, window: u16) -> Vec<u8> {
    let mut words = if old { Words::old("conformance/1") } else { Words::new("conformance/1") };
    words.capabilities &= u64::from(capabilities);
    words.receive_window = u64::from(window) << 4;
    if let (Some(claim), false) = (claim, old) {
        let standing = claim.standing.iter().map(|&(end, taken)| (end.into(), taken.into()));
        words.claim =
            Some((u64::from(claim.number), claim.attempt.into(), standing.take(6).collect()));
    }
    words.encode()
}

/// The stranger's links, and the last stream that it opened.
struct Stranger<'a> {
    hosts: &'a Hosts,
    siege: &'a Siege<'a, Hosts>,
    links: Vec<Raw<SimLink>>,
    stream: Option<<SimLink as Wire>::Out>,
}

impl Stranger<'_> {
    async fn dial(&mut self, first: &[u8]) -> Outcome {
        let wire = self.hosts.dial(0, self.siege.node()).await?;
        self.links.extend(Raw::greet(wire, first).await);
        if self.links.len() > 8 {
            self.leave()?;
        }
        Ok(())
    }

    async fn open(&mut self, first: &[u8]) {
        if let Some(raw) = self.links.last() {
            self.stream = raw.open(first).await;
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) {
        if let Some(stream) = &mut self.stream {
            <SimLink as Wire>::write(stream, &mut Bytes::from(bytes)).await;
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        if let Some(raw) = self.links.last_mut() {
            raw.say(bytes).await;
        }
    }

    /// The oldest link goes; if the node has ended it before, then with a reason.
    fn leave(&mut self) -> Outcome {
        if self.links.is_empty() {
            return Ok(());
        }
        match self.links.remove(0).wire.end() {
            None => Ok(()),
            Some(LinkClosed::Peer { code, message }) => match CloseCause::from_wire(code) {
                CloseCause::Application(_) | CloseCause::Dropped | CloseCause::Transport => {
                    Err(Failure::new(format!("closed with code {code}: {message}")))
                }
                _ => Ok(()),
            },
            Some(other) => Err(Failure::new(format!("it ended so: {other}"))),
        }
    }

    async fn take(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Dial { claim, old, capabilities, window } => {
                self.dial(&hello(claim.as_ref(), *old, *capabilities, *window)).await?;
            }
            Step::DialWith(bytes) => self.dial(bytes).await?,
            Step::Open { kind, number } => self.open(&kind.first_bytes(*number)).await,
            Step::OpenWith(bytes) => self.open(bytes).await,
            Step::Frame { payload, packed } => self.write(marked(payload, *packed)).await,
            Step::Message { size } => self.write(marked(&vec![7; (*size).into()], false)).await,
            Step::Write(bytes) => self.write(bytes.clone()).await,
            Step::Finish => self.stream.iter_mut().for_each(<SimLink as Wire>::finish),
            Step::Reset => self.stream.iter_mut().for_each(<SimLink as Wire>::reset),
            Step::Count { taken, total, lane } => {
                let kind = if *taken { TAKEN } else { READ };
                self.say(&count(kind, (*total).into(), NORMAL + lane % 5)).await;
            }
            Step::Say(bytes) => self.say(&frame(bytes)).await,
            Step::Mumble(bytes) => self.say(bytes).await,
            Step::Datagram(bytes) => {
                if let Some(raw) = self.links.last() {
                    raw.wire.datagram(bytes.clone().into());
                }
            }
            Step::Stop => {
                if let Some(raw) = self.links.last() {
                    let next = tokio::time::timeout(Duration::from_millis(5), raw.wire.accept());
                    next.await.ok().flatten().iter_mut().for_each(<SimLink as Wire>::stop);
                }
            }
            Step::Wait { millis } => {
                tokio::time::sleep(Duration::from_millis((*millis).into())).await;
            }
            Step::Leave => self.leave()?,
        }
        Ok(())
    }
}

async fn play(hosts: Hosts, steps: Vec<Step>) -> Outcome {
    let siege = Siege::lay(&hosts).await?;
    let mut stranger = Stranger { hosts: &hosts, siege: &siege, links: Vec::new(), stream: None };
    stranger.dial(&hello(None, false, u8::MAX, u16::MAX)).await?;
    for step in &steps {
        // What finds no room is given up.
        let taken = tokio::time::timeout(Duration::from_secs(1), stranger.take(step)).await;
        taken.unwrap_or(Ok(()))?;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    while !stranger.links.is_empty() {
        stranger.leave()?;
    }
    drop(stranger);
    siege.withstood().await
}

#[test]
fn handshake() {
    bolero::check!(name = "handshake")
        .with_type::<Vec<Step>>()
        .with_iterations(SEQUENCES)
        .for_each(|steps| {
            let steps: Vec<_> = steps.iter().take(60).cloned().collect();
            let outcome = Simulated(Simulation::new(3)).run(|hosts| play(hosts, steps));
            outcome.expect("the node withstands it");
        });
}
