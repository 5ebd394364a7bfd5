//! A leader is elected, cut off, and another elected: Raft's elections without its log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use p2p_core::{P2PConnection, P2PListener, P2PProvider, PeerAddr};
use p2p_simulator::{Every, Host, Network, SimulatorConnection};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{MS, SECOND, dial, provider, repeats, serve};

const NODES: u8 = 5;

/// What nodes say to each other.
#[derive(Clone, Copy, Debug)]
enum Word {
    Heartbeat { term: u8, leader: u8 },
    Vote { term: u8, voter: u8 },
    WantsVote { term: u8, candidate: u8 },
}

impl Word {
    fn encode(self) -> Vec<u8> {
        match self {
            Self::Heartbeat { term, leader } => vec![0, term, leader],
            Self::Vote { term, voter } => vec![1, term, voter],
            Self::WantsVote { term, candidate } => vec![2, term, candidate],
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match *bytes {
            [0, term, leader] => Self::Heartbeat { term, leader },
            [1, term, voter] => Self::Vote { term, voter },
            [2, term, candidate] => Self::WantsVote { term, candidate },
            _ => return None,
        })
    }
}

/// Who thinks to lead, in which term.
type Leaders = Arc<Mutex<BTreeMap<u8, Vec<u8>>>>;

/// A source of numbers that follows from the node: what a program takes instead of the system's.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Knuth's multiplier; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// One node: an actor with a mailbox, and connections that fill it.
struct Node {
    me: u8,
    mailbox: mpsc::Receiver<Word>,
    peers: Vec<mpsc::Sender<Word>>,
    leaders: Leaders,
    dice: Dice,
}

impl Node {
    fn say(&self, to: Option<u8>, word: Word) {
        for (number, peer) in (0..).zip(&self.peers) {
            if number != self.me && to.is_none_or(|to| to == number) {
                // A full lane loses the word, as a network would.
                let _ = peer.try_send(word);
            }
        }
    }

    fn patience(&mut self) -> Instant {
        Instant::now() + MS * (150 + self.dice.roll(150) as u32)
    }

    async fn run(mut self) {
        let (mut term, mut voted_in, mut votes, mut leads) = (0u8, 0u8, 0u32, false);
        let mut until = self.patience();
        loop {
            let beat = Instant::now() + MS * 40;
            let wake = if leads { beat } else { until };
            tokio::select! {
                biased;
                word = self.mailbox.recv() => {
                    let Some(word) = word else { return };
                    let (Word::Heartbeat { term: said, .. }
                    | Word::Vote { term: said, .. }
                    | Word::WantsVote { term: said, .. }) = word;
                    if said > term {
                        (term, leads, votes) = (said, false, 0);
                    }
                    match word {
                        Word::Heartbeat { term: said, leader } if said == term => {
                            assert!(leader != self.me);
                            until = self.patience();
                        }
                        Word::WantsVote { term: said, candidate }
                            if said == term && voted_in < term =>
                        {
                            voted_in = term;
                            until = self.patience();
                            self.say(Some(candidate), Word::Vote { term, voter: self.me });
                        }
                        Word::Vote { term: said, voter } if said == term && !leads => {
                            // A datagram may come twice.
                            votes |= 1 << voter;
                            if votes.count_ones() > u32::from(NODES) / 2 {
                                leads = true;
                                let mut leaders = self.leaders.lock().expect("no panic");
                                leaders.entry(term).or_default().push(self.me);
                                drop(leaders);
                                self.say(None, Word::Heartbeat { term, leader: self.me });
                            }
                        }
                        _ => {}
                    }
                }
                () = sleep_until(wake) => {
                    if leads {
                        self.say(None, Word::Heartbeat { term, leader: self.me });
                        continue;
                    }
                    term += 1;
                    (voted_in, votes) = (term, 1 << self.me);
                    until = self.patience();
                    self.say(None, Word::WantsVote { term, candidate: self.me });
                }
            }
        }
    }
}

/// Sends what is in a lane to one peer, over connections that are made anew when they break.
async fn carry(from: p2p_simulator::SimulatorP2P, to: PeerAddr, mut lane: mpsc::Receiver<Word>) {
    let mut connection: Option<SimulatorConnection> = None;
    while let Some(word) = lane.recv().await {
        if connection.as_ref().is_none_or(|connection| !connection.is_connected()) {
            connection = dial(&from, &to).await.ok();
        }
        if let Some(connection) = &connection {
            let _ = connection.send_datagram(word.encode().into());
        }
    }
}

async fn hear(listener: p2p_simulator::SimulatorListener, mailbox: mpsc::Sender<Word>) {
    while let Ok(connection) = listener.accept().await {
        let mailbox = mailbox.clone();
        tokio::spawn(async move {
            while let Ok(datagram) = connection.recv_datagram().await {
                if let Some(word) = Word::decode(&datagram) {
                    let _ = mailbox.send(word).await;
                }
            }
        });
    }
}

async fn start(network: &Network, leaders: &Leaders) -> Vec<Host> {
    let hosts: Vec<_> = (0..NODES).map(|me| network.host(&format!("node {me}"))).collect();
    let providers: Vec<_> = hosts.iter().map(provider).collect();
    for (me, own) in (0..).zip(&providers) {
        let (mailbox, words) = mpsc::channel(64);
        tokio::spawn(hear(serve(own).await, mailbox));
        let mut peers = Vec::new();
        for other in &providers {
            let (lane, words) = mpsc::channel(16);
            tokio::spawn(carry(own.clone(), other.local_addr(), words));
            peers.push(lane);
        }
        let dice = Dice(u64::from_le_bytes(
            own.local_peer_id().as_bytes()[..8].try_into().expect("8 bytes"),
        ));
        let node = Node { me, mailbox: words, peers, leaders: leaders.clone(), dice };
        tokio::spawn(node.run());
    }
    hosts
}

#[test]
fn each_term_has_one_leader_and_a_leader_that_is_cut_off_is_replaced() {
    let program = async |network: Network| {
        let leaders = Leaders::default();
        let seen = leaders.clone();
        network.invariant("one leader in a term", Every::Event, move |_| {
            let seen = seen.lock().unwrap();
            match seen.iter().find(|(_, leaders)| leaders.len() > 1) {
                Some((term, leaders)) => Err(format!("term {term} has {leaders:?}")),
                None => Ok(()),
            }
        });
        let hosts = start(&network, &leaders).await;
        let last = || {
            let leaders = leaders.lock().expect("no panic");
            leaders.last_key_value().map(|(term, leaders)| (*term, leaders[0]))
        };
        sleep(SECOND * 3).await;
        let (term, leader) = last().expect("somebody leads by now");
        let others = (0..).zip(&hosts).filter(|(number, _)| *number != leader);
        let others = others.map(|(_, host)| host);
        let cut = network.fault("leader").partition([&hosts[usize::from(leader)]], others);
        sleep(SECOND * 5).await;
        let (later, next) = last().expect("somebody leads");
        assert!(later > term && next != leader, "{next} leads in term {later}");
        cut.repair();
        sleep(SECOND * 2).await;
        leaders.lock().expect("no panic").clone()
    };
    repeats(8, program);
}
