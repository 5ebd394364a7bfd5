//! How many packets of a lane may be on their way, unread.
//!
//! A QUIC receiver holds unread stream data in pieces as small as the packets they came in, and ends
//! the connection when there are too many: noq 1.4 and quinn 0.11 at 1024 to 2048, whether or not the
//! program reads, if only the machine is busy enough. So a sender counts a packet for each write (an
//! idle transport sends each at once) and one for each further [`PACKET`] bytes, and never has more
//! than [`MAX_PACKETS`] out. The receiving engine reports how far it has read after every
//! [`REPORT_MESSAGES`] messages or [`REPORT_BYTES`] bytes: often enough that what is not reported yet
//! never blocks.
//!
//! A sender that has used up half writes no longer message by message: they collect, and go out
//! together. So small messages share packets under load, and none waits when the lane is idle.

use std::collections::VecDeque;

/// The most packets on their way.
const MAX_PACKETS: u32 = 900;
/// Bytes of a stream that fit a packet, on any path.
const PACKET: usize = 1100;
/// The most bytes that may have been written and not be reported read.
pub(crate) const MAX_KEPT: usize = MAX_PACKETS as usize * PACKET;
const REPORT_MESSAGES: u32 = 350;
const REPORT_BYTES: u64 = 128 * 1024;

/// The sender's count.
#[derive(Debug, Default)]
pub(crate) struct PacketBudget {
    written: u64,
    /// How far each write went, and what it cost.
    out: VecDeque<(u64, u32)>,
    packets: u32,
}

impl PacketBudget {
    /// For a stream whose next byte is at `offset`.
    pub(crate) fn starting_at(offset: u64) -> Self {
        Self { written: offset, ..Self::default() }
    }

    /// Where the next byte goes.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// How many bytes may be written at once; 0 when the budget is used up.
    pub(crate) const fn room(&self) -> usize {
        MAX_PACKETS.saturating_sub(self.packets) as usize * PACKET
    }

    /// What is left of [`room`](Self::room) after a write of so many bytes.
    pub(crate) const fn room_after(room: usize, written: usize) -> usize {
        room.saturating_sub(written + PACKET)
    }

    /// Whether each message may still have its own write.
    pub(crate) const fn is_ample(&self) -> bool {
        self.packets < MAX_PACKETS / 2
    }

    pub(crate) fn on_written(&mut self, bytes: usize) {
        let packets = 1 + (bytes / PACKET) as u32;
        self.written += bytes as u64;
        self.packets += packets;
        self.out.push_back((self.written, packets));
    }

    /// The peer reports how far it has read: of what this stream carries, or a former one did.
    pub(crate) fn on_read(&mut self, offset: u64) {
        while let Some(&(_, packets)) = self.out.front().filter(|(end, _)| *end <= offset) {
            self.packets -= packets;
            self.out.pop_front();
        }
    }
}

/// The receiver's count.
#[derive(Debug, Default)]
pub(crate) struct ReadMeter {
    read: u64,
    reported: u64,
    messages: u32,
}

impl ReadMeter {
    /// For a stream whose next byte is at `offset`.
    pub(crate) fn starting_at(offset: u64) -> Self {
        Self { read: offset, reported: offset, messages: 0 }
    }

    pub(crate) const fn on_bytes(&mut self, bytes: usize) {
        self.read += bytes as u64;
    }

    pub(crate) const fn on_message(&mut self) {
        self.messages += 1;
    }

    /// Whether it is time to report.
    pub(crate) const fn is_due(&self) -> bool {
        self.messages >= REPORT_MESSAGES || self.read - self.reported >= REPORT_BYTES
    }

    /// Whether there is anything to report.
    pub(crate) const fn has_news(&self) -> bool {
        self.read > self.reported
    }

    /// What to report, whether it is time or not.
    pub(crate) const fn report_now(&mut self) -> u64 {
        self.messages = 0;
        self.reported = self.read;
        self.read
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each message written by itself, a header and a payload apart, as costly as can be: the
        /// bound holds, and when all is read, what is not reported leaves room.
        #[test]
        fn the_bound_holds_and_unreported_remains_never_block(
            sizes in prop::collection::vec(0usize..100_000, 1..2000),
        ) {
            let (mut budget, mut meter) = (PacketBudget::default(), ReadMeter::default());
            for size in sizes {
                for mut part in [3, size] {
                    while part > 0 {
                        prop_assert!(budget.room() > 0, "blocked although all was read");
                        let written = part.min(budget.room());
                        budget.on_written(written);
                        prop_assert!(budget.packets <= MAX_PACKETS + 1);
                        meter.on_bytes(written);
                        part -= written;
                        if meter.is_due() {
                            budget.on_read(meter.report_now());
                        }
                    }
                }
                meter.on_message();
            }
        }
    }

    #[test]
    fn without_reports_the_budget_runs_out() {
        let mut budget = PacketBudget::default();
        let writes = (0..10_000).take_while(|_| {
            let room = budget.room() > 0;
            budget.on_written(64);
            room
        });
        assert_eq!(writes.count(), MAX_PACKETS as usize);
        budget.on_read(u64::MAX);
        assert!(budget.is_ample());
    }
}
