//! Rules of the house that a build can break.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The normal dependencies of a package with its default features, each as `name vX.Y.Z`, with the
/// features that are on.
fn tree(package: &str, format: &str) -> BTreeSet<String> {
    let printed = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--package",
        package,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        format,
    ]);
    printed.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn nothing_of_ours_brings_test_features_into_a_default_build() {
    let packages = tree("p2p-transport", "{p} features: {f}");
    assert!(packages.iter().any(|line| line.starts_with("iroh v")), "iroh is on by default");
    for line in packages {
        let (package, features) = line.split_once(" features: ").expect("as asked");
        assert!(!package.starts_with("p2p-simulator"), "the simulator is off by default");
        if package.starts_with("iroh v") {
            assert!(!features.split(',').any(|feature| feature == "test-utils"), "{line}");
        }
    }
    // Who asks for tokio's `test-util`: the lines below it, of depth 2.
    let askers = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--package",
        "p2p-transport",
        "--edges",
        "features,no-dev",
        "--invert",
        "tokio",
        "--prefix",
        "depth",
        "--depth",
        "2",
        "--no-dedupe",
    ]);
    assert!(askers.contains(r#"1tokio feature "time""#), "as cargo prints it: {askers}");
    let askers: BTreeSet<_> = askers
        .lines()
        .skip_while(|line| *line != r#"1tokio feature "test-util""#)
        .skip(1)
        .take_while(|line| line.starts_with('2'))
        .filter_map(|line| line[1..].split_whitespace().next())
        .collect();
    // iroh 1.4 brings it in by this crate, which we cannot help; should it stop to, so much the
    // better: then the set is empty.
    let unavoidable = BTreeSet::from(["n0-future"]);
    assert!(askers.is_subset(&unavoidable), "tokio/test-util is asked for by {askers:?}");
}

#[test]
fn the_core_depends_on_little() {
    let direct = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--package",
        "p2p-core",
        "--edges",
        "normal",
        "--depth",
        "1",
        "--prefix",
        "none",
        "--format",
        "{lib}",
    ]);
    let direct: BTreeSet<_> = direct.split_whitespace().collect();
    let expected = BTreeSet::from([
        "p2p_core",
        "async_trait",
        "bytes",
        "crc32fast",
        "data_encoding",
        "ed25519_dalek",
        "futures_core",
        "lz4_flex",
        "pin_project_lite",
        "postcard",
        "serde",
        "thiserror",
        "tokio",
        "tracing",
    ]);
    assert_eq!(direct, expected);
}

#[test]
fn no_dependency_needs_a_newer_rust_than_we_promise() {
    // Of this platform only: the others' crates need not be there.
    let version = cargo(&["--version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a platform");
    let metadata = cargo(&[
        "metadata",
        "--locked",
        "--offline",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let rust: BTreeMap<String, (u64, u64)> = packages
        .iter()
        .filter_map(|package| {
            let version = package["rust_version"].as_str()?;
            let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
            let rust = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            let name = format!("{} v{}", package["name"].as_str()?, package["version"].as_str()?);
            Some((name, rust))
        })
        .collect();
    for (package, promised) in [
        ("p2p-coordinator", (1, 91)),
        ("p2p-coordinator-api", (1, 85)),
        ("p2p-coordinator-client", (1, 85)),
        ("p2p-core", (1, 85)),
        ("p2p-simulator", (1, 85)),
        ("p2p-iroh", (1, 91)),
        ("p2p-transport", (1, 91)),
    ] {
        let all = tree(package, "{p}");
        assert!(all.len() > 5, "{package}: {all:?}");
        for line in all {
            let name: Vec<_> = line.split_whitespace().take(2).collect();
            let needs = rust.get(&name.join(" ")).copied().unwrap_or((1, 0));
            assert!(needs <= promised, "{package} promises {promised:?}, {line} needs {needs:?}");
            if name[0] == package {
                assert_eq!(needs, promised, "{package} states its promise");
            }
        }
    }
}

const OLDER_RUST: [&str; 4] =
    ["p2p-coordinator-api", "p2p-coordinator-client", "p2p-core", "p2p-simulator"];

/// The coordinator's client knows no backend, and the coordinator's library neither.
#[test]
fn arrows_point_down_only() {
    for (package, forbidden) in [
        ("p2p-coordinator-api", &["p2p-iroh", "p2p-simulator", "p2p-coordinator-client"][..]),
        ("p2p-coordinator-client", &["p2p-iroh", "p2p-simulator", "p2p-coordinator"]),
        ("p2p-simulator", &["p2p-iroh", "p2p-coordinator-api"]),
        ("p2p-iroh", &["p2p-simulator", "p2p-coordinator-api"]),
    ] {
        let below = tree(package, "{p}");
        for name in forbidden {
            let found = below.iter().find(|line| line.split_whitespace().next() == Some(name));
            assert_eq!(found, None, "{package} depends on {name}");
        }
    }
    let arguments =
        ["--package", "p2p-coordinator", "--no-default-features", "--features", "sqlite"];
    let library = cargo(
        &[
            &["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"],
            &arguments[..],
        ]
        .concat(),
    );
    assert!(library.contains("p2p-core") && !library.contains("p2p-iroh"), "{library}");
}

/// Lints know which functions came when, but not which syntax: `if let` with `&&` came with 1.88.
#[test]
fn crates_that_promise_an_older_rust_use_no_let_chains() {
    let mut folders: Vec<PathBuf> =
        OLDER_RUST.map(|package| Path::new(env!("CARGO_MANIFEST_DIR")).join(package)).into();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).expect("text");
                files += 1;
                // As rustfmt lays them out: a `let` behind `&&`, or a line with `&&` after one that
                // begins with `if let` or `while let`.
                let mut lines = source.lines().map(str::trim_start).peekable();
                while let Some(line) = lines.next() {
                    let next_is_and = lines.peek().is_some_and(|next| next.starts_with("&& "));
                    let begins = line.starts_with("if let ") || line.starts_with("while let ");
                    assert!(!line.contains("&& let "), "{}: {line}", path.display());
                    assert!(!(begins && next_is_and), "{}: {line}", path.display());
                }
            }
        }
    }
    assert!(files > 100, "{files} files were read");
}
