//! New sessions find their hosts, all that wait with one look at the records.
//!
//! Who looks, looks for everybody who came while the one before was looking. Each gets the best host
//! that no other is about to take (`claims`), and learns where its players are now.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use p2p_coordinator_api::{PlayerId, ZoneId};
use tokio::sync::oneshot;

use super::claims::Claim;
use super::{Coordinator, Result};
use crate::domain::placement::{self, PlacementView, Wish};
use crate::domain::{HostView, Refusal, Row, SessionRecord, ZoneRecord};
use crate::store::{PlacementQuery, Store};

/// The most who are looked for at once: bounds how long the first waits for the last.
const AT_ONCE: usize = 64;

/// More hosts are read than are needed: one may turn out to be unfit.
const SPARE: u32 = 2;

#[derive(Debug, Default)]
pub(super) struct Openings {
    /// No more than there are requests at once.
    waiting: Mutex<Vec<Waiting>>,
    /// Whoever looks.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    zone: ZoneId,
    /// How many places are needed.
    places: u32,
    players: Vec<PlayerId>,
    reply: oneshot::Sender<std::result::Result<Opening, Refusal>>,
}

/// Where a session is to be opened.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) zone: Row<ZoneRecord>,
    pub(super) host: HostView,
    /// Held until the session is there; none if the host is one that others claim too.
    pub(super) claim: Option<Claim>,
    /// Sessions in which the players are.
    pub(super) present: BTreeMap<PlayerId, Row<SessionRecord>>,
}

impl Openings {
    fn push(&self, waiting: Waiting) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
    }

    /// Those who came first and want the same.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has gone needs nothing.
        waiting.retain(|one| !one.reply.is_closed());
        let Some(first) = waiting.first() else { return Vec::new() };
        let (zone, places) = (first.zone.clone(), first.places);
        let mut count = 0;
        let same = |one: &mut Waiting| {
            let same = one.zone == zone && one.places == places && count < AT_ONCE;
            count += usize::from(same);
            same
        };
        waiting.extract_if(.., same).collect()
    }
}

impl<S: Store> Coordinator<S> {
    /// A host for a new session, the zone, and where the players are.
    pub(super) async fn opening(&self, zone: &ZoneId, players: &[PlayerId]) -> Result<Opening> {
        let places = u32::try_from(players.len()).unwrap_or(u32::MAX).max(1);
        let openings = &self.inner.openings;
        loop {
            let (reply, mut answer) = oneshot::channel();
            openings.push(Waiting { zone: zone.clone(), places, players: players.to_vec(), reply });
            loop {
                let turn = tokio::select! {
                    biased;
                    answered = &mut answer => match answered {
                        Ok(found) => return Ok(found?),
                        // Whoever looked has gone, or failed.
                        Err(_) => break,
                    },
                    turn = openings.looking.lock() => turn,
                };
                // Not necessarily for us: others may have come before.
                self.look(openings.take()).await?;
                drop(turn);
            }
        }
    }

    pub(super) async fn sessions_of(
        &self,
        players: &[PlayerId],
    ) -> Result<BTreeMap<PlayerId, Row<SessionRecord>>> {
        match players.is_empty() {
            true => Ok(BTreeMap::new()),
            false => Ok(self.store().sessions_of(players).await?),
        }
    }

    /// Finds hosts for all of them.
    async fn look(&self, waiting: Vec<Waiting>) -> Result<()> {
        let Some(Waiting { zone, places, .. }) = waiting.first() else { return Ok(()) };
        let (places, zone, now) = (*places, zone.clone(), self.now());
        let players: Vec<PlayerId> = waiting.iter().flat_map(|one| &one.players).cloned().collect();
        let query = PlacementQuery {
            players: places,
            enter: false,
            avoid: self.inner.claims.claimed(),
            hosts: u32::try_from(waiting.len()).unwrap_or(u32::MAX).saturating_add(SPARE),
            ..PlacementQuery::new(zone.clone(), now)
        };
        let (view, present) =
            tokio::join!(self.store().placement(&query), self.sessions_of(&players));
        let (view, mut present) = (view?, present?);
        let Some(view) = view else {
            for one in waiting {
                let _ = one.reply.send(Err(Refusal::UnknownZone(zone.clone())));
            }
            return Ok(());
        };
        if let Err(closed) = view.zone.value.is_open() {
            for one in waiting {
                let _ = one.reply.send(Err(closed.clone()));
            }
            return Ok(());
        }
        let mut waiting = waiting.into_iter();
        let mut tell = |one: Waiting, view: &PlacementView, host: &HostView, claim| {
            let own = one.players.iter();
            let own = own.filter_map(|player| Some((player.clone(), present.remove(player)?)));
            let opening = Opening {
                present: own.collect(),
                zone: view.zone.clone(),
                host: host.clone(),
                claim,
            };
            // Whoever asked may have gone.
            let _ = one.reply.send(Ok(opening));
        };
        let free = placement::all_open_on(&view, query.wish(), places, now);
        for host in free {
            let Some(one) = waiting.next() else { return Ok(()) };
            tell(one, &view, host, Some(self.inner.claims.claim(host)));
        }
        let rest: Vec<_> = waiting.collect();
        if rest.is_empty() {
            return Ok(());
        }
        // Of those that others are about to take, then.
        let query = PlacementQuery { avoid: Vec::new(), ..query };
        let view = self.store().placement(&query).await?;
        let hosts = view.iter().flat_map(|view| {
            let wish = Wish { peer: false, avoid: &[] };
            placement::all_open_on(view, wish, places, now)
                .into_iter()
                .map(move |host| (view, host))
        });
        let mut hosts = hosts.cycle();
        for one in rest {
            match hosts.next() {
                Some((view, host)) => tell(one, view, host, None),
                None => {
                    let _ = one.reply.send(Err(Refusal::NoHost { zone: zone.clone() }));
                }
            }
        }
        Ok(())
    }
}
