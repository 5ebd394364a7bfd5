//! Host and join meet through a coordinator, which each test serves itself, on loopback.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2p_coordinator::door::{Closing, Limits, http, tcp};
use p2p_coordinator::service::{Coordinator, Settings};
use p2p_coordinator::store::MemoryStore;
use p2p_coordinator::world::{Clock, Randomness};
use p2p_transport::SecretKey;
use p2p_transport::coordinator::api::{DefineZone, Timestamp};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{Running, fails, host, joins, program};

/// A coordinator with its records in memory, as good as a process: dropped, it is gone at once, with
/// its connections.
struct Service {
    runtime: Runtime,
    coordinator: Coordinator<MemoryStore>,
    address: SocketAddr,
}

impl Service {
    /// One at this address, which gives hosts this lease.
    fn start(address: &str, lease: Duration) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let mut settings = Settings::default();
        settings.terms.lease = lease;
        #[allow(clippy::disallowed_methods, reason = "after a restart, it has to be later")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let clock = Clock::starting_at(Timestamp::from_millis(0).after(now));
        let key = SecretKey::from_bytes(&[3; 32]);
        let random = Randomness::new([4; 32]);
        let coordinator = Coordinator::new(MemoryStore::new(), key, clock, random, settings);
        let listener = runtime.block_on(TcpListener::bind(address)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = http::router(coordinator.clone());
        runtime.spawn(tcp::run(listener, router, Limits::default(), Closing::new()));
        Self { runtime, coordinator, address }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn define_zone(&self, zone: &str) {
        let zone = DefineZone::new(zone.parse().expect("an id"));
        self.runtime.block_on(self.coordinator.define_zone(zone)).expect("defined");
    }

    fn close_zone(&self, zone: &str) {
        let zone = zone.parse().expect("an id");
        let closed = self.coordinator.open_zone_to_peers(&zone, false);
        self.runtime.block_on(closed).expect("closed");
    }

    fn knows_host(&self, host: &str) -> bool {
        let host = host.parse().expect("an id");
        self.runtime.block_on(self.coordinator.host(&host)).is_ok()
    }
}

/// Nothing expires while a test runs.
const LONG: Duration = Duration::from_secs(600);
const ANY_PORT: &str = "127.0.0.1:0";

/// The flags with which both programs meet.
fn meadow(url: &str) -> [&str; 4] {
    ["--coordinator", url, "--zone", "meadow"]
}

fn host_in_meadow(url: &str, name: &str) -> Running {
    let mut host = host(&[&meadow(url)[..], &["--host-id", name]].concat());
    let ready = host.event("ready");
    assert_eq!((&ready["host_id"], &ready["zone"]), (&name.into(), &"meadow".into()));
    host
}

/// A player who stays until the end of the test, or of the host.
fn playing(url: &str, name: &str) -> Running {
    let flags = ["--player", name, "--seconds", "600", "--every-ms", "50"];
    let mut join = program("join");
    join.arg("--json").args(meadow(url)).args(flags).stderr(Stdio::piped());
    let mut join = Running::start(&mut join);
    join.event("echo");
    join
}

#[test]
fn players_meet_a_host_through_the_coordinator_and_it_takes_its_leave() {
    let service = Service::start(ANY_PORT, LONG);
    let url = service.url();
    let mut host = host_in_meadow(&url, "shed");

    let mut ann = playing(&url, "ann");
    let ben = ["--player", "ben", "--seconds", "1", "--every-ms", "50", "--require-direct"];
    let ben = joins(&[&meadow(&url)[..], &ben].concat());
    let [joining, connected] =
        ["joining", "connected"].map(|kind| ben.iter().find(|event| event["ev"] == kind));
    assert_eq!(joining.expect("an event")["player"], "ben");
    let connected = connected.expect("an event");
    assert_eq!(connected["host_id"], "shed");
    let met = [host.event("connected"), host.event("connected")];
    assert_eq!(met.each_ref().map(|event| event["player"].as_str()), [Some("ann"), Some("ben")]);
    assert!(connected["session"].is_string(), "{connected}");
    assert!(met.iter().all(|event| event["session"] == connected["session"]), "one session");
    assert_eq!(host.event("closed")["player"], "ben");

    let pid = host.child.id().to_string();
    assert!(service.knows_host("shed"));
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    host.event("done");
    assert!(!service.knows_host("shed"), "it took its leave");
    ann.event("closed");
    ann.fails();
}

#[test]
fn after_a_killed_host_and_its_lease_players_come_to_another() {
    let service = Service::start(ANY_PORT, Duration::from_secs(1));
    let url = service.url();
    let mut host = host_in_meadow(&url, "first");
    let mut ann = playing(&url, "ann");
    host.child.kill().expect("killed");
    ann.event("closed");
    let sentence = ann.fails();
    assert!(sentence.contains("the connection is gone"), "{sentence}");

    let _host = host_in_meadow(&url, "second");
    for player in ["ann", "ben"] {
        let events = joins(&[&meadow(&url)[..], &["--player", player, "--seconds", "0"]].concat());
        let connected = events.iter().find(|event| event["ev"] == "connected");
        assert_eq!(connected.expect("an event")["host_id"], "second");
    }
}

#[test]
fn a_killed_coordinator_disturbs_no_players_and_a_new_one_learns_of_its_hosts() {
    let service = Service::start(ANY_PORT, Duration::from_secs(1));
    let (url, address) = (service.url(), service.address.to_string());
    let mut host = host_in_meadow(&url, "shed");
    let mut ann = playing(&url, "ann");
    drop(service);

    let sentence =
        fails(program("join").args(meadow(&url)).args(["--player", "ben", "--join-timeout", "1"]));
    assert!(sentence.contains("within 1s") && sentence.contains(&url), "{sentence}");
    // Each echo is of a message that was sent after the one before was.
    for _ in 0..10 {
        assert_eq!(ann.event("echo")["ok"], true);
    }

    // It knows nothing: not the zone, which it is told here, and not the host, which tells itself.
    let service = Service::start(&address, LONG);
    service.define_zone("meadow");
    let ben = ["--player", "ben", "--seconds", "0", "--join-timeout", "60"];
    let ben = joins(&[&meadow(&url)[..], &ben].concat());
    let connected = ben.iter().find(|event| event["ev"] == "connected").expect("an event");
    assert_eq!(connected["host_id"], "shed");
    assert!(service.knows_host("shed"));
    assert_eq!(ann.event("echo")["ok"], true);
    for player in ["ann", "ben"] {
        assert_eq!(host.event("connected")["player"], player);
    }
}

#[test]
fn what_the_coordinator_refuses_is_one_sentence() {
    let service = Service::start(ANY_PORT, LONG);
    let url = service.url();
    let meadow = meadow(&url);
    let _host = host_in_meadow(&url, "shed");
    service.define_zone("swamp");
    service.close_zone("swamp");

    let join = |arguments: &[&str]| fails(program("join").args(arguments));
    let sentence = join(&["--coordinator", &url, "--zone", "moon"]);
    assert!(sentence.contains("Zone not found: moon"), "{sentence}");
    let sentence = join(&["--coordinator", &url, "--zone", "swamp"]);
    assert!(sentence.contains("swamp is not open"), "{sentence}");
    let sentence = join(&[&meadow[..], &["--ticket", "hello"]].concat());
    assert!(sentence.contains("--ticket") && sentence.contains("--coordinator"), "{sentence}");
    let sentence = join(&[]);
    assert!(sentence.contains("--ticket") && sentence.contains("--coordinator"), "{sentence}");
    let sentence = join(&["--coordinator", &url]);
    assert!(sentence.contains("--zone"), "{sentence}");
    let sentence = join(&["--ticket", "hello", "--player", "ann"]);
    assert!(sentence.contains("--coordinator"), "{sentence}");
    let sentence = join(&["--coordinator", "play.example", "--zone", "meadow"]);
    assert!(sentence.contains("http://") && sentence.contains("ticket"), "{sentence}");

    let host = |arguments: &[&str]| fails(program("host").args(arguments));
    let sentence = host(&[&meadow[..], &["--host-id", "shed"]].concat());
    assert!(sentence.contains("choose another host id"), "{sentence}");
    let sentence = host(&["--coordinator", &url, "--zone", "swamp"]);
    assert!(sentence.contains("'swamp' is closed"), "{sentence}");
    let sentence = host(&["--zone", "meadow"]);
    assert!(sentence.contains("--coordinator"), "{sentence}");
}

/// A game client's file for this coordinator, with more of its sections.
fn p2p_config(name: &str, url: &str, sections: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("p2p-config-{}-{name}.json", std::process::id()));
    let websocket = url.replacen("http", "ws", 1);
    let text = format!(
        r#"{{"coordinator":{{"rest_api_url":"{url}/api/v1",
            "websocket_url":"{websocket}/api/v1/signaling/ws","timeout_ms":3000}},
            "webrtc":{{"max_peers":10,"connection_timeout_ms":5000}},
            "security":{{"encryption_enabled":false}}{sections}}}"#
    );
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn with_a_game_clients_file_they_meet_or_the_games_server_takes_over_as_it_says() {
    let service = Service::start(ANY_PORT, LONG);
    let url = service.url();
    let file = p2p_config("plain", &url, "");
    let file = file.to_str().expect("text");
    let by_file = ["--p2p-config", file, "--zone", "meadow"];
    let join = |flags: &[&str]| joins(&[flags, &["--seconds", "1", "--every-ms", "50"]].concat());
    let mut host = host(&[&by_file[..], &["--host-id", "shed"]].concat());
    assert!(host.event("note")["what"].as_str().is_some_and(|what| what.contains("encryption")));
    host.event("ready");
    let events = join(&by_file);
    assert!(events.iter().any(|event| event["ev"] == "connected"), "{events:?}");
    assert!(events.iter().all(|event| event["ev"] != "server"), "{events:?}");

    let server = |name: &str, sections: &str| {
        let file = p2p_config(name, &url, sections);
        let events = join(&["--p2p-config", file.to_str().expect("text"), "--zone", "meadow"]);
        let _ = std::fs::remove_file(&file);
        let found = events.iter().find(|event| event["ev"] == "server").cloned();
        found.unwrap_or_else(|| panic!("{events:?}"))["reason"].as_str().expect("text").to_owned()
    };
    assert!(server("off", r#","p2p":{"enabled":false}"#).contains("switched off"));
    let others = r#","zones":{"p2p_enabled_zones":["forest"]}"#;
    assert!(server("others", others).contains("does not name this zone"));
    service.close_zone("meadow");
    assert!(server("closed", "").contains("meadow"));
    let sections =
        r#","p2p":{"fallback_to_server":false},"logging":{"console_output":false,"level":"off"}"#;
    let strict = p2p_config("strict", &url, sections);
    let mut refused = program("join");
    refused.args(["--p2p-config", strict.to_str().expect("text"), "--zone", "meadow"]);
    assert!(fails(&mut refused).contains("meadow"));
    let _ = std::fs::remove_file(strict);
    let _ = std::fs::remove_file(file);
}
