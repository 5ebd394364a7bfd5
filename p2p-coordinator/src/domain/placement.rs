//! Which session or host a player gets.
//!
//! Sessions of the zone that have room come first, the fullest before the others, so that players
//! meet, and of equally full ones that on the better host; when there is none, the best host that meets the zone's demands opens one. What is
//! equal is decided by number, so that the same records give the same answer in whatever order a
//! store lists them.

use std::cmp::Ordering;

use p2p_coordinator_api::{HostId, SessionStatus, Timestamp, ZoneId};

use super::{HostView, Refusal, Row, SessionRecord, ZoneRecord};

/// What a placement is decided on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacementView {
    /// The zone.
    pub zone: Row<ZoneRecord>,
    /// Where the player has a place now, and on which host, if it is a live session.
    pub present: Option<SessionOnHost>,
    /// Sessions of the zone that have room, on hosts that are online and have room too; the best of
    /// them.
    pub open: Vec<SessionOnHost>,
    /// Hosts that are available to the zone, the best of them; none if a session will do.
    pub hosts: Vec<Candidate>,
}

/// A session and its host.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOnHost {
    /// The session.
    pub session: Row<SessionRecord>,
    /// Its host.
    pub host: HostView,
}

/// A host that may open a session, and the zones it serves now.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The host.
    pub host: HostView,
    /// The zones of its live sessions.
    pub served: Vec<ZoneId>,
}

/// Who is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Whether the host has to be a peer.
    pub peer: bool,
    /// Hosts not to choose.
    pub avoid: &'a [HostId],
}

/// What the player gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement<'a> {
    /// The place it has already.
    Stay(&'a SessionOnHost),
    /// A place in a session that there is.
    Enter(&'a SessionOnHost),
    /// A new session on this host.
    Open(&'a HostView),
}

/// Finds a place.
///
/// # Errors
///
/// [`Refusal::ZoneClosed`], [`Refusal::State`] if the player's session is held, or [`Refusal::NoHost`] if there is neither a session with room nor a host
/// that could open one.
pub fn place<'a>(
    view: &'a PlacementView,
    wish: Wish<'_>,
    now: Timestamp,
) -> Result<Placement<'a>, Refusal> {
    let zone = &view.zone.value;
    zone.is_open()?;
    let wanted = |host: &HostView| {
        let record = &host.row.value;
        (record.peer.is_some() || !wish.peer) && !wish.avoid.contains(&record.host_id)
    };
    if let Some(present) = &view.present {
        let here = present.session.value.zone == view.zone.id;
        let alive = present.host.row.value.is_online(now);
        if here && alive && wanted(&present.host) {
            // Who has a place here keeps it; while the session is held, nobody comes.
            match present.session.value.status {
                SessionStatus::Pending | SessionStatus::Active => {
                    return Ok(Placement::Stay(present));
                }
                status @ SessionStatus::Paused => return Err(Refusal::State { status }),
                SessionStatus::Ended | SessionStatus::Failed => {}
            }
        }
    }
    let enterable = view.open.iter().filter(|open| {
        open.session.value.has_room() && wanted(&open.host) && open.host.can_take(1, now).is_ok()
    });
    if let Some(best) = enterable.min_by(|a, b| {
        (b.session.value.seats.len().cmp(&a.session.value.seats.len()))
            .then_with(|| best_first(&a.host, &b.host))
            .then_with(|| a.session.id.cmp(&b.session.id))
    }) {
        return Ok(Placement::Enter(best));
    }
    open_on(view, wish, 1, now)
        .map(Placement::Open)
        .ok_or_else(|| Refusal::NoHost { zone: zone.definition.zone_id.clone() })
}

/// Whether there is a place, or a reason against one, in a view without hosts that could open a session:
/// then none need be looked at.
pub fn suffices(view: &PlacementView, wish: Wish<'_>, now: Timestamp) -> bool {
    !matches!(place(view, wish, now), Err(Refusal::NoHost { .. }))
}

/// The best host that can open a session for so many players and meets the zone's demands.
pub fn open_on<'a>(
    view: &'a PlacementView,
    wish: Wish<'_>,
    players: u32,
    now: Timestamp,
) -> Option<&'a HostView> {
    openers(view, wish, players, now).min_by(|a, b| best_first(a, b))
}

/// All of them, the best first.
pub fn all_open_on<'a>(
    view: &'a PlacementView,
    wish: Wish<'_>,
    players: u32,
    now: Timestamp,
) -> Vec<&'a HostView> {
    let mut hosts: Vec<_> = openers(view, wish, players, now).collect();
    hosts.sort_by(|a, b| best_first(a, b));
    hosts
}

fn openers<'a>(
    view: &'a PlacementView,
    wish: Wish<'_>,
    players: u32,
    now: Timestamp,
) -> impl Iterator<Item = &'a HostView> {
    let zone = &view.zone.value;
    let can_open = move |candidate: &&Candidate| {
        let record = &candidate.host.row.value;
        (record.peer.is_some() || !wish.peer)
            && !wish.avoid.contains(&record.host_id)
            && can_open(&candidate.host, &candidate.served, zone, players, now).is_ok()
    };
    view.hosts.iter().filter(can_open).map(|candidate| &candidate.host)
}

/// Whether a host can open a session of a zone with so many players.
///
/// # Errors
///
/// What is missing.
pub fn can_open(
    host: &HostView,
    served: &[ZoneId],
    zone: &ZoneRecord,
    players: u32,
    now: Timestamp,
) -> Result<(), Refusal> {
    host.can_take(players, now)?;
    host.can_serve(&zone.definition.zone_id, served)?;
    zone.accepts(host)
}

fn best_first(a: &HostView, b: &HostView) -> Ordering {
    b.score()
        .total_cmp(&a.score())
        .then_with(|| a.placed.players.cmp(&b.placed.players))
        .then_with(|| a.row.value.host_id.cmp(&b.row.value.host_id))
}
