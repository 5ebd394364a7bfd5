//! Ways over a relay beside the direct ones.

use std::time::Duration;

use crate::host::Host;
use crate::network::Network;
use crate::profile::{LinkProfile, ProfileError};

/// When connections between hosts with a [relayed link](Network::set_relayed_link) change their path.
/// The default is what iroh 1.4 does, as measured between two port-restricted NATs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathRules {
    /// After how much silence a direct path is given up. Default 15 s.
    pub idle: Duration,
    /// How long after a dial, or after a look at its addresses, an endpoint has a direct path, if there
    /// can be one. Default 500 ms.
    pub punch: Duration,
    /// How long after an attempt that failed the next one is made. Default 60 s.
    pub punch_again: Duration,
    /// How long after a rebind a host looks at its addresses by itself. Default 24 s.
    pub report: Duration,
}

impl PathRules {
    /// Sets after how much silence a direct path is given up.
    #[must_use]
    pub const fn with_idle(mut self, silence: Duration) -> Self {
        self.idle = silence;
        self
    }

    /// Sets how long it takes to get a direct path.
    #[must_use]
    pub const fn with_punch(mut self, time: Duration) -> Self {
        self.punch = time;
        self
    }

    /// Sets how long it takes until it is tried again.
    #[must_use]
    pub const fn with_punch_again(mut self, time: Duration) -> Self {
        self.punch_again = time;
        self
    }

    /// Sets when a host looks at its addresses by itself.
    #[must_use]
    pub const fn with_report(mut self, time: Duration) -> Self {
        self.report = time;
        self
    }
}

impl Network {
    /// Gives two hosts a second way to each other, over a relay, and sets what it is like in each
    /// direction, the relay included. From then on their connections begin there, become direct, and go
    /// back to it, by iroh's [rules](PathRules); what [`set_link`](Network::set_link) says is about the
    /// direct way, and so are faults that make links worse. Cuts, holds, crashes and pauses are of both
    /// ways; [`Fault::UdpCut`](crate::Fault::UdpCut) and [`Fault::Rebind`](crate::Fault::Rebind) of the
    /// direct one.
    ///
    /// To be called before the two connect, and before anything is cut between them.
    ///
    /// # Errors
    ///
    /// [`ProfileError`]: a link cannot be like that. Nothing is changed then.
    pub fn set_relayed_link(
        &self,
        a: &Host,
        b: &Host,
        profile: &LinkProfile,
    ) -> Result<(), ProfileError> {
        profile.check()?;
        self.shared.with(|engine, _| {
            engine.set_relayed_link(a.number, b.number, profile);
            engine.set_relayed_link(b.number, a.number, profile);
        });
        Ok(())
    }

    /// Sets when paths change, from now on.
    pub fn set_path_rules(&self, rules: PathRules) {
        self.shared.with(|engine, _| engine.set_path_rules(rules));
    }

    /// Lets a host's NAT forget it: its direct paths are dead, and no new ones come about before it has
    /// looked at its addresses again. Nothing happens where no relayed link leads.
    pub fn rebind(&self, host: &Host) {
        self.shared.with(|engine, now| engine.rebind(now, host.number));
    }
}
