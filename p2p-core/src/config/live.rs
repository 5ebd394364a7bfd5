//! A configuration that changes while it is in use.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ConnectionConfig;
use crate::error::ConfigError;
use crate::reconnect::{Backoff, ReconnectPolicy};

/// The configuration in force. Who reads it gets all of one version.
#[derive(Debug)]
pub(crate) struct LiveConfig(Mutex<Arc<ConnectionConfig>>);

impl LiveConfig {
    pub(crate) fn new(config: ConnectionConfig) -> Self {
        Self(Mutex::new(Arc::new(config)))
    }

    fn present(&self) -> MutexGuard<'_, Arc<ConnectionConfig>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Arc<ConnectionConfig> {
        self.present().clone()
    }

    /// Changes it, or leaves it as it is if the change cannot be meant. Changes come one after the
    /// other, each upon the one before.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut ConnectionConfig),
    ) -> Result<Arc<ConnectionConfig>, ConfigError> {
        let mut present = self.present();
        let mut next = ConnectionConfig::clone(&present);
        change(&mut next);
        check(&present, &next)?;
        *present = Arc::new(next);
        Ok(present.clone())
    }

    /// How a connection that resumes looks for its next link now. `agreed` is how it would have when
    /// it came about: a policy that is off since then is about new connections.
    pub(crate) fn backoff(&self, agreed: Backoff) -> Backoff {
        match self.present().reconnect {
            ReconnectPolicy::Off => agreed,
            ReconnectPolicy::Resume(backoff) => backoff,
        }
    }
}

fn check(old: &ConnectionConfig, new: &ConnectionConfig) -> Result<(), ConfigError> {
    fixed("idle_timeout", &old.idle_timeout, &new.idle_timeout)?;
    fixed("keep_alive_interval", &old.keep_alive_interval, &new.keep_alive_interval)?;
    fixed("max_streams", &old.max_streams, &new.max_streams)?;
    fixed("max_handshakes", &old.max_handshakes, &new.max_handshakes)?;
    new.validate()
}

/// What the transport, or the node itself, took over when it was made.
fn fixed<V: PartialEq + Debug>(setting: &'static str, old: &V, new: &V) -> Result<(), ConfigError> {
    if old == new {
        return Ok(());
    }
    let expected = "it stays what it was when the node was made";
    Err(ConfigError::new(setting, format!("{new:?}"), expected))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_change_that_cannot_be_meant_changes_nothing() {
        let live = LiveConfig::new(ConnectionConfig::default());
        let before = live.get();
        for (setting, change) in [
            ("idle_timeout", (|c| c.idle_timeout *= 2) as fn(&mut ConnectionConfig)),
            ("keep_alive_interval", |c| c.keep_alive_interval *= 2),
            ("max_streams", |c| c.max_streams += 1),
            ("max_handshakes", |c| c.max_handshakes += 1),
            ("connect_timeout", |c| c.connect_timeout = Duration::ZERO),
            ("handshake_timeout", |c| c.handshake_timeout = Duration::MAX),
            ("close_timeout", |c| c.close_timeout = Duration::ZERO),
            ("max_listeners", |c| c.max_listeners += 1),
            ("datagram_queue", |c| c.datagram_queue = 0),
            ("failover", |c| c.failover = crate::FailoverPolicy::REDIAL),
            ("max_handshakes_per_address", |c| c.max_handshakes_per_address = 0),
            ("max_handshakes_per_peer", |c| c.max_handshakes_per_peer = 0),
            ("receive_window", |c| c.receive_window = 0),
            ("receive_window", |c| c.receive_window = ConnectionConfig::MAX_WINDOW + 1),
            ("send_queue", |c| c.send_queue = 0),
            ("max_message_size", |c| c.max_message_size = usize::MAX),
            ("backoff.first", |c| {
                let hasty = Backoff::default().with_first(Duration::ZERO);
                c.reconnect = ReconnectPolicy::Resume(hasty);
            }),
            ("backoff.give_up", |c| {
                let never = Backoff::default().with_give_up(Duration::ZERO);
                c.reconnect = ReconnectPolicy::Resume(never);
            }),
        ] {
            let refused = live.change(|config| {
                config.close_timeout = Duration::from_secs(77);
                change(config);
            });
            assert_eq!(refused.map_err(|error| error.setting), Err(setting));
            assert!(Arc::ptr_eq(&live.get(), &before), "{setting}");
        }
    }
}
