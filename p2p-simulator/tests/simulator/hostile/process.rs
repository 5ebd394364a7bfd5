//! What runs on a host: it connects or listens, sends in all lanes, receives, and disturbs.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use p2p_core::{
    ConnectOptions, ConnectReady, ListenOptions, P2PConnection, P2PListener, P2PProvider, PeerAddr,
    Priority, RecvStream, SendStream, StreamError,
};
use p2p_simulator::{Host, SimulatorConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::PATIENCE;
use super::ledger::{Ledger, Tag};
use super::plan::{Dice, Habits, Leave, Plan, Side};
use crate::protocol;

/// What frames and the message that crosses a bound may add to it.
const SLACK: usize = 128 * 1024;

pub(super) struct Process {
    host: Host,
    side: Side,
    dice: Dice,
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
}

type Result<T = (), E = String> = std::result::Result<T, E>;

impl Process {
    pub(super) fn new(
        host: Host,
        side: Side,
        life: u32,
        plan: Arc<Plan>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let dice = Dice::new(plan.seed ^ u64::from(life * 2 + side as u32 + 1));
        Self { host, side, dice, plan, ledger }
    }

    fn habits(&self) -> &Habits {
        &self.plan.sides[self.side as usize]
    }

    pub(super) async fn run(self, bob: PeerAddr) -> Result {
        let provider = self.host.provider(self.habits().config.clone());
        let provider = provider.map_err(|error| error.to_string())?;
        match self.side {
            Side::Alice => {
                while !self.ledger.is_stopped() {
                    let options =
                        ConnectOptions::new(protocol()).with_ready(ConnectReady::Admitted);
                    match provider.connect(&bob, options).await {
                        Ok(connection) => {
                            self.talk(connection).await?;
                            break;
                        }
                        Err(_) => sleep(Duration::from_millis(500)).await,
                    }
                }
            }
            Side::Bob => {
                let listener = provider.listen(ListenOptions::new(protocol())).await;
                let listener = listener.map_err(|error| error.to_string())?;
                let mut talks = JoinSet::new();
                let this = Arc::new(self);
                while !this.ledger.is_stopped() {
                    if let Ok(Ok(connection)) =
                        timeout(Duration::from_millis(300), listener.accept()).await
                    {
                        let this = this.clone();
                        talks.spawn(async move { this.talk(connection).await });
                    }
                }
                while let Some(talk) = talks.join_next().await {
                    talk.map_err(|error| error.to_string())??;
                }
            }
        }
        timeout(PATIENCE, provider.shutdown()).await.map_err(|_| "the shutdown hangs".to_owned())
    }

    /// One connection from its beginning to its end.
    async fn talk(&self, connection: SimulatorConnection) -> Result {
        let tag = self.ledger.add(self.side);
        let habits = self.habits();
        let mut dice = self.dice.clone();
        if let Some((Leave::Drop, after)) = habits.leaves {
            let parts = self.parts(tag, &connection, &mut dice);
            let cut = timeout(after, parts).await;
            if cut.is_err() {
                self.ledger.gone(tag);
                return Ok(());
            }
            cut.unwrap_or(Ok(()))?;
        } else {
            self.parts(tag, &connection, &mut dice).await?;
        }
        self.ledger.on_end(tag, connection.state());
        if connection.is_connected() || !connection.state().is_over() {
            return Err(format!("all parts have ended, and it is {}", connection.state()));
        }
        Ok(())
    }

    /// Until the connection has ended.
    async fn parts(&self, tag: Tag, connection: &SimulatorConnection, dice: &mut Dice) -> Result {
        let mut parts = JoinSet::new();
        for priority in Priority::ALL {
            let sender = Sender {
                tag,
                priority,
                connection: connection.clone(),
                dice: Dice::new(dice.draw()),
                habits: self.habits().clone(),
                ledger: self.ledger.clone(),
                messages: self.plan.messages,
            };
            parts.spawn(sender.run());
        }
        let (receive, ledger) = (self.habits().pause[1], self.ledger.clone());
        parts.spawn(receive_all(tag, connection.clone(), receive, ledger));
        let (habits, dice) = (self.habits().clone(), Dice::new(dice.draw()));
        let ledger = self.ledger.clone();
        let closes = self.side == Side::Alice;
        parts.spawn(disturb(tag, connection.clone(), dice, habits, ledger, closes));
        if self.habits().opens_streams {
            parts.spawn(streams(connection.clone(), self.side));
        } else {
            parts.spawn(accept_streams(connection.clone()));
        }
        while let Some(part) = parts.join_next().await {
            part.map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}

struct Sender {
    tag: Tag,
    priority: Priority,
    connection: SimulatorConnection,
    dice: Dice,
    habits: Habits,
    ledger: Arc<Ledger>,
    messages: u64,
}

impl Sender {
    async fn run(mut self) -> Result {
        let lane = self.priority.index();
        let mut number = 0;
        while number < self.messages {
            let message = self.message(number);
            let patience = if self.habits.impatient { self.dice.millis(1, 300) } else { PATIENCE };
            match timeout(patience, self.connection.send_with(self.priority, message)).await {
                Ok(Ok(())) => {
                    self.ledger.on_sent(self.tag, lane);
                    number += 1;
                }
                Ok(Err(_)) => {
                    // Nobody sends on a connection that is over, and only on one.
                    if self.connection.state().is_over() || self.habits.leaves.is_some() {
                        return Ok(());
                    }
                    return Err(format!("send failed while it is {}", self.connection.state()));
                }
                // Given up before it was taken: once more.
                Err(_) if self.habits.impatient => {}
                Err(_) => return Err(format!("a send of {} hangs", self.priority)),
            }
            let depth = self.connection.queue_depth(self.priority);
            // What was written on a former link waits once more: at most the packets on their way.
            let bound = self.habits.config.send_queue + SLACK + 1100 * 900;
            if depth > bound {
                return Err(format!("{depth} bytes wait"));
            }
            if self.habits.pause[0] > 0 {
                sleep(Duration::from_millis(self.dice.below(self.habits.pause[0] + 1))).await;
            }
        }
        Ok(())
    }

    /// Who, which lane and which number, then bytes that shrink or do not.
    fn message(&mut self, number: u64) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u32(self.tag);
        out.put_u8(self.priority.index() as u8);
        out.put_u64(number);
        let size = self.dice.below(self.habits.max_size) as usize;
        let shrinks = self.dice.one_in(2);
        for _ in 0..size / 8 {
            out.put_u64(if shrinks { number } else { self.dice.draw() });
        }
        out.freeze()
    }
}

async fn receive_all(
    tag: Tag,
    connection: SimulatorConnection,
    pause: u64,
    ledger: Arc<Ledger>,
) -> Result {
    loop {
        let message = match connection.recv_message().await {
            Ok(message) => message,
            Err(_) => return Ok(()),
        };
        let Some((head, rest)) = message.payload.split_first_chunk::<13>() else {
            return Err("a message without a head".to_owned());
        };
        let from = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let number = head[5..].iter().fold(0, |value: u64, &byte| value << 8 | u64::from(byte));
        if usize::from(head[4]) != message.priority.index() || rest.len() % 8 != 0 {
            return Err(format!("a message of lane {} came as {}", head[4], message.priority));
        }
        ledger.on_received(tag, message.priority.index(), from, number)?;
        if pause > 0 {
            sleep(Duration::from_millis(pause / 4)).await;
        }
    }
}

/// Renews links, leaves, and closes when everything is over.
async fn disturb(
    tag: Tag,
    connection: SimulatorConnection,
    mut dice: Dice,
    habits: Habits,
    ledger: Arc<Ledger>,
    closes: bool,
) -> Result {
    let close = async |code| {
        let closing = timeout(Duration::from_secs(60), connection.close(code, "enough")).await;
        closing.map_err(|_| "a close hangs".to_owned())
    };
    let mut waited = Duration::ZERO;
    while !connection.state().is_over() {
        let step = dice.millis(20, 400);
        let _ = timeout(step, connection.closed()).await;
        waited += step;
        if habits.renews && dice.one_in(8) && waited < Duration::from_secs(20) {
            connection.renew_link();
        }
        if habits.leaves.is_some_and(|(how, after)| how == Leave::Close && waited >= after) {
            ledger.gone(tag);
            return close(9).await;
        }
        if closes && ledger.is_stopped() {
            return close(7).await;
        }
    }
    Ok(())
}

/// Opens streams as long as there is a connection: each comes whole, or fails as its link does.
async fn streams(connection: SimulatorConnection, side: Side) -> Result {
    let (opened, accepted) =
        tokio::join!(open_streams(&connection, side), accept_streams(connection.clone()));
    opened.and(accepted)
}

async fn open_streams(connection: &SimulatorConnection, side: Side) -> Result {
    while let Ok((mut send, _recv)) = connection.open_stream().await {
        let content = Bytes::from(vec![side as u8; 3000]);
        let written = async {
            send.write_all(content).await?;
            send.finish()?;
            send.finished().await
        };
        match written.await {
            Ok(()) | Err(StreamError::LinkReplaced | StreamError::Closed(_)) => {}
            // The reader's link went before the writer's.
            Err(StreamError::Stopped { .. }) => {}
            Err(error) => return Err(format!("a stream failed: {error}")),
        }
        sleep(Duration::from_millis(700)).await;
    }
    Ok(())
}

async fn accept_streams(connection: SimulatorConnection) -> Result {
    while let Ok((_send, mut recv)) = connection.accept_stream().await {
        match recv.read_to_end(10_000).await {
            Ok(content) if content.len() == 3000 => {}
            Ok(content) => return Err(format!("a stream of {} bytes", content.len())),
            Err(_) => {}
        }
    }
    Ok(())
}
