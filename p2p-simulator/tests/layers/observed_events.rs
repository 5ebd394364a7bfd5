//! Log events: their names, fields, and order.

use std::env;
use std::fmt::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use p2p_core::{P2PConnection, P2PProvider, Priority};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::observed::{Ends, ends};
use crate::{ms, simulate};

/// Keeps each event as a line: level, message, and fields without the names of peers.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "local" | "peer" => Ok(()),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "p2p"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("the library has no spans")
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let Line { message, fields } = line;
        let level = event.metadata().level().as_str().to_lowercase();
        self.0.lock().expect("no panic").push(format!("{level} {message}:{fields}"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs a test of this name in a process of its own.
///
/// `tracing` asks the thread that reaches a place first whether anybody listens there, and keeps the
/// answer for all threads: that of another test's thread would be "nobody".
fn alone(name: &str, test: impl FnOnce()) {
    const MARK: &str = "LAYERS_TEST_ALONE";
    if env::var_os(MARK).is_some() {
        return test();
    }
    let name = format!("observed_events::{name}");
    let mut command = Command::new(env::current_exe().expect("this program"));
    let output = command.args([&name, "--exact", "--test-threads=1"]).env(MARK, "1").output();
    let output = output.expect("it can be started again");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && words.contains("1 passed"), "{name}: {words}");
}

/// What is written while a connection changes its link, loses it for good, and what then comes.
fn story() -> Vec<String> {
    let lines = Lines::default();
    let written = lines.clone();
    simulate(async move |network| {
        let _guard = tracing::subscriber::set_default(lines.clone());
        let Ends { hosts, providers, dialled, accepted } = ends(&network).await;
        dialled.renew_link();
        for _ in 0..100 {
            dialled.send_with(Priority::Realtime, "a message".into()).await.expect("sent");
            accepted.recv().await.expect("received");
            tokio::time::sleep(ms(10)).await;
        }
        network.partition([&hosts[0]], [&hosts[1]]);
        dialled.send_with(Priority::Realtime, "into the cut".into()).await.expect("sent");
        dialled.closed().await;
        accepted.closed().await;
        let (alice, bob) = (&providers[0], &providers[1]);
        alice.connect(&bob.local_addr(), crate::admitted()).await.expect_err("nobody is there");
    });
    Arc::into_inner(written.0).expect("the story is over").into_inner().expect("no panic")
}

#[test]
fn events_tell_the_story_of_a_connection_and_are_none_of_its_messages() {
    alone("events_tell_the_story_of_a_connection_and_are_none_of_its_messages", check_story);
}

fn check_story() {
    let lines = story();
    let all = lines.join("\n");
    let mut rest = lines.iter();
    for expected in [
        "debug dial: protocol='layers/1'",
        "debug accepted:",
        "debug admitted: connection=0 link=1 path=direct took=",
        "debug connected: connection=0 link=1 path=direct took=40ms",
        "info link lost: connection=0 link=1 reason=",
        "debug reconnecting: connection=0 attempt=1 next=",
        "info resumed: connection=0 link=2",
        "debug suspect: connection=0 link=2",
        "info failover: connection=0 link=2 silent=",
        "info link lost: connection=0 link=2 reason=\"closed by this side: ",
        "debug reconnecting: connection=0 attempt=2 next=",
        "warn lost: connection=0 reason=\"no link after ",
        "debug lane: connection=0 lane=realtime acknowledged=",
        "debug dial: protocol='layers/1'",
        "debug dial failed: error=\"",
    ] {
        assert!(rest.any(|line| line.starts_with(expected)), "no {expected:?} in order in\n{all}");
    }
    // What the peer's acknowledgements had covered by then is the engine's affair.
    assert!(all.contains("unknown=101 never_sent=101"), "{all}");
    // One for each end; and none for a message, of which there were a hundred.
    let suspicions = lines.iter().filter(|line| line.contains("suspect:")).count();
    assert_eq!(suspicions, 2, "{all}");
    assert!(lines.len() < 60, "{all}");
}

#[test]
fn what_is_written_repeats_and_depends_on_no_clock_but_the_virtual_one() {
    let name = "what_is_written_repeats_and_depends_on_no_clock_but_the_virtual_one";
    alone(name, || assert_eq!(story(), story()));
}
