//! How much somebody may ask: token buckets for addresses and for identities.
//!
//! A bucket holds as many tokens as its rate allows in a window, and fills at that rate. Of each only
//! the moment is kept at which it will be full (the generic cell rate algorithm, ITU-T I.371): one
//! that is full is the same as none. There are never more than [`Rates::max_buckets`]; whoever has
//! asked nothing for longest is forgotten first.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use p2p_coordinator_api::{PlayerId, Timestamp};
use p2p_core::PeerId;

/// So many in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, at once as well; at least one counts.
    pub requests: u32,
    /// In what time.
    pub window: Duration,
}

impl Rate {
    /// So many in a minute.
    pub const fn per_minute(requests: u32) -> Self {
        Self { requests, window: Duration::from_secs(60) }
    }

    fn window_micros(self) -> u64 {
        u64::try_from(self.window.as_micros()).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4)
    }

    /// How long one token takes to come.
    fn interval_micros(self) -> u64 {
        (self.window_micros() / u64::from(self.requests.max(1))).max(1)
    }
}

/// How much may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates {
    /// Whether it is looked at. Default no.
    pub enabled: bool,
    /// For tokens. Default 10 in a minute.
    pub auth: Rate,
    /// To begin signaling, and to exchange it request by request. Default 1000 in a minute.
    pub signaling: Rate,
    /// For everything else. Default 100 in a minute.
    pub others: Rate,
    /// For the bearers of keys of the role service, whatever they ask. Default 6000 in a minute.
    pub service: Rate,
    /// Wrong keys and tokens of one address; past it right ones are refused too. Default 10 in a
    /// minute.
    pub wrong: Rate,
    /// The most buckets. Default 65,536: some 16 MiB with ids as long as they may be.
    pub max_buckets: usize,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            enabled: false,
            auth: Rate::per_minute(10),
            signaling: Rate::per_minute(1000),
            others: Rate::per_minute(100),
            service: Rate::per_minute(6000),
            wrong: Rate::per_minute(10),
            max_buckets: 1 << 16,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Tokens.
    Auth,
    /// Everything else.
    Others,
    /// To begin signaling, and to exchange it.
    Signaling,
    /// With a wrong key or token.
    Wrong,
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Of an address, or of a network of IPv6 addresses that one customer has.
    Address(IpAddr),
    /// Of a key, by its name.
    Key(String),
    /// Of a peer.
    Peer(PeerId),
    /// Of a player.
    Player(PlayerId),
    /// Of all who come from nowhere: a router without a door.
    Nowhere,
}

impl Source {
    /// The source that an address is. IPv6 addresses count by their first 64 bits: a customer has so
    /// many of one such network that each could ask once.
    pub fn of(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// What is left of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many the bucket holds.
    pub limit: u32,
    /// How many it has.
    pub remaining: u32,
    /// When it is full; or, if it was empty, when there is one again.
    pub reset: Timestamp,
    /// In what time it fills.
    pub window: Duration,
}

impl Left {
    /// Whole seconds until the reset, at least one.
    pub fn wait(&self, now: Timestamp) -> u64 {
        let millis = u64::try_from(self.reset.since(now).as_millis()).unwrap_or(u64::MAX);
        millis.div_ceil(1000).max(1)
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it is full, in microseconds.
    full_at: u64,
    /// When it was used last, counted in uses.
    used: u64,
}

/// All buckets.
#[derive(Clone, Debug)]
pub struct Limiter {
    max: usize,
    buckets: BTreeMap<(Class, Source), Bucket>,
    /// Those of `buckets`, by when they were used.
    by_use: BTreeMap<u64, (Class, Source)>,
    uses: u64,
}

impl Limiter {
    /// With at most so many buckets; at least one.
    pub fn new(max_buckets: usize) -> Self {
        let (buckets, by_use) = (BTreeMap::new(), BTreeMap::new());
        Self { max: max_buckets.max(1), buckets, by_use, uses: 0 }
    }

    /// Takes a token out of a bucket, and says what is left.
    ///
    /// # Errors
    ///
    /// The same, if there is none: then nothing is taken.
    pub fn take(
        &mut self,
        now: Timestamp,
        class: Class,
        source: Source,
        rate: Rate,
    ) -> Result<Left, Left> {
        let key = (class, source);
        if let Some(bucket) = self.buckets.get_mut(&key) {
            // No bucket is emptier than empty: if the clock was set back, it is that, and fills.
            bucket.full_at = bucket.full_at.min(micros(now) + rate.window_micros());
        }
        let known = self.buckets.get(&key).copied();
        let (left, full_at) = after_one(known.map(|bucket| bucket.full_at), now, rate);
        let Some(full_at) = full_at else { return Err(left) };
        if let Some(known) = known {
            self.by_use.remove(&known.used);
        } else if self.buckets.len() >= self.max
            && let Some((_, eldest)) = self.by_use.pop_first()
        {
            self.buckets.remove(&eldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        self.buckets.insert(key, Bucket { full_at, used: self.uses });
        Ok(left)
    }

    /// Whether there is a token, which is not taken.
    ///
    /// # Errors
    ///
    /// What is left, if there is none.
    pub fn look(
        &self,
        now: Timestamp,
        class: Class,
        source: Source,
        rate: Rate,
    ) -> Result<(), Left> {
        let known = self.buckets.get(&(class, source)).map(|bucket| bucket.full_at);
        let (left, full_at) = after_one(known, now, rate);
        full_at.map(|_| ()).ok_or(left)
    }

    /// How many buckets there are.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// No moment has more than some 2^58 of them.
const fn micros(moment: Timestamp) -> u64 {
    moment.as_millis() * 1000
}

/// What one more takes, and when the bucket is full then; `None` if there is no token.
fn after_one(full_at: Option<u64>, now: Timestamp, rate: Rate) -> (Left, Option<u64>) {
    let (limit, window) = (rate.requests.max(1), rate.window);
    let (length, interval) = (rate.window_micros(), rate.interval_micros());
    let micros = micros(now);
    let full_at = full_at.unwrap_or(0).clamp(micros, micros + length);
    let after = full_at + interval;
    let at = |micros: u64| Timestamp::from_millis(micros.div_ceil(1000));
    if after > micros + length {
        let reset = at(after - length);
        return (Left { limit, remaining: 0, reset, window }, None);
    }
    let remaining = u32::try_from((micros + length - after) / interval).unwrap_or(u32::MAX);
    (Left { limit, remaining: remaining.min(limit - 1), reset: at(after), window }, Some(after))
}

#[cfg(test)]
mod tests;
