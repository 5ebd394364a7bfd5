//! A process that is ended when the test is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::ask::{Answer, over_tcp, request};
use crate::folder::Folder;

/// How long anything may take that takes moments.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program, in a folder of its own, with nothing from our environment that configures it.
pub(crate) fn command(folder: &Folder) -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_p2p-coordinator")), folder.path())
}

pub(crate) fn prepared(mut command: Command, folder: &Path) -> Command {
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["HOST", "PORT", "NAME", "VERSION"] {
        command.env_remove(format!("P2P_SERVICE_{name}"));
    }
    for name in [
        "HOST",
        "PORT",
        "P2P_ENABLED",
        "ENABLE_P2P",
        "P2P_ENABLED_ZONES",
        "POSTGRES_HOST",
        "POSTGRES_DB",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "P2P_COORDINATOR_DATABASE",
        "DATABASE_URL",
        "DATABASE_POOL_SIZE",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "PROMETHEUS_ENABLED",
        "ENVIRONMENT",
        "P2P_SERVICE_ENV",
        "COORDINATOR_API_KEY",
        "API_KEYS",
        "API_KEY_VALIDATION_ENABLED",
        "JWT_SECRET_KEY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end: it must end by itself.
pub(crate) fn run(folder: &Folder, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().expect("the program runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Ends with code 1, says one sentence about what is wrong, and neither panics nor says more.
#[track_caller]
pub(crate) fn fails(output: &Output, words: &[&str]) {
    let said = text(&output.stderr);
    let sentence = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("p2p-coordinator: ") && !said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "'{word}' in: {sentence} {said}");
    }
}

/// A coordinator that serves.
pub(crate) struct Served {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// All it said until it served.
    pub(crate) said: String,
}

impl Served {
    pub(crate) async fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut command = command(folder);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command).await
    }

    pub(crate) async fn spawn(command: Command) -> Self {
        Self::spawn_logging(command, Stdio::null()).await
    }

    /// With somewhere for its log.
    pub(crate) async fn spawn_logging(command: Command, log: impl Into<Stdio>) -> Self {
        let mut child = tokio::process::Command::from(command)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut said = String::new();
        while !said.contains("Ctrl-C stops it") {
            let line = timeout(PATIENCE, out.read_line(&mut said)).await;
            let read = line.expect("in time").expect("text");
            assert_ne!(read, 0, "it ended early: {said}");
        }
        let first = said.lines().next().expect("a line");
        let (_, address) = first.rsplit_once("://").expect("the address");
        let address = address.parse().expect("an address");
        Self { child, out, address, said }
    }

    /// Its process's.
    pub(crate) fn id(&self) -> String {
        self.child.id().expect("it runs").to_string()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.id()]).status();
        let status = kill.expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end; how it ended, and what it said since it served.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let end = async {
            self.out.read_to_string(&mut rest).await.expect("text");
            self.child.wait().await.expect("its status")
        };
        let status = timeout(PATIENCE, end).await.expect("it ends");
        (status, rest)
    }

    /// Waits for a line of its output.
    pub(crate) async fn says(&mut self, words: &str) {
        let mut said = String::new();
        while !said.contains(words) {
            let line = timeout(PATIENCE, self.out.read_line(&mut said)).await;
            assert_ne!(line.expect("in time").expect("text"), 0, "{said}");
        }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let asked = over_tcp(self.address, request(method, path, body.as_ref()));
        timeout(PATIENCE, asked).await.expect("in time").expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, None).await.is(200)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", &format!("/api/v1{path}"), Some(body)).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        // Its folder is removed next.
        while let Ok(None) = self.child.try_wait() {
            std::thread::yield_now();
        }
    }
}
