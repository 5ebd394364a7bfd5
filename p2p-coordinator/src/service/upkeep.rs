//! What is done from time to time: lost hosts are found, sessions without life fail, old ones and
//! logins that have ended are forgotten, and what other coordinators took back is learned.
//!
//! Of several coordinators on one store, one does what all would do alike at a time, as far as the store can tell
//! ([`Store::lead`]); where it cannot, each does, and a commit that another made first changes
//! nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use p2p_coordinator_api::Timestamp;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::hosts::note;
use super::{Coordinator, Result};
use crate::domain::{Change, Changes, SKEW, SessionRecord};
use crate::store::{HostQuery, SessionQuery, Store};

/// The most sessions that one round looks at, or forgets.
const ROUND: u32 = 1000;

/// How often logins are counted, which looks at all of them.
const LOGINS_EVERY: Duration = Duration::from_secs(60);

/// The shortest pause between two looks for lost hosts.
const SHORTEST: Duration = Duration::from_millis(100);

impl<S: Store> Coordinator<S> {
    /// Does all of it, for as long as it is polled: looks for lost hosts, and for logins that were
    /// taken back, three times in a lease; at sessions every
    /// [`Settings::session_check`](super::Settings::session_check); and at all logins every minute.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it between two commits.
    pub async fn upkeep(&self) {
        let settings = self.settings();
        let mut clock = interval((settings.terms.lease / 3).max(SHORTEST));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checked: Option<Instant> = None;
        let mut counted: Option<Instant> = None;
        loop {
            clock.tick().await;
            // Each for itself: whoever leads, all have to know it.
            if let Err(error) = self.learn_revoked().await {
                self.note(&error);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for logins that were taken back; trying again"
                );
            }
            let done = async {
                if !self.store().lead().await? {
                    return Ok(());
                }
                self.sweep().await?;
                if checked.is_none_or(|at| at.elapsed() >= settings.session_check) {
                    checked = Some(Instant::now());
                    self.check_sessions().await?;
                }
                if counted.is_none_or(|at| at.elapsed() >= LOGINS_EVERY) {
                    counted = Some(Instant::now());
                    self.sweep_logins().await?;
                }
                Result::Ok(())
            };
            if let Err(error) = done.await {
                self.note(&error);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot look after hosts, sessions and logins; trying again"
                );
            }
        }
    }

    async fn check_sessions(&self) -> Result<()> {
        let settings = self.settings();
        self.rein_in().await?;
        // Nobody could reach it before.
        let up = self.now().since(self.inner.started);
        let since = |timeout: Duration| (up >= timeout).then_some(timeout);
        let (stale, deserted) = (since(settings.session_timeout), since(settings.session_deserted));
        let from = self.inner.looked_up_to.load(Ordering::Relaxed);
        let (_, next) = self.finish_idle(stale, deserted, from).await?;
        self.inner.looked_up_to.store(next, Ordering::Relaxed);
        let before = self.now().before(settings.session_history);
        let forgotten = self.store().prune(before, settings.session_history_max, ROUND).await?;
        if forgotten > 0 {
            tracing::info!(sessions = forgotten, "forgot sessions that were over for long");
        }
        Ok(())
    }

    /// What was written by a clock that has been put back since counts as of now: hosts have their lease
    /// from now on, and sessions have changed now. Otherwise dead ones would live until that time comes.
    async fn rein_in(&self) -> Result<()> {
        let (terms, now) = (self.settings().terms, self.now());
        let latest = now.after(terms.lease.max(terms.host_timeout)).after(SKEW);
        let (leased_beyond, limit) = (Some(latest), Some(ROUND));
        let query = HostQuery { leased_beyond, limit, ..HostQuery::default() };
        for mut view in self.store().hosts(&query).await? {
            if view.row.value.rein_in(&terms, now) {
                tracing::warn!(host = %view.row.value.host_id, "last heard at a time to come: counts as now");
                // Whoever changed it meanwhile has heard it.
                self.commit(Changes {
                    hosts: vec![Change::Update(view.row)],
                    ..Changes::default()
                })
                .await?;
            }
        }
        let (changed_after, limit) = (Some(now.after(SKEW)), Some(ROUND));
        let query = SessionQuery {
            status: SessionQuery::LIVE,
            changed_after,
            limit,
            ..SessionQuery::default()
        };
        for mut session in self.store().sessions(&query).await? {
            let (before, mut changes) = (session.value.clone(), Changes::default());
            session.value.rein_in(&terms, now);
            tracing::warn!(session = %before.name, "last changed at a time to come: counts as now");
            note(&mut changes, &before, session, Vec::new());
            // Whoever changed it meanwhile did so now.
            self.commit(changes).await?;
        }
        Ok(())
    }

    /// Lets sessions fail in which nothing happened for so long: nobody came, went or changed it, and
    /// if somebody is in it, its host was not heard either. How many, of at most a thousand.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`](super::ServiceError::Denied),
    /// [`ServiceError::Store`](super::ServiceError::Store).
    pub async fn clean_up(&self, timeout: Duration) -> Result<usize> {
        self.caller.may_rule()?;
        let (failed, _) = self.finish_idle(Some(timeout), None, 0).await?;
        Ok(failed as usize)
    }

    /// Lets sessions fail that are stale, and ends those that are deserted, each for so long. Of those
    /// that are idle it looks at a thousand, after so many at the beginning. How many it finished, and
    /// after how many the next round is to go on.
    async fn finish_idle(
        &self,
        stale: Option<Duration>,
        deserted: Option<Duration>,
        from: u32,
    ) -> Result<(u32, u32)> {
        let Some(idle) = stale.into_iter().chain(deserted).min() else { return Ok((0, 0)) };
        self.settle().await?;
        let now = self.now();
        let (mut finished, mut seen) = (0, 0);
        while seen < ROUND {
            // Those that are finished are not listed any more.
            let offset = from + seen - finished;
            let query = SessionQuery {
                status: SessionQuery::LIVE,
                idle_since: Some(now.before(idle)),
                offset,
                limit: Some(PAGE),
                ..SessionQuery::default()
            };
            let page = self.store().sessions(&query).await?;
            if page.is_empty() {
                return Ok((finished, 0));
            }
            for mut session in page {
                seen += 1;
                let name = session.value.name.clone();
                let freed = if deserted.is_some_and(|time| session.value.is_deserted(time, now)) {
                    tracing::info!(session = %name, "session ends: all have left it");
                    session.value.end(now)
                } else if self.is_stale(&session.value, stale, now).await? {
                    tracing::warn!(session = %name, "session fails: nothing happens in it");
                    session.value.fail(now)
                } else {
                    continue;
                };
                let mut changes = Changes::default();
                changes.free(&name, freed);
                changes.sessions.push(Change::Update(session));
                // Whoever changed it meanwhile has shown that it lives.
                finished += u32::from(self.commit(changes).await?.is_some());
            }
        }
        Ok((finished, from + seen - finished))
    }

    async fn is_stale(
        &self,
        session: &SessionRecord,
        timeout: Option<Duration>,
        now: Timestamp,
    ) -> Result<bool> {
        let Some(timeout) = timeout.filter(|timeout| now.since(session.updated_at) >= *timeout)
        else {
            return Ok(false);
        };
        let host = self.store().host(&session.host_id).await?;
        Ok(session.is_stale(host.as_ref().map(|view| &view.row.value), timeout, now))
    }
}

/// The sessions that are read at once.
const PAGE: u32 = 100;
