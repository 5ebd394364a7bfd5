//! Configuration: file, environment, flags; and what it says of wrong ones.

use super::process::{command, fails, run, text};
use crate::folder::Folder;

#[test]
fn what_it_prints_is_a_configuration_that_it_takes() {
    let folder = Folder::new();
    let shown = run(&folder, &["--check-config"]);
    let all = text(&shown.stdout);
    assert!(shown.status.success() && all.contains("the configuration is fine"), "{all}");
    for words in [
        "listen = \"127.0.0.1:8001\"",
        "path = \"data/coordinator.db\"",
        "durability = \"process\"",
        "lease_seconds = 15",
        "body_bytes = 1048576",
    ] {
        assert!(all.contains(words), "{words} in {all}");
    }
    let file = folder.write("all.toml", all.replace("the configuration is fine", ""));
    let again = run(&folder, &["--config", file.to_str().expect("text"), "--check-config"]);
    let bare = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.split("  # ").next()).map(str::to_owned).collect()
    };
    assert_eq!(bare(&text(&again.stdout)), bare(&all));
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "nothing but our file: {left:?}");
}

#[test]
fn later_ones_win() {
    let folder = Folder::new();
    let file = folder.write("some.toml", "name = 'one'\nlisten = '127.0.0.1:1'\nlog = 'warn'\n");
    let mut command = command(&folder);
    command.args(["--check-config", "--listen", "127.0.0.1:3", "--config"]).arg(file);
    command.env("P2P_SERVICE_NAME", "two").env("P2P_SERVICE_PORT", "2").env("LOG_LEVEL", "");
    let shown = text(&command.output().expect("it runs").stdout);
    for line in [
        "name = \"two\"  # P2P_SERVICE_NAME in the environment",
        "listen = \"127.0.0.1:3\"  # --listen",
        "log = \"warn\"  # ",
        "body_bytes = 1048576  # default",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[test]
fn a_wrong_file_is_told_in_a_sentence_with_its_place() {
    let folder = Folder::new();
    let cases: [(&str, &[&str]); 11] = [
        ("lisen = '127.0.0.1:1'", &["lisen", "unknown field", "line 1"]),
        ("[limits]\nconections = 5", &["conections", "line 2"]),
        ("listen = 'nowhere'", &["listen"]),
        ("listen = 8001", &["listen"]),
        ("[store]\nkind = 'mysql'", &["mysql", "postgres", "sqlite"]),
        ("[store]\nkind = 'postgres'", &["store.url", "DATABASE_URL"]),
        ("[limits]\nbody_bytes = -1", &["body_bytes"]),
        ("[limits]\nbody_bytes = 0", &["limits.body_bytes", "at least 1"]),
        ("[terms]\nlease_seconds = 0", &["terms.lease_seconds", "at least 1"]),
        ("[terms]\nlease_seconds = 1.5", &["lease_seconds"]),
        ("log = 'loud'", &["loud", "error, warn, info, debug or trace"]),
    ];
    for (content, words) in cases {
        let file = folder.write("wrong.toml", content);
        let file = file.to_str().expect("text");
        for arguments in [&["--config", file, "--check-config"][..], &["--config", file]] {
            fails(&run(&folder, arguments), words);
        }
    }
    fails(&run(&folder, &["--config", "absent.toml"]), &["cannot read", "absent.toml"]);
    folder.write("bytes.toml", b"\xff\xfe");
    fails(&run(&folder, &["--config", "bytes.toml"]), &["bytes.toml"]);
}

#[test]
fn a_wrong_environment_is_told_by_its_name() {
    let folder = Folder::new();
    for (name, value, words) in [
        ("P2P_SERVICE_PORT", "80 01", "a port"),
        ("P2P_SERVICE_PORT", "65536", "a port"),
        ("P2P_SERVICE_HOST", "localhost", "an IP address"),
        ("LOG_LEVEL", "loud", "the log level"),
    ] {
        let mut command = command(&folder);
        command.arg("--check-config").env(name, value);
        fails(&command.output().expect("it runs"), &[value, words]);
    }
}

#[test]
fn help_tells_every_flag_and_wrong_flags_are_refused() {
    let folder = Folder::new();
    let help = run(&folder, &["--help"]);
    let help = text(&help.stdout);
    for flag in [
        "--config",
        "--check-config",
        "--disable-p2p",
        "--env-file",
        "--status",
        "--listen",
        "--p2p",
        "--database",
        "--memory",
        "--log",
        "--help",
        "--version",
    ] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
    for wrong in
        [&["--lisen"][..], &["--listen", "nowhere"], &["--memory", "--database", "x"], &["more"]]
    {
        let output = run(&folder, wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_database_is_named_by_its_url_and_its_password_is_hidden() {
    let folder = Folder::new();
    let shown = |url: &str| {
        let mut command = command(&folder);
        command.arg("--check-config").env("DATABASE_URL", url).env("DATABASE_POOL_SIZE", "7");
        let output = command.output().expect("it runs");
        text(&output.stdout) + &text(&output.stderr)
    };
    for url in [
        "postgresql://p2p:hidden@db:5432/p2p",
        "postgresql+asyncpg://p2p:hidden@db:5432/p2p",
        "postgres://db/p2p?user=p2p&password=hidden&connect_timeout=1",
    ] {
        let said = shown(url);
        for words in ["kind = \"postgres\"", "pool_size = 7", "***", "configuration is fine"] {
            assert!(said.contains(words), "{words} in {said}");
        }
        assert!(!said.contains("hidden"), "{said}");
    }
    let said = shown("sqlite:///some/where.db");
    assert!(said.contains("path = \"some/where.db\"") && said.contains("kind = \"sqlite\""));
    for url in ["mysql://p2p:hidden@db/p2p", "postgresql://p2p:hidden@db:port/p2p"] {
        let said = shown(url);
        assert!(!said.contains("hidden") && !said.contains("is fine"), "{said}");
    }
}
