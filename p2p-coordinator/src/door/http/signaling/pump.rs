//! Moves what is said on a WebSocket: from the connection to the line, and from its outbox back.
//!
//! Between messages it holds no buffer: what is read is copied from the stack, and what is written is
//! given back when it is out.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use p2p_coordinator_api::websocket::{
    Decoder, GOING_AWAY, Message, NORMAL, Opcode, Role, Violation, encode, encode_close,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::domain::signaling::Limits;
use crate::door::Closing;
use crate::service::signaling::{Line, Taken};
use crate::store::Store;

/// How long the other side has to say good-bye.
const PARTING: Duration = Duration::from_secs(1);

/// How much is written at once, if there is so much.
const BATCH: usize = 64 << 10;

/// How much is read at once.
const READ: usize = 8 << 10;

/// Until the connection ends, from either side or because the door closes.
pub(super) async fn pump<Io, S>(mut io: Io, line: Line<S>, limits: Limits, closing: Closing)
where
    Io: AsyncRead + AsyncWrite + Unpin,
    S: Store,
{
    let end = tokio::select! {
        biased;
        end = converse(&mut io, &line, &limits) => end,
        () = closing.closed() => End::Close(GOING_AWAY, "The coordinator closes"),
    };
    // From here on the peer is elsewhere.
    drop(line);
    let mut out = Vec::new();
    match end {
        End::Gone => return,
        End::Violation(violation) => {
            if let Violation::TooLarge { .. } = violation {
                encode(&mut out, Opcode::Text, &complaint(&violation.to_string()), None);
            }
            encode_close(&mut out, violation.close_code(), &violation.to_string(), None);
        }
        End::Close(code, reason) => encode_close(&mut out, code, reason, None),
        End::Answered(code) => {
            encode_close(&mut out, code, "", None);
            let _ = timeout(PARTING, write(&mut io, &mut out)).await;
            let _ = timeout(PARTING, io.shutdown()).await;
            return;
        }
    }
    part(&mut io, out).await;
}

/// Tells somebody who is not let in why.
pub(super) async fn send_off<Io>(io: &mut Io, what: &str, code: u16, reason: &str)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    encode(&mut out, Opcode::Text, &complaint(what), None);
    encode_close(&mut out, code, reason, None);
    part(io, out).await;
}

fn complaint(what: &str) -> Vec<u8> {
    serde_json::json!({ "type": "error", "message": what }).to_string().into()
}

/// Writes the last words, and waits a moment for the other side's: to close on who is still sending
/// can take the words away before they are read.
async fn part<Io: AsyncRead + AsyncWrite + Unpin>(io: &mut Io, mut out: Vec<u8>) {
    let parting = async {
        if write(io, &mut out).await.is_err() || io.shutdown().await.is_err() {
            return;
        }
        while let Ok(1..) = poll_fn(|cx| read(io, &mut |_| (), cx)).await {}
    };
    let _ = timeout(PARTING, parting).await;
}

