//! How streams end: by their last byte, or by somebody giving up.

use bytes::Bytes;

use super::step::{Pair, Stream, both, done, ensure, ensure_matches, fails, pattern, step};
use super::streams::{reads, write_and_finish};
use super::{Failure, Outcome, World};
use crate::error::{Limit, P2PError, StreamError};
use crate::provider::P2PProvider;
use crate::stream::{RecvStream, SendStream};

/// Codes of all lengths: QUIC's integers have 62 bits.
const CODES: [u64; 4] = [0, 5, 1 << 32, (1 << 62) - 1];

/// Reads on until something other than data comes. It must be an error.
async fn read_error(stream: &mut impl RecvStream) -> Outcome<StreamError> {
    loop {
        match done("to read", stream.read_chunk(64 * 1024)).await? {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Failure::new("the stream looks complete, and is not")),
            Err(error) => return Ok(error),
        }
    }
}

/// Writes on until it fails.
pub(super) async fn write_error(stream: &mut impl SendStream) -> Outcome<StreamError> {
    loop {
        let mut piece = pattern(1, 16 * 1024);
        match done("to write", stream.write(&mut piece)).await? {
            // What stops the writer is on its way.
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => return Ok(error),
        }
    }
}

pub(super) async fn finished_means_that_the_peer_has_it<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let data = pattern(1, 10_000);
    let mut first = pair.stream().await?;
    write_and_finish(&mut first.send, data.clone()).await?;
    // Nobody reads: what counts is the peer's transport.
    step("the peer to have it", first.send.finished()).await?;
    step("the peer to have it still", first.send.finished()).await?;
    drop(first.send);
    reads(&mut first.arrive, &data).await?;
    // Finished and dropped at once, it is as complete.
    let mut second = pair.stream().await?;
    write_and_finish(&mut second.send, data.clone()).await?;
    drop(second.send);
    reads(&mut second.arrive, &data).await?;
    // Nothing at all can be complete, too.
    let mut third = pair.stream().await?;
    step("to finish", async { third.send.finish() }).await?;
    step("the peer to have nothing", third.send.finished()).await?;
    reads(&mut third.arrive, &Bytes::new()).await?;
    // Whoever is gone does not have it.
    let mut last = pair.stream().await?;
    done("to vanish", world.vanish(pair.bob.local_peer_id())).await?;
    write_and_finish(&mut last.send, data).await?;
    let error = fails("a peer that is gone to have it", last.send.finished()).await?;
    ensure!(matches!(error, StreamError::Closed(_)), "finished says {error:?}");
    Ok(())
}

pub(super) async fn nothing_follows_a_finish<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv: _recv, reply: mut other, mut arrive } = pair.stream().await?;
    let data = pattern(1, 1000);
    write_and_finish(&mut send, data.clone()).await?;
    let error = fails("to finish twice", async { send.finish() }).await?;
    ensure!(error == StreamError::Finished, "finish says {error:?}");
    let error = fails("to write after it", send.write_all("more".into())).await?;
    ensure!(error == StreamError::Finished, "write says {error:?}");
    // Giving up comes too late.
    send.reset(1);
    reads(&mut arrive, &data).await?;
    // After a reset as well.
    other.reset(1);
    other.reset(2);
    let error = fails("to finish after a reset", async { other.finish() }).await?;
    ensure!(error == StreamError::Finished, "finish says {error:?}");
    let error = fails("to write after a reset", other.write_all("more".into())).await?;
    ensure!(error == StreamError::Finished, "write says {error:?}");
    Ok(())
}

pub(super) async fn a_reset_carries_its_code<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for code in CODES {
        let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
        step("to write", send.write_all(pattern(1, 1000))).await?;
        send.reset(code);
        let error = read_error(&mut arrive).await?;
        ensure!(error == StreamError::Reset { code }, "reset with {code}, read says {error:?}");
        // The other direction goes on.
        let answer = pattern(2, 1000);
        write_and_finish(&mut reply, answer.clone()).await?;
        reads(&mut recv, &answer).await?;
    }
    pair.talk("after the resets").await
}

