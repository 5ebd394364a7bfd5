//! Configuration by `.env` files and by several names, and what is said of names that do nothing.

use super::process::{command, fails, run, text};
use crate::folder::Folder;

#[test]
fn an_env_file_counts_before_the_configuration_and_after_the_environment() {
    let folder = Folder::new();
    folder.write("some.toml", "name = 'one'\nversion = '1'\nlog = 'warn'\n");
    folder.write(".env", "export SERVICE_NAME=two # it\nP2P_SERVICE_VERSION='2'\nPORT=2\n");
    let mut program = command(&folder);
    program.args(["--config", "some.toml", "--check-config"]).env("P2P_SERVICE_NAME", "three");
    let shown = text(&program.output().expect("it runs").stdout);
    for line in [
        "name = \"three\"  # P2P_SERVICE_NAME in the environment\n",
        "version = \"2\"  # P2P_SERVICE_VERSION in .env\n",
        "listen = \"127.0.0.1:2\"  # default; PORT in .env\n",
        "log = \"warn\"  # some.toml\n",
        "\n# keys are asked for: no; tokens are looked at: yes; requests are counted: no\n",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let other = folder.write("other.env", "SERVICE_NAME=\"four\"\n");
    let other = other.to_str().expect("text");
    let shown = text(&run(&folder, &["--env-file", other, "--check-config"]).stdout);
    assert!(shown.contains("name = \"four\"") && shown.contains(":8001\""), "{shown}");
    fails(&run(&folder, &["--env-file", "absent", "--check-config"]), &["cannot read 'absent'"]);
    folder.write(".env", "JWT_SECRET_KEY='hidden\n");
    let output = run(&folder, &["--check-config"]);
    fails(&output, &["'.env' is wrong: line 1", "quotation mark"]);
    assert!(!text(&output.stderr).contains("hidden"));
}

#[test]
fn all_that_cannot_be_is_told_at_once_and_no_secret_with_it() {
    let folder = Folder::new();
    folder.write(
        ".env",
        "ENVIRONMENT=production\nJWT_SECRET_KEY=hidden-secret\nCOORDINATOR_API_KEY=hidden-key\n\
         SESSION_TIMEOUT_MINUTES=0\nCORS_ORIGINS=nowhere\nLOG_LEVEL=loud\n",
    );
    let output = run(&folder, &["--check-config"]);
    let words = [
        "JWT_SECRET_KEY",
        "COORDINATOR_API_KEY",
        "terms.session_timeout_seconds has to be at least 1",
        "'nowhere' is no origin",
        "the log level is 'loud'",
    ];
    fails(&output, &words);
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(!said.contains("hidden") && said.contains("5 things are wrong"), "{said}");
}

#[test]
fn names_of_one_setting_that_disagree_are_both_told() {
    let folder = Folder::new();
    folder.write(".env", "P2P_ENABLED=true\nENABLE_P2P=false\nPORT=1\nP2P_SERVICE_PORT=1\n");
    fails(&run(&folder, &["--check-config"]), &["ENABLE_P2P and P2P_ENABLED in .env"]);
}

#[test]
fn what_does_nothing_is_told_when_it_starts_and_when_it_is_checked() {
    let folder = Folder::new();
    folder.write(".env", "REDIS_URL=redis://:hidden@x\nP2P_ENABLD=1\nTURN_SERVERS=turn:x\n");
    let said = text(&run(&folder, &["--check-config"]).stdout);
    for words in [
        "# note: P2P_ENABLD in .env is no name of a setting: is P2P_ENABLED meant?",
        "# note: not used: REDIS_URL (one instance needs no Redis), TURN_SERVERS (pages",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!said.contains("hidden"), "{said}");
}
