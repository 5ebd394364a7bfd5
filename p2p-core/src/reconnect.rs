//! Connections that outlive their links: when to try again, and what became of them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;

use crate::close::CloseReason;
use crate::connection::state::Place;
use crate::error::ConfigError;
use crate::priority::Priority;

/// Whether a connection outlives the link under it. Both sides must want it; the side that dialled
/// dials again, and the other waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReconnectPolicy {
    /// A connection ends with its link.
    #[default]
    Off,
    /// When the link is lost (not when it is closed), it is replaced by a next one. Messages arrive
    /// exactly once and in order within their priority, as long as both processes live. What is not
    /// known to have arrived is kept, up to the peer's `receive_window` for each priority; when that
    /// is used up, `send` waits. Streams end with their link, and datagrams may be lost.
    ///
    /// On the side that accepted, a connection over which nothing has gone either way ends when the
    /// network takes its first link: its dialler may have given up unheard. If it has not, and comes back,
    /// it goes on, and this side accepts it as another connection. The latest 1024 of these are
    /// remembered; to the dialler of an earlier one it is as if this side had been restarted.
    Resume(Backoff),
}

/// How to try for a next link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The longest wait before the second attempt; the first is made at once. It doubles with each
    /// attempt, and up to half of it is taken off by chance. Default 100 ms.
    pub first: Duration,
    /// The longest wait before any attempt. Default 5 s.
    pub max: Duration,
    /// How long one attempt may take. Default 3 s.
    pub attempt: Duration,
    /// When to give up, from the loss of the link on; the side that does not dial waits this long as
    /// well. Default 60 s.
    pub give_up: Duration,
}

impl Backoff {
    /// Checks that every value can be meant.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_duration("backoff.first", self.first)?;
        ConfigError::check_duration("backoff.max", self.max)?;
        ConfigError::check_duration("backoff.attempt", self.attempt)?;
        ConfigError::check_duration("backoff.give_up", self.give_up)?;
        if self.max < self.first {
            let value = format!("{:?}", self.max);
            return Err(ConfigError::new("backoff.max", value, "it must not be less than first"));
        }
        Ok(())
    }

    /// Sets the longest wait before the second attempt.
    #[must_use]
    pub const fn with_first(mut self, wait: Duration) -> Self {
        self.first = wait;
        self
    }

    /// Sets the longest wait before any attempt.
    #[must_use]
    pub const fn with_max(mut self, wait: Duration) -> Self {
        self.max = wait;
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub const fn with_attempt(mut self, time: Duration) -> Self {
        self.attempt = time;
        self
    }

    /// Sets when to give up.
    #[must_use]
    pub const fn with_give_up(mut self, after: Duration) -> Self {
        self.give_up = after;
        self
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            max: Duration::from_secs(5),
            attempt: Duration::from_secs(3),
            give_up: Duration::from_secs(60),
        }
    }
}

/// Whether a connection that [resumes](ReconnectPolicy::Resume) waits for its transport to find a
/// link dead, which on QUIC takes up to the idle timeout. Together with [`ReconnectPolicy::Off`], all but
/// `Off` is a [`ConfigError`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailoverPolicy {
    /// It waits. On iroh, a message that was on its way when both sides gave a path up during an outage
    /// may then never arrive, though the link lives: the other policies get over that.
    #[default]
    Off,
    /// The link is given up, and the peer dialled again, when nothing came back for three times the
    /// round trip and four times its deviation, and eight probes of the peer's engine were not
    /// answered. Only while something was sent or heard shortly before: a connection without traffic
    /// sends no probes.
    Redial {
        /// The least silence for which a link is given up, however short the round trip.
        after: Duration,
    },
    /// The side that dialled keeps a second link ready, over what its
    /// [`Transport`](crate::transport::Transport::standby) offers for that, and both sides use it:
    ///
    /// - when nothing came back on the first link for twice what a round trip and four times its
    ///   deviation explain, and three probes were not answered, what the peer is not known to have
    ///   goes over the second link too (*hedging*); what comes twice is taken once;
    /// - after twice that silence, if the second link answers, it stands for the first
    ///   ([`ConnectionState::OnStandby`]);
    /// - when the first answers again, it is used again; if not, it is given up and dialled anew while
    ///   the second carries on (*healing*). If neither answers, nothing is given up.
    ///
    /// Streams stay on the first link. Where the transport offers nothing, or the peer cannot, this is
    /// `Redial`, and so it is while there is no second link: [`ConnectionStats::standby`] says how it is.
    /// Connections with [`PathPolicy::RequireDirect`](crate::PathPolicy::RequireDirect) keep none.
    ///
    /// [`ConnectionStats::standby`]: crate::ConnectionStats::standby
    Standby(StandbyOptions),
}

impl FailoverPolicy {
    /// To dial again after at least 300 ms of silence.
    pub const REDIAL: Self = Self::Redial { after: Duration::from_millis(300) };
    /// To keep a second link ready.
    pub const STANDBY: Self = Self::Standby(StandbyOptions::DEFAULT);

    /// Checks that every value can be meant.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Off => Ok(()),
            Self::Redial { after } => ConfigError::check_duration("failover.after", *after),
            Self::Standby(options) => options.validate(),
        }
    }
}

impl fmt::Display for FailoverPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Redial { .. } => "redial",
            Self::Standby(_) => "standby",
        })
    }
}

/// When a [standby](FailoverPolicy::Standby) is used. All times are of silence on the first link; they
/// are the least ones, and a long round trip makes the first and the last longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StandbyOptions {
    /// When messages are hedged. Default 150 ms.
    pub hedge_after: Duration,
    /// When the first link is given up and dialled anew, if the second one answers. Default 1.5 s.
    pub heal_after: Duration,
    /// When the first link is given up while there is no second one. Default 300 ms.
    pub redial_after: Duration,
}

