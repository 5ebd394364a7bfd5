//! The program in production, and on addresses that others reach: with what it does not start.

use std::process::Output;

use serde_json::json;

use crate::ask::{over_tcp, request};
use crate::folder::Folder;
use crate::program::process::{Served, command, fails, text};

const STRONG: &str = "9f2c4e81b7a05d36c8f1e2094ab7d653";
const OTHER: &str = "41d8e0b2c39f75a6e81c0d24f9b3a768";

fn checked(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = Folder::new();
    let mut command = command(&folder);
    command.args(["--check-config", "--memory"]).args(arguments);
    command.envs(environment.iter().copied()).output().expect("it runs")
}

#[test]
fn production_wants_secrets_that_nobody_can_guess() {
    let production = ("ENVIRONMENT", "production");
    let (jwt, key) = (("JWT_SECRET_KEY", STRONG), ("COORDINATOR_API_KEY", OTHER));
    let output = checked(&[], &[production, jwt, key]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for (environment, words) in [
        (&[][..], &["JWT_SECRET_KEY has to be set", "openssl"][..]),
        (&[jwt], &["COORDINATOR_API_KEY", "there is none"]),
        (&[key], &["JWT_SECRET_KEY has to be set"]),
        (&[("JWT_SECRET_KEY", "short"), key], &["JWT_SECRET_KEY", "less than 32"]),
        (
            &[("JWT_SECRET_KEY", "your-secret-key-at-least-32-characters-long"), key],
            &["JWT_SECRET_KEY", "example's"],
        ),
        (
            &[jwt, ("COORDINATOR_API_KEY", "CHANGE-ME-in-production-0123456789")],
            &["COORDINATOR_API_KEY", "example's"],
        ),
        (
            &[jwt, ("COORDINATOR_API_KEY", "abababababababababababababababababab")],
            &["COORDINATOR_API_KEY", "again and again"],
        ),
        (&[jwt, key, ("API_KEYS", "service:short")], &["API_KEYS", "less than 32"]),
        (
            &[jwt, key, ("JWT_PREVIOUS_SECRET_KEYS", "old")],
            &["JWT_PREVIOUS_SECRET_KEYS", "less than 32"],
        ),
    ] {
        let environment: Vec<_> = [production].into_iter().chain(environment.to_vec()).collect();
        let output = checked(&[], &environment);
        fails(&output, words);
        let said = text(&output.stderr) + &text(&output.stdout);
        for (_, value) in environment.iter().filter(|(name, _)| *name != "ENVIRONMENT") {
            assert!(!said.contains(value), "a secret in: {said}");
        }
    }
}

#[test]
fn where_others_reach_it_keys_are_asked_for_unless_they_are_said_not_to_be() {
    for arguments in [&["--listen", "0.0.0.0:0"][..], &["--p2p", "0.0.0.0:0"]] {
        fails(&checked(arguments, &[]), &["COORDINATOR_API_KEY", "127.0.0.1"]);
        let open = checked(arguments, &[("API_KEY_VALIDATION_ENABLED", "False")]);
        assert!(open.status.success(), "{}", text(&open.stderr));
        let keyed = checked(arguments, &[("COORDINATOR_API_KEY", "anything in development")]);
        assert!(keyed.status.success(), "{}", text(&keyed.stderr));
    }
    assert!(checked(&[], &[]).status.success(), "on loopback it goes without");
}

#[test]
fn what_is_wrong_is_told_by_its_name() {
    for (name, value, words) in [
        ("ENVIRONMENT", "staging", "development or production"),
        ("API_KEY_VALIDATION_ENABLED", "maybe", "true or false"),
        ("API_KEY_HEADER", "X Key", "API_KEY_HEADER"),
        ("API_KEYS", "boss:abc", "a role is player, host, service or admin"),
        ("API_KEYS", "abc", "it has no role"),
        ("API_KEYS", "admin:sha256:abc", "64 hexadecimal digits"),
        ("JWT_ALGORITHM", "RS256", "HS256"),
        ("JWT_EXPIRATION_SECONDS", "0", "at least 1"),
        ("CORS_ORIGINS", "play.example", "is no origin"),
        ("TRUSTED_PROXIES", "nginx", "is no network"),
        ("TRUSTED_PROXY_HEADER", "x-real-ip", "x-forwarded-for or forwarded"),
        ("RATE_LIMIT_REQUESTS", "-1", "a whole number"),
        ("TLS_CERT_FILE", "cert.pem", "TLS_KEY_FILE"),
    ] {
        fails(&checked(&[], &[(name, value)]), &[words]);
    }
}

#[test]
fn what_is_printed_hides_secrets() {
    let secrets = [
        ("JWT_SECRET_KEY", STRONG),
        ("COORDINATOR_API_KEY", OTHER),
        ("API_KEYS", "service:bd8f6a02c4e19753bd8f6a02c4e19753"),
        ("CORS_ORIGINS", "https://play.example"),
    ];
    let shown = text(&checked(&[], &secrets).stdout);
    assert!(shown.contains("jwt_secret_key = \"(set, "), "{shown}");
    assert!(shown.contains("https://play.example"), "{shown}");
    for secret in [STRONG, OTHER, "bd8f6a02"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn in_production_it_asks_for_the_key_counts_and_gives_tokens_that_survive_a_restart() {
    let folder = Folder::new();
    let start = || {
        let mut command = command(&folder);
        command.args(["--listen", "127.0.0.1:0"]).envs([
            ("ENVIRONMENT", "production"),
            ("JWT_SECRET_KEY", STRONG),
            ("COORDINATOR_API_KEY", OTHER),
        ]);
        Served::spawn(command)
    };
    let ask = async |served: &Served, path: &str, name: &str, value: &str| {
        let body = (path == "/api/v1/auth/token").then(|| json!({ "player_id": "alice" }));
        let method = if body.is_some() { "POST" } else { "GET" };
        let mut request = request(method, path, body.as_ref());
        super::header(&mut request, name, value);
        over_tcp(served.address, request).await.expect("an answer")
    };
    let served = start().await;
    let none = ask(&served, "/api/v1/hosts/", "x-other", "x").await;
    assert_eq!((none.status, none.header("x-ratelimit-limit")), (401, Some("100")));
    let reply = ask(&served, "/api/v1/auth/token", "x-api-key", OTHER).await.is(200);
    served.signal("TERM");
    served.ended().await;

    let served = start().await;
    let token = format!("Bearer {}", super::text(&reply["access_token"]));
    ask(&served, "/api/v1/hosts/", "authorization", &token).await.is(200);
}
