//! Takes what changed in the configuration's files while the program runs, on SIGHUP.
//!
//! Where players play by peers, rate limits and the log's level change, all together; what else
//! changed is told, and counts after a restart. A configuration that is wrong changes nothing.

use p2p_coordinator::service::{Coordinator, InForce};
use p2p_coordinator::store::Store;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload::Handle;

use crate::arguments::Arguments;
use crate::config::Config;
use crate::{Failure, environment, say};

/// Waits for the signal.
pub(crate) struct Reload {
    arguments: Arguments,
    log: Handle<LevelFilter, Registry>,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Reload {
    pub(crate) fn catch(
        arguments: &Arguments,
        log: Handle<LevelFilter, Registry>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            arguments: arguments.clone(),
            log,
            #[cfg(unix)]
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .map_err(|error| Failure::new(format!("cannot catch signals: {error}")))?,
        })
    }

    pub(crate) async fn run<S: Store>(mut self, mut config: Config, coordinator: Coordinator<S>) {
        while self.requested().await {
            match self.take(&mut config, &coordinator) {
                Ok(sentence) => {
                    say(&sentence);
                    if let Err(error) = coordinator.review_rooms().await {
                        tracing::error!(%error, "cannot tell all peers now; trying again");
                    }
                }
                Err(Failure(sentence)) => {
                    say(&format!("the configuration stays as it was: {sentence}"));
                }
            }
        }
    }

    fn take<S: Store>(
        &self,
        config: &mut Config,
        coordinator: &Coordinator<S>,
    ) -> Result<String, Failure> {
        let (new, findings) = Config::load(&self.arguments, environment())?;
        let taken = config.with_live(&new);
        let in_force = InForce { peer_play: taken.peer_play()?, rates: taken.security()?.rates };
        let level = LevelFilter::from_level(taken.log_level()?);
        self.log.reload(level).map_err(|error| Failure::of(&error))?;
        coordinator.put_in_force(in_force);
        *config = taken;
        let mut sentence = "the configuration was read again".to_owned();
        let waiting = config.differences(&new);
        if !waiting.is_empty() {
            sentence += &format!("; after a restart count: {}", waiting.join(", "));
        }
        for note in findings.notes {
            sentence += &format!("\nnote: {note}");
        }
        Ok(sentence)
    }

    #[cfg(unix)]
    async fn requested(&mut self) -> bool {
        self.hangup.recv().await.is_some()
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_async, reason = "there is no such signal")]
    async fn requested(&mut self) -> bool {
        false
    }
}