impl StandbyOptions {
    const DEFAULT: Self = Self {
        hedge_after: Duration::from_millis(150),
        heal_after: Duration::from_millis(1500),
        redial_after: Duration::from_millis(300),
    };

    fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_duration("failover.hedge_after", self.hedge_after)?;
        ConfigError::check_duration("failover.heal_after", self.heal_after)?;
        ConfigError::check_duration("failover.redial_after", self.redial_after)?;
        if self.heal_after < self.hedge_after * 2 {
            let value = format!("{:?}", self.heal_after);
            let expected = "it must not be less than twice hedge_after";
            return Err(ConfigError::new("failover.heal_after", value, expected));
        }
        Ok(())
    }

    /// Sets when messages are hedged.
    #[must_use]
    pub const fn with_hedge_after(mut self, silence: Duration) -> Self {
        self.hedge_after = silence;
        self
    }

    /// Sets when the first link is given up, if the second one answers.
    #[must_use]
    pub const fn with_heal_after(mut self, silence: Duration) -> Self {
        self.heal_after = silence;
        self
    }

    /// Sets when the first link is given up while there is no second one.
    #[must_use]
    pub const fn with_redial_after(mut self, silence: Duration) -> Self {
        self.redial_after = silence;
        self
    }
}

impl Default for StandbyOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a connection's [standby](FailoverPolicy::Standby) is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandbyState {
    /// None was asked for.
    #[default]
    Off,
    /// The transport offers none, or the peer knows of none: dead links are
    /// [dialled again](FailoverPolicy::Redial).
    Unavailable,
    /// It is on its way, for the first time or again. So it stays, and dead links are dialled again, if
    /// the peer's listener [requires direct paths](crate::PathPolicy::RequireDirect).
    Pending,
    /// It is there.
    Ready,
    /// Messages go over it as well: the first link is late.
    Hedging,
    /// It stands for the first link.
    Active,
}

impl fmt::Display for StandbyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::Unavailable => "unavailable",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Hedging => "hedging",
            Self::Active => "active",
        })
    }
}

/// How a connection is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It has a link.
    Connected,
    /// Its link has been silent for longer than it should.
    Suspect,
    /// Its link is silent, and its [standby](FailoverPolicy::Standby) carries the messages.
    OnStandby,
    /// It has lost its link and looks for a next one.
    Reconnecting {
        /// The number of the attempt, from 1; 0 on the side that waits for the other to dial.
        attempt: u32,
        /// How long until it begins.
        next: Duration,
    },
    /// It has a link again, and goes on where it was.
    Resumed,
    /// It could not go on.
    Lost(Box<Lost>),
    /// It was closed, by either side, or ended with its link.
    Closed(CloseReason),
}

impl ConnectionState {
    /// Whether the connection is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Closed(_))
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Suspect => f.write_str("suspect: the link is silent"),
            Self::OnStandby => f.write_str("on the standby: the link is silent"),
            Self::Reconnecting { attempt: 0, .. } => f.write_str("waiting for the peer to dial"),
            Self::Reconnecting { attempt, next } => {
                write!(f, "reconnecting: attempt {attempt} in {next:?}")
            }
            Self::Resumed => f.write_str("resumed"),
            Self::Lost(lost) => write!(f, "lost: {}", lost.reason),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

/// A connection that could not go on, and what became of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Why.
    pub reason: LostReason,
    /// This side's messages, by [`Priority::index`].
    pub lanes: [LaneProgress; Priority::COUNT],
}

/// Why a connection could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// No link came about within [`Backoff::give_up`].
    GaveUp {
        /// Attempts made; 0 on the side that waits.
        attempts: u32,
        /// How the last one failed, in words; empty on the side that waits.
        last: String,
    },
    /// The peer answers, and knows nothing of this connection: its process is a new one, or it has
    /// given the connection up.
    PeerRestarted,
    /// The peer answers, and refuses.
    Refused(CloseReason),
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GaveUp { attempts: 0, .. } => f.write_str("the peer did not come back"),
            Self::GaveUp { attempts, last } => {
                write!(f, "no link after {attempts} attempts, the last: {last}")
            }
            Self::PeerRestarted => {
                f.write_str("the peer knows nothing of this connection any more")
            }
            Self::Refused(reason) => write!(f, "the peer refuses: {reason}"),
        }
    }
}

/// How far the messages of one priority came. Each is counted from 1, in the order of the sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneProgress {
    /// Up to this one, the peer's connection had them in its queue.
    pub acknowledged: u64,
    /// From the one after those to this one, nobody knows.
    pub unknown: u64,
    /// From the one after those to this one, they were never sent.
    pub never_sent: u64,
}

/// The changes of a connection's state: first the state as it is, then each change; it ends after
/// the last. A reader that is more than 16 changes behind misses the oldest.
pub struct StateEvents {
    place: Place,
    next: u64,
}

impl StateEvents {
    pub(crate) const fn new(place: Place, next: u64) -> Self {
        Self { place, next }
    }

    /// The next state, or `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<ConnectionState> {
        std::future::poll_fn(|cx| self.place.poll_state(&mut self.next, cx)).await
    }
}

impl Stream for StateEvents {
    type Item = ConnectionState;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ConnectionState>> {
        let Self { place, next } = self.get_mut();
        place.poll_state(next, cx)
    }
}

impl fmt::Debug for StateEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateEvents")
    }
}
