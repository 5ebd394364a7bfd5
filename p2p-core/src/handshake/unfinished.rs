//! How many handshakes are unfinished, and whose: so that one peer, or whoever is at one address,
//! cannot take all the places there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Limit, P2PError};
use crate::identity::PeerId;
use crate::transport::Origin;

/// The count. It holds no more than there are places for handshakes, twice: for each where its link
/// comes from, and who it proved to be.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Mutex<BTreeMap<Whose, usize>>);

/// Whose handshake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// Somebody's from there.
    From(Origin),
    /// This peer's, which has proven to be it.
    Of(PeerId),
}

/// One of those that are counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    of: Arc<Unfinished>,
    whose: Whose,
}

impl Unfinished {
    fn state(&self) -> MutexGuard<'_, BTreeMap<Whose, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more, unless there are `max` already.
    pub(crate) fn count(self: &Arc<Self>, whose: Whose, max: usize) -> Result<Counted, P2PError> {
        let mut state = self.state();
        let count = state.entry(whose).or_default();
        if *count >= max {
            let limit = match whose {
                Whose::From(_) => Limit::HandshakesOfAddress,
                Whose::Of(_) => Limit::HandshakesOfPeer,
            };
            let actual = *count as u64 + 1;
            return Err(P2PError::LimitExceeded { limit, max: max as u64, actual });
        }
        *count += 1;
        Ok(Counted { of: self.clone(), whose })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.of.state();
        if let Some(count) = state.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                state.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn nobody_has_more_than_its_share_and_nothing_is_left_behind() {
        let unfinished = Arc::new(Unfinished::default());
        let at = |last| Whose::From(Origin::of_ip(Ipv4Addr::new(10, 0, 0, last).into()));
        let [one, other] = [1, 2].map(at);
        let held: Vec<_> = (0..3).map(|_| unfinished.count(one, 3).expect("a place")).collect();
        let error = unfinished.count(one, 3).expect_err("no more");
        let expected = "unfinished handshakes from one address: at most 3, not 4";
        assert_eq!(error.to_string(), expected);
        drop(unfinished.count(other, 3).expect("somebody else"));
        drop(held);
        assert!(unfinished.state().is_empty());
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_origin() {
        let of = |text: &str| Origin::of_ip(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