/// How a conversation ends.
enum End {
    /// The other side has said so, with this code.
    Answered(u16),
    /// We say so.
    Close(u16, &'static str),
    /// The connection is broken.
    Gone,
    /// The other side has broken the rules.
    Violation(Violation),
}

/// What happens next.
struct Next {
    /// So many bytes have come.
    incoming: Option<io::Result<usize>>,
    /// It is time to look whether the other side lives.
    due: bool,
}

async fn converse<Io, S>(io: &mut Io, line: &Line<S>, limits: &Limits) -> End
where
    Io: AsyncRead + AsyncWrite + Unpin,
    S: Store,
{
    let mut decoder = Decoder::new(Role::Client, limits.message_bytes);
    let mut out = Vec::new();
    let mut heard = Instant::now();
    let mut alarm = pin!(sleep_until(heard + limits.ping));
    loop {
        let next = poll_fn(|cx| next(io, line, &mut decoder, alarm.as_mut(), cx)).await;
        match next.incoming {
            None => {}
            Some(Ok(1..)) => {
                heard = Instant::now();
                if let Some(end) = listen(&mut decoder, line, &mut out).await {
                    // What was sent before is answered before.
                    let _ = flush(io, line, &mut out).await;
                    return end;
                }
            }
            Some(Ok(0) | Err(_)) => return End::Gone,
        }
        if next.due {
            let now = Instant::now();
            if now >= heard + limits.idle {
                return End::Close(GOING_AWAY, "Nothing was heard for too long");
            }
            if now >= heard + limits.ping {
                encode(&mut out, Opcode::Ping, &[], None);
                alarm.as_mut().reset((now + limits.ping).min(heard + limits.idle));
            } else {
                alarm.as_mut().reset(heard + limits.ping);
            }
        }
        match flush(io, line, &mut out).await {
            Ok(None) => {}
            Ok(Some((code, reason))) => return End::Close(code, reason),
            Err(_) => return End::Gone,
        }
    }
}

fn next<Io, S>(
    io: &mut Io,
    line: &Line<S>,
    decoder: &mut Decoder,
    alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Next>
where
    Io: AsyncRead + Unpin,
    S: Store,
{
    // All are asked each time, so that none has to wait for the others to have nothing.
    let incoming = match read(io, &mut |bytes| decoder.feed(bytes), cx) {
        Poll::Ready(read) => Some(read),
        Poll::Pending => None,
    };
    let outgoing = line.outbox().poll_ready(cx).is_ready();
    let due = alarm.poll(cx).is_ready();
    match incoming.is_some() || outgoing || due {
        true => Poll::Ready(Next { incoming, due }),
        false => Poll::Pending,
    }
}

/// Reads once, by way of the stack.
fn read<Io: AsyncRead + Unpin>(
    io: &mut Io,
    take: &mut impl FnMut(&[u8]),
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::uninit() }; READ];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
    take(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

/// Hears what has come as a whole.
async fn listen<S: Store>(decoder: &mut Decoder, line: &Line<S>, out: &mut Vec<u8>) -> Option<End> {
    loop {
        match decoder.decode() {
            Ok(None) => return None,
            Ok(Some(Message::Text(text))) => line.say(text).await,
            Ok(Some(Message::Binary(_))) => line.say_bytes(),
            Ok(Some(Message::Ping(payload))) => {
                // Who sends pings and reads no pongs is not to fill our memory.
                if out.len() < BATCH {
                    encode(out, Opcode::Pong, payload, None);
                }
            }
            Ok(Some(Message::Pong(_))) => {}
            Ok(Some(Message::Close(said))) => {
                return Some(End::Answered(said.map_or(NORMAL, |(code, _)| code)));
            }
            Err(violation) => return Some(End::Violation(violation)),
        }
    }
}

/// Writes all there is; with what the connection is to be closed, if it is.
async fn flush<Io, S>(
    io: &mut Io,
    line: &Line<S>,
    out: &mut Vec<u8>,
) -> io::Result<Option<(u16, &'static str)>>
where
    Io: AsyncWrite + Unpin,
    S: Store,
{
    loop {
        let mut end = None;
        while out.len() < BATCH && end.is_none() {
            match line.outbox().take() {
                Taken::Text(text) => encode(out, Opcode::Text, &text, None),
                Taken::Close(code, reason) => end = Some((code, reason)),
                Taken::Nothing => break,
            }
        }
        let is_all = out.len() < BATCH;
        if !out.is_empty() {
            write(io, out).await?;
        }
        if is_all || end.is_some() {
            return Ok(end);
        }
    }
}

async fn write<Io: AsyncWrite + Unpin>(io: &mut Io, out: &mut Vec<u8>) -> io::Result<()> {
    io.write_all(out).await?;
    io.flush().await?;
    *out = Vec::new();
    Ok(())
}
