//! Joins: a place, the host's address, and a token to show it.

use p2p_coordinator_api::{
    JoinClaims, JoinReply, JoinRequest, JoinToken, Nonce, SessionName, Timestamp,
};
use p2p_core::PeerAddr;

use super::sessions::Former;
use super::{ATTEMPTS, Coordinator, Result, ServiceError};
use crate::domain::placement::{Placement, PlacementView, Wish, place};
use crate::domain::{Change, Changes, HostRecord, Refusal, Row, SessionRecord};
use crate::store::{PlacementQuery, Store};

impl<S: Store> Coordinator<S> {
    /// Gives a player a place in a zone and a token for it. Asked again, it gives another token for
    /// the same place.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownZone`], [`Refusal::ZoneClosed`], [`Refusal::NoHost`]; otherwise
    /// [`ServiceError`].
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinReply> {
        self.caller.may_act_for(&request.player_id)?;
        self.in_force().peer_play.allows(&request.zone_id)?;
        let _turn = self.turn(&request.zone_id).await;
        let name = SessionName::from_bits(self.inner.random.bits());
        let nonce = Nonce(self.inner.random.bytes());
        self.settle().await?;
        let mut held = None;
        for attempt in 0..ATTEMPTS {
            self.alone(attempt, &mut held).await;
            let now = self.now();
            let zone = &request.zone_id;
            let query = PlacementQuery {
                player: Some(request.player_id.clone()),
                peer: true,
                avoid: request.avoid.clone(),
                ..PlacementQuery::new(zone.clone(), now)
            };
            let view = self.store().placement(&query).await?;
            let view = view.ok_or_else(|| Refusal::UnknownZone(zone.clone()))?;
            let decided = self.decide(&view, request, &name, nonce, now)?;
            let (host, claims) = (decided.host, decided.claims);
            let token = JoinToken::sign(&self.inner.key, &claims)?;
            let Some(committed) = self.commit(decided.changes).await? else { continue };
            let Some(session) = committed.sessions.first() else { continue };
            return Ok(JoinReply {
                session: session.to_api(),
                host_id: claims.host,
                host_addr: host,
                token,
                expires_at: claims.expires_at,
            });
        }
        Err(ServiceError::Contended)
    }

    fn decide(
        &self,
        view: &PlacementView,
        request: &JoinRequest,
        name: &SessionName,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Decided> {
        let (player, terms) = (&request.player_id, self.settings().terms);
        let wish = Wish { peer: true, avoid: &request.avoid };
        let placed = place(view, wish, now)?;
        let (host, mut session, is_there) = match placed {
            Placement::Stay(found) => (&found.host.row, found.session.clone(), true),
            Placement::Enter(found) => (&found.host.row, found.session.clone(), true),
            Placement::Open(host) => {
                let mut opened = SessionRecord::open(name.clone(), &host.row, &view.zone, now);
                opened.ends_empty = true;
                (&host.row, Row { id: 0, version: 0, value: opened }, false)
            }
        };
        let addr = address(host)?;
        let reserved = now.after(terms.reservation());
        let is_new = session.value.reserve(player.clone(), nonce, reserved, now)?;
        let claims = JoinClaims {
            session: session.value.name.clone(),
            zone: session.value.zone_id.clone(),
            host: host.value.host_id.clone(),
            host_peer: addr.id(),
            player: player.clone(),
            peer: request.peer_id,
            places: session.value.max_players,
            epoch: session.value.epoch,
            issued_at: now,
            expires_at: now.after(terms.token_lifetime),
            nonce,
        };

        let mut changes = Changes::default();
        let present = view.present.as_ref().map(|present| &present.session);
        changes.seat(&session.value, player, present.map(|row| &row.value.name));
        let mut former = Former::default();
        if let Some(present) = present.filter(|row| row.id != session.id) {
            former.remove(present.clone(), player, now);
        }
        changes.sessions.push(if is_there {
            Change::Update(session)
        } else {
            Change::Insert(session.value)
        });
        changes.sessions.extend(former.into_changes());
        if is_new {
            // As it was read: if others placed somebody there meanwhile, it may be full now.
            changes.held.push((host.id, host.version));
        }
        Ok(Decided { changes, claims, host: addr })
    }
}

struct Decided {
    changes: Changes,
    claims: JoinClaims,
    host: PeerAddr,
}

fn address(host: &Row<HostRecord>) -> Result<PeerAddr> {
    // Placement was asked for a peer.
    let offline = || Refusal::HostOffline { host: host.value.host_id.clone() };
    Ok(host.value.peer.clone().ok_or_else(offline)?)
}
