//! What the coordinator is told once, as well as it goes.

use std::collections::VecDeque;

use p2p_coordinator_api::{Nonce, PlayerId, SessionName};
use p2p_core::P2PProvider;

use crate::client::Client;
use crate::error::RequestError;

/// One thing to tell: a guest has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) session: SessionName,
    pub(super) player: PlayerId,
    pub(super) nonce: Nonce,
}

impl Errand {
    pub(super) async fn run<P: P2PProvider>(&self, client: &Client<P>) -> Result<(), RequestError> {
        client.remove_player(&self.session, &self.player, Some(self.nonce)).await
    }
}

/// Errands that wait. They go a few at a time, so that a host whose guests all leave does not fill
/// the coordinator's streams, and a coordinator that hangs does not fill the host's memory.
#[derive(Debug, Default)]
pub(super) struct Errands {
    waiting: VecDeque<Errand>,
    running: usize,
}

const MAX_RUNNING: usize = 4;
const MAX_WAITING: usize = 1024;

impl Errands {
    /// Adds one, or returns it if too many wait: what the next heartbeat says makes up for it.
    pub(super) fn add(&mut self, errand: Errand) -> Option<Errand> {
        if self.waiting.len() >= MAX_WAITING {
            return Some(errand);
        }
        self.waiting.push_back(errand);
        None
    }

    /// The next to run.
    pub(super) fn start(&mut self) -> Option<Errand> {
        if self.running >= MAX_RUNNING {
            return None;
        }
        let errand = self.waiting.pop_front()?;
        self.running += 1;
        Some(errand)
    }

    /// One has run.
    pub(super) fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_run_and_a_bounded_number_waits() {
        let mut errands = Errands::default();
        let errand = |bits| Errand {
            session: SessionName::from_bits(bits),
            player: "ann".parse().unwrap(),
            nonce: Nonce([7; 16]),
        };
        for bits in 0..1024 {
            assert_eq!(errands.add(errand(bits)), None);
        }
        assert_eq!(errands.add(errand(9999)), Some(errand(9999)));
        let started: Vec<_> = std::iter::from_fn(|| errands.start()).collect();
        assert_eq!(started, (0..4).map(errand).collect::<Vec<_>>());
        errands.done();
        assert_eq!((errands.start(), errands.start()), (Some(errand(4)), None));
    }
}
