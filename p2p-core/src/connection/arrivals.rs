//! Streams that the peer's engine opens: each goes where its first bytes say.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};

use super::Core;
use super::pump::PumpError;
use crate::engine::StreamKind;
use crate::engine::recv_lane::LaneError;
use crate::engine::standby::Way;
use crate::priority::Priority;
use crate::protocol::Capabilities;
use crate::stream::RecvStream;
use crate::transport::Link;

/// How many streams may be there of which nothing has come yet.
pub(crate) const MAX_UNKNOWN: usize = 16;
/// How much of a stream is read at once.
pub(crate) const READ_UP_TO: usize = 64 * 1024;

/// Sorts what the peer opens, until the link has ended and everything that had arrived is sorted.
pub(super) async fn sort<L: Link>(core: &Core<L>, link: &L, way: Way) -> PumpError {
    let mut unknown: Vec<Unknown<L::RecvStream>> = Vec::new();
    let mut open = true;
    while open || !unknown.is_empty() {
        let next = {
            let mut accepting = pin!(link.accept_uni());
            poll_fn(|cx| {
                for (index, stream) in unknown.iter_mut().enumerate() {
                    if let Poll::Ready(kind) = stream.poll_kind(cx, core.peer.version) {
                        return Poll::Ready(Next::Known(index, kind));
                    }
                }
                if !open {
                    // What is not there now will not come.
                    return Poll::Ready(Next::Closed);
                }
                if unknown.len() == MAX_UNKNOWN {
                    return Poll::Pending;
                }
                accepting.as_mut().poll(cx).map(|accepted| match accepted {
                    Ok(stream) => Next::Accepted(stream),
                    Err(_) => Next::Closed,
                })
            })
            .await
        };
        match next {
            Next::Accepted(stream) => unknown.push(Unknown { stream, read: BytesMut::new() }),
            Next::Closed if open => open = false,
            Next::Closed => break,
            Next::Known(index, kind) => {
                let Unknown { mut stream, read } = unknown.remove(index);
                if unknown.is_empty() {
                    // Usually for good.
                    unknown.shrink_to_fit();
                }
                match kind {
                    Some((StreamKind::Lane(lane), offset)) => {
                        let lanes = core.peer.capabilities.contains(Capabilities::LANES);
                        if lane != Priority::Normal && !lanes {
                            return LaneError::NotAgreed { lane }.into();
                        }
                        if let Err(error) = core.inbox.add(way, lane, offset, stream, read.freeze())
                        {
                            return error.into();
                        }
                    }
                    Some((kind @ (StreamKind::Probe | StreamKind::ProbeAnswer), number)) => {
                        core.watch.on_stream(way, kind, number);
                        if kind == StreamKind::Probe {
                            // What it does not know yet, it hears on this occasion.
                            core.inbox.report_at_once();
                        }
                    }
                    Some((StreamKind::Datagram, _)) => {
                        if !core.datagram_streams.add(stream, &read) {
                            core.datagrams.drop_one();
                        }
                    }
                    Some((StreamKind::Control, _)) => {
                        return PumpError::Violation("a second control stream".into());
                    }
                    Some((StreamKind::Program, _)) => {
                        let what = "a program's stream in one direction";
                        return PumpError::Violation(what.into());
                    }
                    // A kind of a later version, or a stream that ended before it said what it is.
                    None => stream.stop(0),
                }
            }
        }
    }
    if way == Way::Main {
        core.inbox.complete();
    }
    PumpError::Closed
}

enum Next<R> {
    Accepted(R),
    Closed,
    Known(usize, Option<(StreamKind, u64)>),
}

/// A stream that has not said yet what it is.
struct Unknown<R> {
    stream: R,
    read: BytesMut,
}

impl<R: RecvStream> Unknown<R> {
    /// The stream's kind, and its number: where it begins if it carries a lane. What follows stays in
    /// `read`.
    fn poll_kind(&mut self, cx: &mut Context<'_>, version: u16) -> Poll<Option<(StreamKind, u64)>> {
        loop {
            if let Some(&byte) = self.read.first() {
                let kind = StreamKind::from_byte(byte);
                let numbered = matches!(
                    kind,
                    Some(StreamKind::Lane(_) | StreamKind::Probe | StreamKind::ProbeAnswer)
                );
                if version < 2 || !numbered {
                    self.read.advance(1);
                    // Version 1 counts this byte as the lane's first.
                    return Poll::Ready(kind.map(|kind| (kind, 1)));
                }
                if let Some((preamble, _)) = self.read.split_first_chunk::<9>() {
                    let offset = u64::from_be_bytes(offset_of(preamble));
                    self.read.advance(9);
                    return Poll::Ready(kind.map(|kind| (kind, offset)));
                }
            }
            match self.stream.poll_read_chunk(cx, READ_UP_TO) {
                Poll::Ready(Ok(Some(chunk))) => self.take(chunk),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        if self.read.is_empty() {
            self.read = BytesMut::from(chunk);
        } else {
            self.read.extend_from_slice(&chunk);
        }
    }
}

const fn offset_of(preamble: &[u8; 9]) -> [u8; 8] {
    let [_, a, b, c, d, e, f, g, h] = *preamble;
    [a, b, c, d, e, f, g, h]
}
