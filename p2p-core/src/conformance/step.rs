//! What checks are made of: bounded waiting, futures that are given up, and two peers that have met.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::task::JoinHandle;

use super::{Failure, Outcome, World};
use crate::address::PeerAddr;
use crate::config::ConnectionConfig;
use crate::identity::SecretKey;
use crate::options::{ConnectOptions, ListenOptions};
use crate::protocol::ProtocolName;
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

/// How long one step may take: long enough for a machine that is busy with other things, shorter
/// than the bound of a check, so that the step is named.
pub(super) const STEP: Duration = Duration::from_secs(20);

/// By how much a timer may be late: scheduling on a busy machine, and the probes that a transport
/// sends before it gives a peer up (RFC 9000, section 10.1, lets it wait three of them).
pub(super) const MARGIN: Duration = Duration::from_secs(3);

/// How often a future is polled before it is given up: at once, and at some later moments.
pub(super) const MOMENTS: [u32; 6] = [1, 2, 3, 5, 9, 17];

/// Fails a check, with words, unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            let words = format!($($words)+);
            return Err($crate::conformance::Failure::new(format!("{words} ({}:{})", file!(), line!())));
        }
    };
}

/// Fails a check, with words, unless the value has this shape; its parts are the macro's value.
macro_rules! ensure_matches {
    ($value:expr, $pattern:pat => $parts:expr, $what:expr) => {
        match $value {
            $pattern => $parts,
            other => {
                let (what, shape) = ($what, stringify!($pattern));
                return Err($crate::conformance::Failure::new(format!(
                    "{what}: expected {shape}, not {other:?} ({}:{})",
                    file!(),
                    line!(),
                )));
            }
        }
    };
}

pub(super) use {ensure, ensure_matches};

/// Waits for something that cannot fail.
pub(super) async fn done<T>(what: &str, future: impl Future<Output = T>) -> Outcome<T> {
    let bounded = tokio::time::timeout(STEP, future).await;
    bounded.map_err(|_| Failure::new(format!("{what}: nothing happened within {STEP:?}")))
}

