//! The example programs, run as their users run them: separate processes on loopback.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

mod coordinator;

/// Where cargo puts examples, beside this test.
fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "{} is missing: run the tests by ./test", path.display());
    Command::new(path)
}

/// A folder of one test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("p2p-transport-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program that runs on, with events on its output; killed at the end of the test.
struct Running {
    child: Child,
    events: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let events = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, events }
    }

    /// The next event of this kind.
    fn event(&mut self, kind: &str) -> Value {
        let mut line = String::new();
        while self.events.read_line(&mut line).expect("readable") > 0 {
            let event: Value = serde_json::from_str(&line).expect("one JSON object a line");
            assert!(event["t"].is_u64(), "{line}");
            if event["ev"] == kind {
                return event;
            }
            line.clear();
        }
        panic!("the program ended before '{kind}'");
    }

    /// Waits for its end, which has to be a failure in one sentence.
    fn fails(mut self) -> String {
        assert!(!self.child.wait().expect("it ends").success());
        let mut words = String::new();
        let mut errors = self.child.stderr.take().expect("a pipe");
        errors.read_to_string(&mut words).expect("readable");
        assert_eq!(words.trim_end().lines().count(), 1, "{words}");
        words
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A join that is to go well: what happened.
fn joins(arguments: &[&str]) -> Vec<Value> {
    let Output { status, stdout, stderr } =
        program("join").arg("--json").args(arguments).output().expect("join runs");
    let printed = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{printed}{}", String::from_utf8_lossy(&stderr));
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn host(arguments: &[&str]) -> Running {
    Running::start(program("host").arg("--json").args(arguments))
}

/// A relay on loopback, and its first event.
fn relay(certificate: &str) -> (Running, Value) {
    let flags = ["--json", "--listen", "127.0.0.1:0", "--quic", "0", "--cert-out", certificate];
    let mut relay = Running::start(program("relay").args(flags));
    let serving = relay.event("ready");
    (relay, serving)
}

/// Runs a program that has to fail, and returns its one sentence.
fn fails(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success(), "it must fail: {stdout}{stderr}");
    assert!(status.code().is_some(), "by an exit code, not a signal");
    assert_eq!(stderr.trim_end().lines().count(), 1, "one sentence: {stderr}");
    for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!stderr.contains(trace), "{stderr}");
    }
    stderr.into_owned()
}

#[test]
fn peers_meet_directly_and_exchange_echoes_and_a_file() {
    let folder = Folder::new();
    let (ticket, file) = (folder.path("ticket"), folder.path("file"));
    std::fs::write(&file, vec![7; 3_000_000]).expect("written");
    let mut host = host(&["--ticket-out", &ticket]);
    let ready = host.event("ready");
    assert_eq!(
        std::fs::read_to_string(&ticket).expect("the ticket is there").trim(),
        ready["ticket"].as_str().expect("a ticket")
    );
    let events = joins(
        &[
            &["--ticket", &ticket, "--seconds", "1", "--every-ms", "50"][..],
            &["--require-direct", "--file", &file],
        ]
        .concat(),
    );
    let count = |kind: &str| events.iter().filter(|event| event["ev"] == kind).count();
    assert_eq!((count("dialing"), count("connected"), count("done")), (1, 1, 1), "{events:?}");
    assert!(count("echo") >= 5, "{events:?}");
    assert!(events.iter().all(|event| event["ev"] != "echo" || event["ok"] == true), "{events:?}");
    assert!(events.iter().any(|event| event["selected"] == "direct"), "{events:?}");
}

#[test]
fn peers_meet_over_a_relay_of_their_own() {
    let folder = Folder::new();
    let (certificate, ticket) = (folder.path("relay.pem"), folder.path("ticket"));
    let (_relay, serving) = relay(&certificate);
    let url = serving["url"].as_str().expect("a URL").to_owned();
    let quic = serving["quic_port"].to_string();
    let flags = ["--relay", &url, "--relay-ca", &certificate, "--relay-quic", &quic];
    let mut host = host(&[&flags[..], &["--ticket-out", &ticket]].concat());
    host.event("ready");
    let ticket = ["--ticket", &ticket, "--seconds", "1", "--every-ms", "50"];
    joins(&[&ticket[..], &flags].concat());
}

#[test]
fn a_killed_host_is_noticed() {
    let mut host = host(&[]);
    let ticket = host.event("ready")["ticket"].as_str().expect("a ticket").to_owned();
    let mut join = Running::start(
        program("join")
            .args(["--json", "--ticket", &ticket, "--seconds", "600", "--every-ms", "50"])
            .stderr(Stdio::piped()),
    );
    join.event("echo");
    host.child.kill().expect("killed");
    let closed = join.event("closed");
    assert!(
        closed["reason"].as_str().is_some_and(|reason| reason.contains("timed out")),
        "{closed}"
    );
    join.fails();
}

#[test]
fn bad_input_is_answered_with_one_sentence() {
    let folder = Folder::new();
    let mut host = host(&[]);
    let ticket = host.event("ready")["ticket"].as_str().expect("a ticket").to_owned();
    let nothing = folder.path("nothing");
    let join = |arguments: &[&str]| fails(program("join").args(arguments));

    let sentence = join(&["--ticket", &ticket[..ticket.len() - 1]]);
    assert!(sentence.contains("damaged or cut off"), "{sentence}");
    let sentence = join(&["--ticket", "hello"]);
    assert!(sentence.contains("ticket"), "{sentence}");
    let sentence = join(&["--ticket", &ticket, "--file", &nothing]);
    assert!(sentence.contains(&nothing), "{sentence}");
    let sentence = join(&["--ticket", &ticket, "--relay", "relay.example"]);
    assert!(sentence.contains("https://"), "{sentence}");
    let sentence = join(&["--ticket", &ticket, "--relay-ca", &nothing]);
    assert!(sentence.contains(&nothing), "{sentence}");
    let sentence = fails(program("quickstart").arg(&nothing));
    assert!(sentence.contains(&nothing), "{sentence}");
    let sentence = fails(program("echo").env("P2P_IMPLEMENTATION", "tcp"));
    assert!(
        sentence.contains("P2P_IMPLEMENTATION") && sentence.contains("simulator"),
        "{sentence}"
    );

    let taken = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let sentence = fails(program("host").args(["--port", &port]));
    assert!(sentence.contains(&port) && sentence.contains("in use"), "{sentence}");
}

#[test]
fn a_relay_that_refuses_or_proves_nothing_is_named() {
    let folder = Folder::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let refusing = format!("https://{}", free.local_addr().expect("bound"));
    drop(free);
    let sentence = fails(program("host").args(["--relay", &refusing]));
    assert!(sentence.contains(&refusing), "{sentence}");

    let (_relay, serving) = relay(&folder.path("relay.pem"));
    let url = serving["url"].as_str().expect("a URL");
    let quic = serving["quic_port"].to_string();
    let sentence = fails(program("host").args(["--relay", url, "--relay-quic", &quic]));
    assert!(sentence.contains(url.trim_end_matches('/')), "{sentence}");
    assert!(sentence.contains("certificate"), "{sentence}");
}
