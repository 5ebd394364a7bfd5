//! What strangers can make a node hold: counted by its allocator, in a process of its own, so that
//! nothing of theirs is counted with it.

use std::any::Any;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use iroh::Endpoint;
use p2p_core::conformance::raw::{
    ADMITTED, AWAITED, DATAGRAM, EVERYTHING, NORMAL, PROBE, PROGRAM, RELY, Raw, STANDBY,
    STANDBY_LINK, TAKEN, Wire, Words, frame, length, marked, preamble, read,
};
use p2p_core::{
    Backoff, ConnectionConfig, ListenOptions, P2PConnection, P2PListener, P2PProvider, PeerAddr,
    ReconnectPolicy,
};
use p2p_iroh::IrohConfig;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::stranger::{self, ALPN, Stranger};
use crate::ALLOCATOR;

/// Each does all at once.
const STRANGERS: usize = 6;
/// So long without room, and a stream counts as full.
const STALL: Duration = Duration::from_millis(500);
/// No step takes nearly as long, even on a busy machine.
const STEP: Duration = Duration::from_secs(60);
const SPEECH: &str = "fire/1";
/// Of each lane of the node.
const WINDOW: usize = 256 * 1024;

/// Small, so that it can be filled; each is larger than one stranger's share of another, so that none
/// hides another's being broken.
fn config() -> IrohConfig {
    let mut connection = ConnectionConfig::default()
        .with_receive_window(WINDOW)
        .with_max_message_size(256 * 1024)
        .with_handshake_timeout(Duration::from_secs(600))
        .with_reconnect(ReconnectPolicy::Resume(Backoff::default()));
    connection.datagram_queue = 256 * 1024;
    IrohConfig::default()
        .with_bind_address((Ipv4Addr::LOCALHOST, 0).into())
        .with_stream_window(256 * 1024)
        .with_receive_window(1 << 20)
        .with_send_window(1 << 20)
        .with_connection(connection)
}

/// The same without second links.
fn without_standby() -> IrohConfig {
    let mut config = config();
    config.connection.reconnect = ReconnectPolicy::Off;
    config
}

/// The node: sends back what comes, takes neither streams nor datagrams, and answers each line with
/// what it has allocated now and had at most.
#[test]
#[ignore = "the process under attack, which the other tests start"]
fn node() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let node = config().bind().await.expect("a port on the loopback interface");
        let protocol = SPEECH.parse().expect("a name");
        let listener = node.listen(ListenOptions::new(protocol)).await.expect("listening");
        tokio::spawn(async move {
            while let Ok(connection) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(message) = connection.recv_message().await {
                        let echo = connection.send_with(message.priority, message.payload);
                        if echo.await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        let mut asked = BufReader::new(tokio::io::stdin()).lines();
        println!("\nnode {}", node.local_addr());
        while let Ok(Some(_)) = asked.next_line().await {
            println!("\nheld {} {}", ALLOCATOR.allocated(), ALLOCATOR.max_allocated());
        }
    });
}

/// A node in a process of its own. It ends with this.
struct Node {
    _process: Child,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    addr: PeerAddr,
}