/// Waits for something that must succeed.
pub(super) async fn step<T, E: Display>(
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Outcome<T> {
    done(what, future).await?.map_err(|error| Failure::new(format!("{what}: {error}")))
}

/// Waits for something that must fail.
pub(super) async fn fails<T, E>(
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Outcome<E> {
    match done(what, future).await? {
        Ok(_) => Err(Failure::new(format!("{what}: it succeeded"))),
        Err(error) => Ok(error),
    }
}

/// Both, at the same time; the first failure ends both.
pub(super) async fn both<A, B>(
    one: impl Future<Output = Outcome<A>>,
    other: impl Future<Output = Outcome<B>>,
) -> Outcome<(A, B)> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none() {
            match one.as_mut().poll(cx) {
                Poll::Ready(Ok(value)) => first = Some(value),
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => {}
            }
        }
        if second.is_none() {
            match other.as_mut().poll(cx) {
                Poll::Ready(Ok(value)) => second = Some(value),
                Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                Poll::Pending => {}
            }
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready(Ok((first, second))),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Polls a future this often and drops it, unless it was done by then. Between two polls a
/// millisecond passes, so that the network moves on.
pub(super) async fn give_up_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for poll in 1..=polls {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        if poll < polls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    None
}

/// Lets everything else go on: a talk over another connection takes so little time on a fast network
/// that a thread of the system's may not have had its turn.
pub(super) async fn let_pass() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Something that goes on beside the check; dropped, it ends.
pub(super) struct Task<T>(JoinHandle<Outcome<T>>);

/// Starts something beside the check.
pub(super) fn spawn<T: Send + 'static>(
    future: impl Future<Output = Outcome<T>> + Send + 'static,
) -> Task<T> {
    Task(tokio::spawn(future))
}

impl<T> Task<T> {
    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its end.
    pub(super) async fn end(mut self, what: &str) -> Outcome<T> {
        match done(what, &mut self.0).await? {
            Ok(outcome) => outcome.map_err(|failure| Failure::new(format!("{what}: {failure}"))),
            Err(error) => Err(Failure::new(format!("{what}: {error}"))),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// This many bytes that look like no others of another seed.
pub(super) fn pattern(seed: u64, length: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < length {
        // Xorshift (Marsaglia 2003): enough that a shifted or repeated piece does not match.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.put_u64(state);
    }
    bytes.truncate(length);
    bytes.freeze()
}

/// A message that says which of whose it is.
pub(super) fn numbered(sender: u32, number: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(8);
    bytes.put_u32(sender);
    bytes.put_u32(number);
    bytes.freeze()
}

/// What a [`numbered`] message says.
pub(super) fn number_of(message: &Bytes) -> Outcome<(u32, u32)> {
    match <[u8; 8]>::try_from(&message[..]) {
        Ok(bytes) => {
            let both = u64::from_be_bytes(bytes);
            Ok(((both >> 32) as u32, both as u32))
        }
        Err(_) => {
            Err(Failure::new(format!("{} bytes arrived that nobody had sent", message.len())))
        }
    }
}

/// A protocol's name.
pub(super) fn protocol(name: &str) -> Outcome<ProtocolName> {
    name.parse().map_err(|error| Failure::new(format!("{name:?}: {error}")))
}

/// What is spoken where it does not matter.
pub(super) fn speech() -> Outcome<ProtocolName> {
    protocol("conformance/1")
}

/// To connect and speak it.
pub(super) fn dialling() -> Outcome<ConnectOptions> {
    Ok(ConnectOptions::new(speech()?))
}

/// To listen for it.
pub(super) fn serving() -> Outcome<ListenOptions> {
    Ok(ListenOptions::new(speech()?))
}

/// A peer that exists nowhere.
pub(super) fn nobody() -> PeerAddr {
    SecretKey::from_bytes(b"a peer that has never been there").peer_id().into()
}

pub(super) type ConnectionOf<W> = <<W as World>::Provider as P2PProvider>::Connection;
pub(super) type ListenerOf<W> = <<W as World>::Provider as P2PProvider>::Listener;
pub(super) type SendStreamOf<W> = <ConnectionOf<W> as P2PConnection>::SendStream;
pub(super) type RecvStreamOf<W> = <ConnectionOf<W> as P2PConnection>::RecvStream;

/// Connects, and accepts at the other side.
pub(super) async fn meet<P: P2PProvider>(
    dialler: &P,
    listener: &P::Listener,
    options: ConnectOptions,
) -> Outcome<(P::Connection, P::Connection)> {
    let addr = listener.local_addr();
    both(step("to connect", dialler.connect(&addr, options)), step("to accept", listener.accept()))
        .await
}

/// Alice, who dialled, and Bob, who listens.
pub(super) struct Pair<W: World> {
    pub(super) alice: W::Provider,
    pub(super) bob: W::Provider,
    pub(super) listener: ListenerOf<W>,
    /// Alice's end of the connection.
    pub(super) to_bob: ConnectionOf<W>,
    /// Bob's end of the connection.
    pub(super) to_alice: ConnectionOf<W>,
}

impl<W: World> Pair<W> {
    /// Two peers with the world's timers.
    pub(super) async fn new(world: &W) -> Outcome<Self> {
        Self::with(world, world.timers(), world.timers()).await
    }

    /// Two peers with timers and bounds of their own.
    pub(super) async fn with(
        world: &W,
        alices: ConnectionConfig,
        bobs: ConnectionConfig,
    ) -> Outcome<Self> {
        let alice = done("to make a provider", world.provider(alices)).await?;
        let bob = done("to make a provider", world.provider(bobs)).await?;
        let listener = step("to listen", bob.listen(serving()?)).await?;
        let (to_bob, to_alice) = meet(&alice, &listener, dialling()?).await?;
        Ok(Self { alice, bob, listener, to_bob, to_alice })
    }

    /// Bob's next connection from Alice.
    pub(super) async fn meet_again(&self) -> Outcome<(ConnectionOf<W>, ConnectionOf<W>)> {
        meet(&self.alice, &self.listener, dialling()?).await
    }

    /// That the next message each way is the one that is sent now: the connection works, and
    /// nothing else was delivered before.
    pub(super) async fn talk(&self, when: &str) -> Outcome {
        talk(&self.to_bob, &self.to_alice, when).await
    }

    /// A stream that Alice opened, as both see it.
    pub(super) async fn stream(&self) -> Outcome<Stream<W>> {
        stream::<W>(&self.to_bob, &self.to_alice).await
    }
}

/// See [`Pair::talk`].
pub(super) async fn talk<C: P2PConnection>(one: &C, other: &C, when: &str) -> Outcome {
    for (from, to, way) in [(one, other, "there"), (other, one, "back")] {
        let text = Bytes::from(format!("{when}, {way}"));
        let (_, got) = both(
            step(&format!("to send ({text:?})"), from.send(text.clone())),
            step(&format!("to receive ({text:?})"), to.recv()),
        )
        .await?;
        ensure!(got == text, "expected the message {text:?}, not {} bytes: {got:.40?}", got.len());
    }
    Ok(())
}

/// A stream as both sides hold it.
pub(super) struct Stream<W: World> {
    /// The opener's writing half.
    pub(super) send: SendStreamOf<W>,
    /// The opener's reading half.
    pub(super) recv: RecvStreamOf<W>,
    /// The acceptor's writing half.
    pub(super) reply: SendStreamOf<W>,
    /// The acceptor's reading half.
    pub(super) arrive: RecvStreamOf<W>,
}

/// Opens a stream at one side and accepts it at the other.
pub(super) async fn stream<W: World>(
    opener: &ConnectionOf<W>,
    acceptor: &ConnectionOf<W>,
) -> Outcome<Stream<W>> {
    let ((send, recv), (reply, arrive)) = both(
        step("to open a stream", opener.open_stream()),
        step("to accept a stream", acceptor.accept_stream()),
    )
    .await?;
    Ok(Stream { send, recv, reply, arrive })
}
