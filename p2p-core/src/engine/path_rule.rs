//! When a link's path is none that its connection may take.

use std::time::Duration;

use tokio::time::Instant;

use crate::path::{DIRECT, PathKind, PathPolicy};

/// A policy, and what it has seen of one link.
#[derive(Debug)]
pub(crate) struct PathRule {
    policy: PathPolicy,
    kind: PathKind,
    /// Since when the path is not direct, if it is not.
    since: Option<Instant>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathVerdict {
    /// The path is one that is allowed, or may become one until then.
    Keep(Option<Instant>),
    /// It is not, for these reasons.
    Close(String),
}

impl PathRule {
    /// For a link that begins now, and of whose path nothing is known yet.
    pub(crate) const fn new(policy: PathPolicy, now: Instant) -> Self {
        Self { policy, kind: PathKind::None, since: Some(now) }
    }

    /// This kind of path carries the data from now on.
    pub(crate) fn on_path(&mut self, kind: PathKind, now: Instant) {
        self.kind = kind;
        self.since = match kind {
            PathKind::Direct => None,
            PathKind::None | PathKind::Relayed => Some(self.since.unwrap_or(now)),
        };
    }

    pub(crate) fn look(&self, now: Instant) -> PathVerdict {
        match (self.policy, self.since) {
            (PathPolicy::RelayOnly, _) if self.kind == PathKind::Direct => {
                PathVerdict::Close(DIRECT.to_owned())
            }
            (PathPolicy::RequireDirect { grace }, Some(since)) => {
                let left = grace.saturating_sub(now.saturating_duration_since(since));
                if left == Duration::ZERO {
                    let words = format!("no direct path for {grace:?} (now: {})", self.kind);
                    return PathVerdict::Close(words);
                }
                // Past what clocks can say it never comes.
                PathVerdict::Keep(now.checked_add(left))
            }
            _ => PathVerdict::Keep(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn second(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn time_without_a_direct_path_counts_from_the_loss_of_the_last() {
        let start = Instant::now();
        let mut rule = PathRule::new(PathPolicy::RequireDirect { grace: GRACE }, start);
        rule.on_path(PathKind::Relayed, second(start, 1));
        assert_eq!(rule.look(second(start, 4)), PathVerdict::Keep(Some(start + GRACE)));
        rule.on_path(PathKind::Direct, second(start, 4));
        assert_eq!(rule.look(second(start, 1000)), PathVerdict::Keep(None));
        let lost = second(start, 1000);
        rule.on_path(PathKind::None, lost);
        // Another that is not direct either changes nothing.
        rule.on_path(PathKind::Relayed, second(start, 1003));
        assert_eq!(rule.look(second(start, 1003)), PathVerdict::Keep(Some(lost + GRACE)));
        let words = "no direct path for 5s (now: relay)".to_owned();
        assert_eq!(rule.look(second(start, 1005)), PathVerdict::Close(words));
    }

    #[test]
    fn a_grace_beyond_all_clocks_never_ends() {
        let start = Instant::now();
        let rule = PathRule::new(PathPolicy::RequireDirect { grace: Duration::MAX }, start);
        assert_eq!(rule.look(second(start, 1000)), PathVerdict::Keep(None));
    }

    #[test]
    fn relays_only_means_that_no_path_is_direct() {
        let start = Instant::now();
        let mut rule = PathRule::new(PathPolicy::RelayOnly, start);
        for kind in [PathKind::None, PathKind::Relayed] {
            rule.on_path(kind, start);
            assert_eq!(rule.look(second(start, 1000)), PathVerdict::Keep(None));
        }
        rule.on_path(PathKind::Direct, start);
        assert_eq!(rule.look(start), PathVerdict::Close(DIRECT.to_owned()));
    }
}
