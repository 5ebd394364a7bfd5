//! A PostgreSQL server of the test's own, from the system's packages.
//!
//! It serves on a free port of the loopback, with its data in a folder for temporary files. A shell
//! holds it and reads from us: when we end, however that is, the shell reads the end, stops the server
//! and removes its data. The server refuses to run as root; for root it runs as the user `postgres`,
//! whom the package brings.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

/// What the shell does: `$1` is the programs' folder, `$2` the data's, `$3` the server's options.
const HOLD: &str = r#"
trap '' INT TERM HUP
"$1/initdb" -D "$2" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$2.log" 2>&1 &&
"$1/pg_ctl" -D "$2" -l "$2.log" -o "$3" -w -t 60 start >>"$2.log" 2>&1 &&
echo ready && cat >/dev/null
tail -n 20 "$2.log"
"$1/pg_ctl" -D "$2" -m immediate stop >/dev/null 2>&1
rm -rf "$2" "$2.log"
"#;

pub(crate) struct Server {
    programs: PathBuf,
    data: PathBuf,
    options: String,
    port: u16,
    databases: AtomicU32,
    /// Its standard input is what the shell reads.
    _shell: Child,
}

#[allow(dead_code, reason = "not every test does all of it")]
impl Server {
    /// The one of this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One that the test may kill.
    pub(crate) fn start() -> Self {
        // Not the disk's flush: it is not a machine's crash that tests survive.
        Self::start_with("-c fsync=off -c full_page_writes=off")
    }

    pub(crate) fn start_with(settings: &str) -> Self {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let programs = programs();
        let name = format!("p2p-coordinator-postgres-{}-{number}", std::process::id());
        let data = std::env::temp_dir().join(name);
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' \
             -c max_connections=300 -c shared_buffers=64MB {settings}"
        );
        let mut shell = as_user("sh")
            .args(["-c", HOLD, "sh"])
            .args([programs.as_os_str(), data.as_os_str()])
            .arg(&options)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell; for root also setpriv, of the package util-linux");
        let mut said = String::new();
        let mut lines = BufReader::new(shell.stdout.take().expect("its output"));
        while !said.contains("ready\n") {
            let read = lines.read_line(&mut said).expect("text");
            assert_ne!(read, 0, "PostgreSQL does not start: {said}");
        }
        Self { programs, data, options, port, databases: AtomicU32::new(0), _shell: shell }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a new database.
    pub(crate) async fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        self.url(&name)
    }

    /// Runs a statement as an administrator would.
    pub(crate) async fn execute(&self, database: &str, statement: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), NoTls).await.expect("a connection");
        let driven = tokio::spawn(connection);
        client.batch_execute(statement).await.expect("the statement is right");
        drop(client);
        driven.await.expect("no panic").expect("it ends well");
    }

    /// Kills it, as a loss of power would: nothing of it runs any more.
    pub(crate) fn kill(&self) {
        let file = self.data.join("postmaster.pid");
        let script = format!(
            "pid=$(head -n 1 '{0}') && kill -9 $pid && while kill -0 $pid 2>/dev/null; do :; done",
            file.display()
        );
        let killed = as_user("sh").args(["-c", &script]).current_dir("/").status();
        assert!(killed.expect("a shell").success());
    }

    /// Starts it again, on the same port with the same data.
    pub(crate) fn start_again(&self) {
        let started = as_user("sh")
            .args(["-c", r#""$1/pg_ctl" -D "$2" -l "$2.log" -o "$3" -w -t 60 start"#, "sh"])
            .args([self.programs.as_os_str(), self.data.as_os_str()])
            .arg(&self.options)
            .current_dir("/")
            .stdout(Stdio::null())
            .status();
        assert!(started.expect("a shell").success(), "it starts again");
    }
}

/// A command that is not run by root.
fn as_user(program: &str) -> Command {
    let root = Command::new("id").arg("-u").output().expect("id runs").stdout == b"0\n";
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", program]);
    command
}

/// The folder of the newest server that is installed.
fn programs() -> PathBuf {
    let debian = Path::new("/usr/lib/postgresql");
    let installed = std::fs::read_dir(debian).into_iter().flatten().flatten().map(|of| of.path());
    let number = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let debian = installed.max_by_key(number).map(|path| path.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = debian.into_iter().chain(std::env::split_paths(&path)).collect();
    folders.into_iter().find(|folder| folder.join("initdb").is_file()).unwrap_or_else(|| {
        panic!(
            "PostgreSQL is not installed, and these tests run on a real one: \
             apt-get install postgresql (Debian), then run them again"
        )
    })
}
