//! What a provider says about itself.

use std::time::Duration;

use super::step::{Pair, dialling, done, ensure, fails, nobody, step, talk};
use super::{Outcome, World};
use crate::observe::Health;
use crate::provider::{P2PConnection, P2PProvider};

/// That a provider serves so many protocols and has so many connections, none of them in trouble.
fn ensure_health(of: &impl P2PProvider, listeners: usize, connections: usize) -> Outcome<Health> {
    let health = of.health();
    let Health { shut_down, reconnecting, suspect, direct, relayed, .. } = health;
    ensure!(
        health.listeners == listeners && health.listening == (listeners > 0) && !shut_down,
        "{listeners} protocols are served: {health:?}"
    );
    ensure!(
        health.connections == connections && direct + relayed <= connections,
        "{connections} connections live: {health:?}"
    );
    ensure!(reconnecting + suspect == 0, "none of them is in trouble: {health:?}");
    Ok(health)
}

pub(super) async fn a_provider_knows_what_it_has<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    talk(&pair.to_bob, &pair.to_alice, "at first").await?;
    ensure_health(&pair.alice, 0, 1)?;
    ensure_health(&pair.bob, 1, 1)?;
    done("to close", pair.to_bob.close(1, "")).await?;
    done("Bob to see the end", pair.to_alice.closed()).await?;
    // Their handles are still there.
    ensure_health(&pair.alice, 0, 0)?;
    ensure_health(&pair.bob, 1, 0)?;
    drop(pair.listener);
    ensure_health(&pair.bob, 0, 0)?;
    done("to shut Bob down", pair.bob.shutdown()).await?;
    let health = pair.bob.health();
    ensure!(health.shut_down && !health.listening, "Bob was shut down: {health:?}");
    ensure_health(&pair.alice, 0, 0)?;
    Ok(())
}

pub(super) async fn a_change_of_settings_holds_or_changes_nothing<W: World>(world: &W) -> Outcome {
    let alice = world.provider(world.timers()).await;
    let clone = alice.clone();
    let ms = Duration::from_millis;
    let now = alice.reconfigure(&mut |config| config.close_timeout = ms(77));
    let now = step("to change a setting", async { now }).await?;
    ensure!(now.close_timeout == ms(77), "it came back as {:?}", now.close_timeout);
    ensure!(*clone.config() == *now, "another handle has other settings");
    let refused = alice.reconfigure(&mut |config| {
        config.connect_timeout = ms(78);
        config.send_queue = 0;
    });
    let error = fails("to set what cannot be meant", async { refused }).await?;
    ensure!(error.setting == "send_queue" && error.value == "0", "it is about {error}");
    ensure!(*alice.config() == *now, "it changed all the same");
    let fixed = alice.reconfigure(&mut |config| config.max_streams += 1);
    let error = fails("to set what the transport has", async { fixed }).await?;
    ensure!(error.setting == "max_streams", "it is about {error}");
    Ok(())
}

pub(super) async fn a_failure_is_remembered<W: World>(world: &W) -> Outcome {
    let alice = done("to make a provider", world.provider(world.timers())).await?;
    let health = ensure_health(&alice, 0, 0)?;
    ensure!(health.last_error.is_none(), "nothing has failed: {health:?}");
    let error = fails("to reach nobody", alice.connect(&nobody(), dialling()?)).await?;
    let health = ensure_health(&alice, 0, 0)?;
    let told = health.last_error.as_ref().map(|last| last.what.clone());
    ensure!(told == Some(error.to_string()), "it failed with {error}: {health:?}");
    Ok(())
}