impl Node {
    async fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .args(["fire::memory::node", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let ask = process.stdin.take().expect("piped");
        let mut answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        let addr = said(&mut answers, "node ").await.parse().expect("a ticket");
        Self { _process: process, ask, answers, addr }
    }

    /// What it has allocated now, and had at most, in bytes.
    async fn held(&mut self) -> (usize, usize) {
        self.ask.write_all(b"held\n").await.expect("it lives");
        let line = said(&mut self.answers, "held ").await;
        let (now, most) = line.split_once(' ').expect("two numbers");
        (now.parse().expect("a number"), most.parse().expect("a number"))
    }
}

/// The rest of the next line that begins so.
async fn said(lines: &mut Lines<BufReader<ChildStdout>>, what: &str) -> String {
    loop {
        let line = timeout(STEP, lines.next_line()).await.expect("it hangs");
        let line = line.expect("readable").expect("the node has ended");
        if let Some(rest) = line.strip_prefix(what) {
            return rest.to_owned();
        }
    }
}

/// What a control stream of the node has said.
#[derive(Default)]
struct Heard {
    /// How much its program has taken of each lane.
    taken: [AtomicU64; 4],
    /// It has let this side in.
    admitted: Notify,
    /// It awaits a second link.
    awaited: Notify,
}

/// Hears what a link's control stream says, for who counts by it is not noticed.
async fn hear(raw: &Raw<Stranger>) -> Arc<Heard> {
    let mut control = timeout(STEP, raw.wire.accept()).await.expect("it hangs").expect("a stream");
    let heard = Arc::new(Heard::default());
    let hears = heard.clone();
    tokio::spawn(async move {
        read::<Stranger>(&mut control, 1).await;
        let _hello = next_frame(&mut control).await;
        while let Some(frame) = next_frame(&mut control).await {
            match &frame[..] {
                [ADMITTED] => hears.admitted.notify_one(),
                [AWAITED] => hears.awaited.notify_one(),
                [TAKEN, total @ ..] => {
                    let Some((total, lane)) = total.split_first_chunk() else { continue };
                    let lane = usize::from(lane.first().copied().unwrap_or(0));
                    hears.taken[lane].store(u64::from_be_bytes(*total), Ordering::Relaxed);
                }
                _ => {}
            }
        }
    });
    heard
}

async fn next_frame(control: &mut <Stranger as Wire>::In) -> Option<Vec<u8>> {
    let first = read::<Stranger>(control, 1).await;
    let length = match first[..] {
        [first @ 0..0x40] => usize::from(first),
        [first] => {
            let low = read::<Stranger>(control, 1).await;
            usize::from(first & 0x3f) << 8 | usize::from(*low.first()?)
        }
        _ => return None,
    };
    Some(read::<Stranger>(control, length).await)
}

/// Writes this message, which counts as so many bytes, again and again, as often as it may.
async fn fill(
    mut out: <Stranger as Wire>::Out,
    (message, cost): (Bytes, u64),
    (heard, lane): (&Heard, usize),
) -> <Stranger as Wire>::Out {
    let (mut sent, mut since) = (0, Instant::now());
    while since.elapsed() < STALL {
        if sent + cost <= heard.taken[lane].load(Ordering::Relaxed) + WINDOW as u64 {
            if timeout(STALL, Stranger::write(&mut out, &mut message.clone())).await != Ok(true) {
                break;
            }
            sent += cost;
            since = Instant::now();
        } else {
            tokio::task::yield_now().await;
        }
    }
    out
}

/// A stranger who has filled what it could.
struct Filled {
    /// Of its link, and of the one that stands by.
    endpoints: [Endpoint; 2],
    link: Raw<Stranger>,
    standby: Raw<Stranger>,
    /// What has to be held for it to stay full.
    held: Vec<Box<dyn Any + Send>>,
}

impl Filled {
    /// Takes its leave, so that the node need not find out by itself.
    async fn leave(self) {
        let Self { endpoints, link, standby, held } = self;
        drop((held, link, standby));
        for endpoint in endpoints {
            timeout(STEP, endpoint.close()).await.expect("it hangs");
        }
    }
}

/// It takes all that is ever sent, and reads none of it.
fn words() -> Words {
    let capabilities = EVERYTHING | STANDBY_LINK;
    Words { capabilities, receive_window: 1 << 40, ..Words::new(SPEECH) }
}

async fn dial(endpoint: &Endpoint, node: &PeerAddr, words: &Words) -> Raw<Stranger> {
    let connect = endpoint.connect(stranger::addr_of(node), ALPN);
    let wire = Stranger(timeout(STEP, connect).await.expect("it hangs").expect("a connection"));
    Raw::greet(wire, &words.encode()).await.expect("it lives")
}

/// All that fills something, on one link, and on the other messages of which the end is missing: the
/// program is there to read them, and they are begun before what keeps it from reading.
async fn fill_all(node: &PeerAddr, number: usize) -> Filled {
    let endpoints = [stranger::bind().await, stranger::bind().await];
    let mut held: Vec<Box<dyn Any + Send>> = Vec::new();
    let mut raw = dial(&endpoints[0], node, &words()).await;
    let heard = hear(&raw).await;
    timeout(STEP, heard.admitted.notified()).await.expect("it hangs");
    raw.say(&frame(&[&[STANDBY], &endpoints[1].id().as_bytes()[..]].concat())).await;
    timeout(STEP, heard.awaited.notified()).await.expect("it hangs");
    // From a second endpoint, and over no relay.
    let stands_by = Words { claim: Some((1, 1, Vec::new())), stands_by: true, ..words() };
    let standby = dial(&endpoints[1], node, &stands_by).await;
    let beside = hear(&standby).await;
    timeout(STEP, beside.admitted.notified()).await.expect("it hangs");
    for lane in 0..4 {
        let message = marked(&[5; 250_000], false);
        let begun = [preamble(NORMAL + lane, 0), message[..240_000].to_vec()].concat();
        held.push(Box::new(timeout(STALL, standby.open(&begun)).await));
    }
    fill_sides(&raw, &mut held).await;
    // Each lane full of what costs most: by turns bombs, the largest messages, small ones, and those
    // that are just too large to be copied out of their packets.
    let messages: [(Bytes, u64); 4] = [
        (marked(&[length(200_000), bomb(200_000)].concat(), true).into(), 200_064),
        (marked(&vec![3; 250_000], false).into(), 250_064),
        (marked(&[6; 60], false).into(), 124),
        (marked(&[4; 1100], false).into(), 1164),
    ];
    for lane in 0..4_u8 {
        // Full lanes may leave no room for another's first bytes.
        let Ok(out) = timeout(STALL, raw.open(&preamble(NORMAL + lane, 0))).await else { break };
        let out = out.unwrap_or_else(|| panic!("it ended so: {:?}", raw.wire.end()));
        let message = messages[(usize::from(lane) + number) % 4].clone();
        held.push(Box::new(fill(out, message, (&heard, lane.into())).await));
    }
    fill_streams(&raw, &mut held).await;
    for link in [&raw, &standby] {
        assert!(link.wire.end().is_none(), "it ended so: {:?}", link.wire.end());
    }
    Filled { endpoints, link: raw, standby, held }
}

/// Fills the link that stands by as well, and has all that the node sends go over it.
async fn fill_standby(mut filled: Filled) -> Filled {
    let Filled { link, standby, held, .. } = &mut filled;
    standby.say(&frame(&[RELY, 2])).await;
    fill_sides(standby, held).await;
    fill_streams(standby, held).await;
    for link in [link, standby] {
        assert!(link.wire.end().is_none(), "it ended so: {:?}", link.wire.end());
    }
    filled
}

/// Fills what is beside lanes and programs' streams.
async fn fill_sides(raw: &Raw<Stranger>, held: &mut Vec<Box<dyn Any + Send>>) {
    // Datagrams that nobody takes, and those on streams that never end.
    for _ in 0..2000 {
        raw.wire.datagram(Bytes::from(vec![1; 1100]));
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        let first = [vec![DATAGRAM], vec![0; 60 * 1024]].concat();
        let opened = timeout(STALL, raw.open(&first)).await;
        held.push(Box::new(opened));
    }
    // Questions whose answers nobody reads.
    for number in 0..200 {
        let _ = timeout(STALL, raw.open(&preamble(PROBE, number))).await;
    }
}

/// Opens streams for the program, as many as there may be, each as full as may be.
async fn fill_streams(raw: &Raw<Stranger>, held: &mut Vec<Box<dyn Any + Send>>) {
    while let Ok(Some((mut out, from))) = timeout(STALL, raw.wire.open_both()).await {
        let content = Bytes::from([vec![PROGRAM], vec![5; 100_000]].concat());
        let wrote = timeout(STALL, Stranger::write(&mut out, &mut content.clone())).await;
        held.push(Box::new((out, from)));
        if wrote.is_err() {
            break;
        }
    }
}

/// What strangers come to when all do their worst at the same time.
async fn all_at_once<F>(attacks: impl Iterator<Item = F>) -> Vec<Filled>
where
    F: Future<Output = Filled> + Send + 'static,
{
    let tasks: Vec<_> = attacks.map(tokio::spawn).collect();
    let mut held = Vec::new();
    for task in tasks {
        held.push(timeout(STEP, task).await.expect("it hangs").expect("no panic"));
    }
    held
}

/// A block of LZ4 that unpacks to so many bytes: see the suite's.
fn bomb(size: usize) -> Vec<u8> {
    let rest = size - 1 - 19 - 5;
    let mut block = vec![0x1f, 0, 1, 0];
    block.extend(vec![0xff; rest / 255]);
    block.push((rest % 255) as u8);
    block.extend([0x50, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn what_strangers_make_a_node_hold_stays_below_the_stated_bound_and_is_given_back() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let mut node = Node::start().await;
        // What is made once: the first connection's share is no peer's.
        let first = timeout(STEP, fill_all(&node.addr, 0)).await.expect("it hangs");
        timeout(STEP, fill_standby(first)).await.expect("it hangs").leave().await;
        let (before, _) = node.held().await;
        let addr = node.addr.clone();
        let filling = (0..STRANGERS).map(move |number| {
            let addr = addr.clone();
            async move { fill_all(&addr, number).await }
        });
        let held = all_at_once(filling).await;
        let (one_link, _) = node.held().await;
        let held = all_at_once(held.into_iter().map(fill_standby)).await;
        let (full, most) = node.held().await;
        let bound = config().max_memory_per_connection();
        let each = (most.max(full) - before) / STRANGERS;
        println!("each made it hold {} KiB of {} KiB", each / 1024, bound / 1024);
        assert!(each <= bound, "{each} bytes for each of {STRANGERS}, at most {bound} are stated");
        // They did fill it: each alone has more open than a quarter of what QUIC takes of it.
        assert!(each >= 256 * 1024, "{each} bytes each: they were held off by something else");
        // What a second link adds is stated too, and is no less than half of what QUIC takes on one.
        let standby = full.saturating_sub(one_link) / STRANGERS;
        let stated = bound - without_standby().max_memory_per_connection();
        println!("of these, {} KiB of {} KiB by a second link", standby / 1024, stated / 1024);
        assert!(standby <= stated, "{standby} bytes for each standby, at most {stated} are stated");
        assert!(standby >= 512 * 1024, "{standby} bytes each: the standbys were not filled");
        for filled in held {
            filled.leave().await;
        }
        let given_back = async {
            while node.held().await.0 > before + (full - before) / 8 {
                tokio::task::yield_now().await;
            }
        };
        timeout(STEP, given_back).await.expect("most of it is given back when they have gone");
    });
    runtime.shutdown_background();
}