pub(super) async fn a_stop_carries_its_code<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for code in CODES {
        let Stream { mut send, mut recv, mut reply, mut arrive } = pair.stream().await?;
        arrive.stop(code);
        let error = write_error(&mut send).await?;
        ensure!(
            error == StreamError::Stopped { code },
            "stopped with {code}, write says {error:?}"
        );
        let _ = send.finish();
        let error = fails("the peer to have it", send.finished()).await?;
        ensure!(error == StreamError::Stopped { code }, "finished says {error:?}");
        let answer = pattern(2, 1000);
        write_and_finish(&mut reply, answer.clone()).await?;
        reads(&mut recv, &answer).await?;
    }
    pair.talk("after the stops").await
}

pub(super) async fn a_dropped_writer_never_looks_complete<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    for size in [0, 1, 100_000] {
        let Stream { mut send, mut recv, reply, mut arrive } = pair.stream().await?;
        step("to write", send.write_all(pattern(1, size))).await?;
        drop(send);
        let error = read_error(&mut arrive).await?;
        ensure!(matches!(error, StreamError::Reset { .. }), "after {size} bytes: {error:?}");
        drop(reply);
        let error = read_error(&mut recv).await?;
        ensure!(matches!(error, StreamError::Reset { .. }), "the acceptor's writer: {error:?}");
    }
    pair.talk("after the drops").await
}

pub(super) async fn a_dropped_reader_stops_the_writer<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let Stream { mut send, recv, mut reply, arrive } = pair.stream().await?;
    drop(arrive);
    let error = write_error(&mut send).await?;
    ensure!(matches!(error, StreamError::Stopped { .. }), "the opener's write says {error:?}");
    drop(recv);
    let error = write_error(&mut reply).await?;
    ensure!(matches!(error, StreamError::Stopped { .. }), "the acceptor's write says {error:?}");
    pair.talk("after the drops").await
}

pub(super) async fn reading_to_the_end_keeps_to_its_limit<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut stream = pair.stream().await?;
    write_and_finish(&mut stream.send, pattern(1, 5000)).await?;
    let exact = step("to read to the end", stream.arrive.read_to_end(5000)).await?;
    ensure!(exact == pattern(1, 5000), "{} other bytes were read", exact.len());

    let mut stream = pair.stream().await?;
    let reading = async { fails("to read too much", stream.arrive.read_to_end(5000)).await };
    let (stopped, error) = both(write_error(&mut stream.send), reading).await?;
    let (limit, max, actual) = ensure_matches!(
        error,
        P2PError::LimitExceeded { limit, max, actual } => (limit, max, actual),
        "the error"
    );
    ensure!(
        limit == Limit::StreamContent && max == 5000 && actual > 5000,
        "the error says {limit:?}, {max}, {actual}"
    );
    ensure!(matches!(stopped, StreamError::Stopped { .. }), "the writer was told {stopped:?}");
    Ok(())
}

pub(super) async fn one_stream_ends_and_the_rest_goes_on<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let mut kept = pair.stream().await?;
    step("to write", kept.send.write_all(pattern(1, 1000))).await?;
    for how in 0..4 {
        let mut other = pair.stream().await?;
        step("to write", other.send.write_all(pattern(2, 1000))).await?;
        match how {
            0 => other.send.reset(1),
            1 => other.arrive.stop(1),
            2 => drop(other),
            _ => write_and_finish(&mut other.send, pattern(3, 10)).await?,
        }
        pair.talk("after a stream's end").await?;
    }
    write_and_finish(&mut kept.send, pattern(1, 1000)).await?;
    let twice = Bytes::from([pattern(1, 1000), pattern(1, 1000)].concat());
    reads(&mut kept.arrive, &twice).await
}
