//! Traces that were written down, and read back.

use std::time::Duration;

use p2p_core::P2PConnection;
use p2p_simulator::{
    LinkProfile, Network, Outcome, Simulation, TraceComparison, TraceFile, TraceFileError,
};

use crate::pair;

async fn conversation(network: Network, last: &'static str) {
    let pair = pair(network).await.expect("a connection");
    pair.network.note("names with \"quotes\" and \n lines");
    for message in ["one", "two", last] {
        pair.dialled.send(message.into()).await.expect("sent");
        pair.accepted.recv().await.expect("received");
        pair.dialled.send_datagram(vec![7; 100].into()).expect("sent");
    }
    pair.dialled.close(9, "enough").await;
}

fn run(last: &'static str, record: usize) -> Outcome<()> {
    let link = LinkProfile::new().with_loss(0.2).with_jitter(Duration::from_micros(500));
    let simulation = Simulation::new(3).with_link(link).with_recording(record);
    simulation.run(async |network| conversation(network, last).await).expect("a run")
}

fn written(run: &Outcome<()>) -> Vec<u8> {
    let mut lines = Vec::new();
    run.write_trace(&mut lines).expect("memory");
    lines
}

fn file(last: &'static str, record: usize) -> TraceFile {
    TraceFile::read(&written(&run(last, record))[..]).expect("as written")
}

#[test]
fn what_was_written_is_read_back_to_the_last_field() {
    let run = run("three", 10_000);
    let file = TraceFile::read(&written(&run)[..]).expect("as written");
    assert_eq!((file.seed, file.count), (3, run.trace_count));
    assert_eq!((&file.hosts, &file.events), (&run.hosts, &run.recorded));
    assert_eq!(file.hash, run.trace_hash.to_string());
    assert_eq!(file.compare(&file, 5), TraceComparison::Same { events: run.trace_count });
}

#[test]
fn the_first_difference_of_two_files_is_named_with_what_came_before() {
    let comparison = file("three", 10_000).compare(&file("drei!", 10_000), 5);
    let TraceComparison::Differ(difference) = &comparison else { panic!("{comparison}") };
    assert_eq!(difference.before.len(), 5);
    let text = comparison.to_string();
    assert!(text.contains("three") && text.contains("drei!"), "{text}");
    assert!(text.contains("first  run: ") && text.contains("alice -> bob"), "{text}");
}

#[test]
fn a_difference_behind_what_was_recorded_is_told_from_none() {
    let comparison = file("three", 5).compare(&file("drei!", 5), 5);
    assert_eq!(comparison, TraceComparison::DifferLater { recorded: 5 });
    assert!(comparison.to_string().contains("with_recording"), "{comparison}");
    // One of them knows more of the same run.
    assert!(file("three", 5).compare(&file("three", 10_000), 5).is_same());
}

#[test]
fn what_is_no_trace_is_refused_by_its_line() {
    let lines = String::from_utf8(written(&run("three", 10))).expect("text");
    let with = |from: &str, to: &str| {
        let changed = lines.replacen(from, to, 1);
        assert_ne!(changed, lines, "{from} is there");
        TraceFile::read(changed.as_bytes()).expect_err(to).to_string()
    };
    for (from, to, said) in [
        (
            "\"kind\":\"HostAdded\"",
            "\"kind\":\"Meteor\"",
            "line 2 is no line of a trace: the kind 'Meteor'",
        ),
        ("\"n\":1,", "\"n\":7,", "line 3 is no line of a trace: it has number 7 where 1"),
        ("\"packet\":\"dial\"", "\"packet\":\"dialect\"", "the packet 'dialect'"),
        ("\"payload_start\":\"\"", "\"payload_start\":\"xy\"", "'xy' is no bytes"),
        ("\"payload_start\":\"\"", "\"payload_start\":\"abc\"", "'abc' is no bytes"),
        ("\"payload_hash\":\"", "\"payload_hash\":\"z", "is no number"),
        ("\"seed\":3,", "", "line 1 is no line of a trace: missing field `seed`"),
        ("\"at_ns\":", "\"at_ns\":-", "line 2"),
    ] {
        let error = with(from, to);
        assert!(error.contains(said), "{error}");
    }
    let long = format!("\"payload_start\":\"{}\"", "ab".repeat(33));
    assert!(with("\"payload_start\":\"\"", &long).contains("is no bytes"));
    assert!(matches!(TraceFile::read(&b""[..]), Err(TraceFileError::Empty)));
    assert!(matches!(TraceFile::read(&b"\xff\xfe"[..]), Err(TraceFileError::Io { line: 1, .. })));
}
