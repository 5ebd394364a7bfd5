//! Which profile a link has: its own, or that of the zones of its hosts, or the network's.
//!
//! A link is made when a connection first uses it, and holds the number of a profile. So n hosts in
//! z zones need z * z profiles at most, and nothing for a pair that never met.

use super::link::{Compiled, Link};
use super::random::{Probability, Purpose};
use super::recovery::RoundTrip;
use super::{Engine, Net, Route};
use crate::profile::LinkProfile;

/// The profile of a link of which nothing is said.
pub(super) const DEFAULT: u32 = 0;
/// The zone of a host that was put into none.
const NOWHERE: u32 = 0;

impl Engine {
    /// The zone of this name, made if there is none.
    pub(crate) fn zone(&mut self, name: &str) -> u32 {
        let zones = &mut self.net.zones;
        let known = zones.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            zones.push(name.to_owned());
            zones.len() - 1
        });
        // Counted from 1: 0 is nowhere.
        index as u32 + 1
    }

    pub(crate) fn zone_name(&self, zone: u32) -> String {
        let index = (zone as usize).checked_sub(1);
        index.and_then(|index| self.net.zones.get(index)).cloned().unwrap_or_default()
    }

    /// Puts a new host, which has no links yet, into a zone.
    pub(crate) fn put_into_zone(&mut self, host: u32, zone: u32) {
        let host = host as usize;
        if self.net.zone_of.len() <= host {
            self.net.zone_of.resize(host + 1, NOWHERE);
        }
        self.net.zone_of[host] = zone;
    }

    /// Sets what links from one zone to another are like, for packets sent from now on.
    pub(crate) fn set_zone_link(&mut self, from: u32, to: u32, profile: &LinkProfile) {
        self.net.set_zone_link(from, to, profile);
        self.refit_all();
    }
}

impl Net {
    /// The link from one host to another, made at first use.
    pub(crate) fn link(&mut self, from: u32, to: u32) -> usize {
        if let Some(&link) = self.by_hosts.get(&(from, to)) {
            return link as usize;
        }
        let profile = self.class_of(from, to);
        self.links.push(Link::new(from, to, profile));
        self.by_hosts.insert((from, to), (self.links.len() - 1) as u32);
        self.links.len() - 1
    }

    /// Sets what a link is like; `None` makes it like every other between these zones.
    pub(crate) fn set_link(&mut self, from: u32, to: u32, profile: Option<&LinkProfile>) {
        let index = self.link(from, to);
        match profile.map(Compiled::from) {
            Some(compiled) if self.links[index].own_profile => {
                self.profiles[self.links[index].profile as usize] = compiled;
            }
            Some(compiled) => {
                self.profiles.push(compiled);
                let link = &mut self.links[index];
                link.profile = (self.profiles.len() - 1) as u32;
                link.own_profile = true;
            }
            None => {
                // Its place among the profiles stays empty: this is rare.
                self.links[index].own_profile = false;
                self.links[index].profile = self.class_of(from, to);
            }
        }
    }

    /// Sets what links from one zone to another are like.
    pub(super) fn set_zone_link(&mut self, from: u32, to: u32, profile: &LinkProfile) {
        let compiled = Compiled::from(profile);
        if let Some(&known) = self.zone_links.get(&(from, to)) {
            self.profiles[known as usize] = compiled;
            return;
        }
        self.profiles.push(compiled);
        self.zone_links.insert((from, to), (self.profiles.len() - 1) as u32);
        self.classify_again();
    }

    fn class_of(&self, from: u32, to: u32) -> u32 {
        if self.zone_links.is_empty() {
            return DEFAULT;
        }
        let zone = |host: u32| self.zone_of.get(host as usize).copied().unwrap_or(NOWHERE);
        self.zone_links.get(&(zone(from), zone(to))).copied().unwrap_or(DEFAULT)
    }

    /// What a link is like of which nothing is said but what is said of its zones.
    pub(super) fn class_profile(&self, from: u32, to: u32) -> &LinkProfile {
        &self.profiles[self.class_of(from, to) as usize].source
    }

    fn classify_again(&mut self) {
        for index in 0..self.links.len() {
            if !self.links[index].own_profile {
                let [from, to] = self.links[index].places();
                self.links[index].profile = self.class_of(from, to);
            }
        }
    }

    pub(super) fn profile(&self, link: u32) -> &Compiled {
        &self.profiles[self.links[link as usize].profile as usize]
    }

    /// Whether this attempt to connect is one of those that fail.
    pub(super) fn connect_fails(&mut self, route: Route, share: Probability) -> bool {
        self.happens_on(route.link, Purpose::ConnectFailure, share)
    }

    /// The round trip over a route, as its ends estimate it.
    pub(super) fn round_trip_estimate(&self, route: Route) -> RoundTrip {
        let (way, back) = (self.profile(route.link), self.profile(route.back));
        RoundTrip {
            mean: way.mean().saturating_add(back.mean()),
            variation: way.variation().saturating_add(back.variation()),
        }
    }
}
