//! Crashes, pauses, and the tasks that belong to a host.

use std::task::{Context, Poll};

use p2p_core::transport::LinkClosed;

use super::super::trace::TraceKind;
use super::super::wakers::WakerSet;
use super::super::{Engine, Nanos};
use super::table::Effect;

/// What a host's own tasks go by. Of very many hosts, most have none, and are never paused.
#[derive(Debug, Default)]
pub(crate) struct HostTasks(Option<Box<Tasks>>);

#[derive(Debug, Default)]
struct Tasks {
    /// Counts crashes: a task belongs to the life in which it was spawned.
    life: u64,
    paused_since: Option<Nanos>,
    all: WakerSet,
    count: u64,
}

impl HostTasks {
    /// In which life the host is.
    pub(crate) fn life(&self) -> u64 {
        self.0.as_ref().map_or(0, |tasks| tasks.life)
    }

    pub(crate) fn paused_since(&self) -> Option<Nanos> {
        self.0.as_ref().and_then(|tasks| tasks.paused_since)
    }

    fn get(&mut self) -> &mut Tasks {
        self.0.get_or_insert_default()
    }
}

/// Whether a host's task may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Run,
    /// The host has crashed since.
    Ended,
}

impl Engine {
    /// Ends everything on a host at once, without a word to anybody.
    pub(crate) fn crash(&mut self, now: Nanos, host: u32) {
        if self.hosts[host as usize].down_since.is_some() {
            return;
        }
        self.hosts_down += 1;
        let place = &mut self.hosts[host as usize];
        place.down_since = Some(now);
        self.net.trace.mark(now, TraceKind::Crashed, host, host);
        let tasks = place.tasks.get();
        tasks.life += 1;
        let mut hits = std::mem::take(&mut tasks.count);
        tasks.all.wake_all(&mut self.wakers);
        self.close_endpoints(host);
        for (id, side) in self.ends_where(|_, end| end.closed.is_none()) {
            let Some(route) = self.conns.get(id).map(|conn| conn.route(id, side)) else { continue };
            if route.from_host == host {
                let message = "the host crashed".to_owned();
                self.expect_silence_of(now, id, side);
                self.end(now, id, side, LinkClosed::Transport { message });
                hits += 1;
            }
        }
        self.net.faults.hit_host(host, hits, |effect| matches!(effect, Effect::Crash));
    }

    /// Starts a host again, with its identity and nothing else.
    pub(crate) fn restart(&mut self, now: Nanos, host: u32) {
        let place = &mut self.hosts[host as usize];
        if place.down_since.take().is_some() {
            place.tasks.get().all.wake_all(&mut self.wakers);
            self.hosts_down -= 1;
            self.net.trace.mark(now, TraceKind::Restarted, host, host);
        }
    }

    /// Lets nothing on a host run, and nothing into it or out of it.
    pub(crate) fn pause(&mut self, now: Nanos, host: u32) {
        let tasks = self.hosts[host as usize].tasks.get();
        if tasks.paused_since.is_some() {
            return;
        }
        tasks.paused_since = Some(now);
        self.net.faults.paused.insert(host);
        self.net.trace.mark(now, TraceKind::Paused, host, host);
        // Its peers hear nothing from now on.
        for (id, side) in self.ends_where(|_, end| end.closed.is_none()) {
            if self.conns.get(id).is_some_and(|conn| conn.route(id, side).from_host == host) {
                self.expect_silence_of(now, id, side);
            }
        }
    }

    /// Lets it run again: what came in the meantime arrives now.
    pub(crate) fn resume(&mut self, now: Nanos, host: u32) {
        let tasks = self.hosts[host as usize].tasks.get();
        if tasks.paused_since.take().is_none() {
            return;
        }
        self.net.faults.paused.remove(&host);
        self.net.trace.mark(now, TraceKind::Resumed, host, host);
        tasks.all.wake_all(&mut self.wakers);
        let all = self.net.by_hosts.keys().copied();
        let pairs: Vec<_> = all.filter(|&(from, to)| from == host || to == host).collect();
        for (from, to) in pairs {
            self.flush(now, from, to);
        }
    }

    /// One more task of a host. Returns the life it belongs to; `None` if the host is down.
    pub(crate) fn enter_task(&mut self, host: u32) -> Option<u64> {
        let host = &mut self.hosts[host as usize];
        if host.down_since.is_some() {
            return None;
        }
        let tasks = host.tasks.get();
        tasks.count += 1;
        Some(tasks.life)
    }

    /// Whether a task may run now. It is woken when that changes, on top of what it waits for.
    pub(crate) fn poll_gate(
        &mut self,
        host: u32,
        life: u64,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Gate> {
        let tasks = self.hosts[host as usize].tasks.get();
        if tasks.life != life {
            return Poll::Ready(Gate::Ended);
        }
        tasks.all.wait(ticket, cx);
        if tasks.paused_since.is_some() {
            self.hold_tasks(host);
            return Poll::Pending;
        }
        Poll::Ready(Gate::Run)
    }

    /// Waits until a host is not down.
    pub(crate) fn poll_up(
        &mut self,
        host: u32,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        let place = &mut self.hosts[host as usize];
        if place.down_since.is_none() {
            return Poll::Ready(());
        }
        place.tasks.get().all.wait(ticket, cx);
        Poll::Pending
    }

    /// A pause keeps a host's tasks from running.
    pub(crate) fn hold_tasks(&mut self, host: u32) {
        self.net.faults.hit_host(host, 1, |effect| matches!(effect, Effect::Pause));
    }

    /// A task of a host is over, or dropped.
    pub(crate) fn leave_task(&mut self, host: u32, life: u64, ticket: Option<u64>) {
        let tasks = self.hosts[host as usize].tasks.get();
        if let Some(ticket) = ticket {
            tasks.all.leave(ticket);
        }
        if tasks.life == life {
            tasks.count = tasks.count.saturating_sub(1);
        }
    }

    /// The host of an endpoint.
    pub(crate) fn host_of(&self, endpoint: u32) -> u32 {
        self.endpoints[endpoint as usize].host
    }
}
