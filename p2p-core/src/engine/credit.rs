//! How many messages may be on their way: a window of bytes between the sending program and the
//! receiving one.
//!
//! The transport has flow control too, but between transports, and in bytes of payload only. Here each
//! message costs [`OVERHEAD`] besides, so that a million empty messages are bounded as well, and what a
//! receiver takes from its transport at once always fits into its queue.
//!
//! The receiver reports what its program has taken after every quarter of the window. A sender may
//! send while at most half the window is out, whatever the message's size, so that messages larger
//! than the window pass, and unreported remains never block.

use thiserror::Error;

/// What a message costs besides its bytes: about what it takes to keep it in a queue.
pub(crate) const OVERHEAD: u64 = 64;
/// The smallest window that works; smaller ones are taken as this.
pub(crate) const MIN_WINDOW: u64 = 16 * 1024;

const fn cost(size: usize) -> u64 {
    size as u64 + OVERHEAD
}

/// The sender's side of the window.
#[derive(Debug)]
pub(crate) struct SendCredit {
    window: u64,
    sent: u64,
    taken: u64,
}

/// The peer reports what cannot be, or sends what it must not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CreditError {
    #[error("more messages were reported taken than were sent")]
    MoreThanSent,
    #[error("more was reported read than was sent")]
    ReadBeyondSent,
    #[error("more messages were sent than the receive queue of {window} bytes holds")]
    Overrun { window: u64 },
}

impl SendCredit {
    /// For a peer that announced this window.
    pub(crate) fn new(window: u64) -> Self {
        Self { window: window.max(MIN_WINDOW), sent: 0, taken: 0 }
    }

    /// Takes the credit for a message of this size, if there is enough.
    pub(crate) fn try_take(&mut self, size: usize) -> bool {
        let fits = self.fits(size);
        if fits {
            self.sent += cost(size);
        }
        fits
    }

    /// Whether there is enough for a message of this size.
    pub(crate) const fn fits(&self, size: usize) -> bool {
        let out = self.sent - self.taken;
        out <= self.window / 2 || out + cost(size) <= self.window
    }

    /// What a message of this size would have out, and the bound on it.
    pub(crate) const fn with(&self, size: usize) -> (u64, u64) {
        (self.sent - self.taken + cost(size), self.window)
    }

    /// Gives back what was taken for a message of this size, and takes what one of `used` bytes costs
    /// instead, if there is one: at most as much.
    pub(crate) fn exchange(&mut self, size: usize, used: Option<usize>) {
        self.sent -= cost(size) - used.map_or(0, cost);
    }

    /// The peer reports how much its program has taken in all.
    pub(crate) fn on_taken(&mut self, total: u64) -> Result<(), CreditError> {
        if total > self.sent {
            return Err(CreditError::MoreThanSent);
        }
        // Reports are in order; an older one would change nothing.
        self.taken = self.taken.max(total);
        Ok(())
    }
}

/// The receiver's side of the window.
#[derive(Debug)]
pub(crate) struct RecvCredit {
    window: u64,
    received: u64,
    taken: u64,
    reported: u64,
}

impl RecvCredit {
    /// With the window that was announced to the peer.
    pub(crate) fn new(window: u64) -> Self {
        Self { window: window.max(MIN_WINDOW), received: 0, taken: 0, reported: 0 }
    }

    /// A message has come.
    pub(crate) fn on_received(&mut self, size: usize) -> Result<(), CreditError> {
        let waiting = self.received - self.taken;
        if waiting > self.window / 2 && waiting + cost(size) > self.window {
            return Err(CreditError::Overrun { window: self.window });
        }
        self.received += cost(size);
        Ok(())
    }

    /// The program has taken a message.
    pub(crate) const fn on_taken(&mut self, size: usize) {
        self.taken += cost(size);
    }

    /// Whether it is time to report.
    pub(crate) const fn is_due(&self) -> bool {
        self.taken - self.reported >= self.window / 4
    }

    /// How much the program has taken.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// What to report, whether it is time or not.
    pub(crate) const fn report_now(&mut self) -> u64 {
        self.reported = self.taken;
        self.taken
    }

    /// What to report, once it is time.
    pub(crate) fn report(&mut self) -> Option<u64> {
        if !self.is_due() {
            return None;
        }
        self.reported = self.taken;
        Some(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is sent, in whatever order both programs get to run and reports arrive: the
        /// receiver never sees more than its window allows, and once the receiver has taken all,
        /// the sender may go on.
        #[test]
        fn an_honest_sender_never_overruns_and_never_starves(
            window in 0u64..100_000,
            steps in prop::collection::vec((0usize..200_000, 0u8..3), 1..300),
        ) {
            let (mut send, mut recv) = (SendCredit::new(window), RecvCredit::new(window));
            let (mut queue, mut reports) = (VecDeque::new(), VecDeque::new());
            for (size, step) in steps {
                match step {
                    0 if send.try_take(size) => {
                        prop_assert_eq!(recv.on_received(size), Ok(()));
                        queue.push_back(size);
                    }
                    1 => {
                        queue.pop_front().into_iter().for_each(|size| recv.on_taken(size));
                        reports.extend(recv.report());
                    }
                    _ => {
                        let report = reports.pop_front();
                        report.map_or(Ok(()), |total| send.on_taken(total)).expect("honest");
                    }
                }
            }
            while let Some(size) = queue.pop_front() {
                recv.on_taken(size);
                reports.extend(recv.report());
            }
            for total in reports {
                send.on_taken(total).expect("honest");
            }
            prop_assert!(send.try_take(usize::MAX >> 8));
        }
    }

    #[test]
    fn a_sender_that_ignores_the_window_is_noticed() {
        let mut recv = RecvCredit::new(MIN_WINDOW);
        let accepted = (0..1000).take_while(|_| recv.on_received(0).is_ok()).count() as u64;
        assert_eq!(accepted, MIN_WINDOW / OVERHEAD);
        assert_eq!(recv.on_received(0), Err(CreditError::Overrun { window: MIN_WINDOW }));
    }

    #[test]
    fn a_report_of_what_was_not_sent_is_noticed() {
        let mut send = SendCredit::new(MIN_WINDOW);
        assert!(send.try_take(0));
        assert_eq!(send.on_taken(OVERHEAD + 1), Err(CreditError::MoreThanSent));
    }
}
