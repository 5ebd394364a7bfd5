//! Many who say nothing.

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{PATIENCE, Served};
use crate::ask::{over_tcp, request};
use crate::folder::Folder;

/// More than the default of connections at once.
const CROWD: usize = 1100;

#[tokio::test]
async fn a_crowd_that_says_nothing_is_sent_away_and_others_are_served() {
    let folder = Folder::new();
    let config = folder.write("patient.toml", "[limits]\nheader_seconds = 1\n");
    let served =
        Served::start(&folder, &["--memory", "--config", config.to_str().expect("text")]).await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        match TcpStream::connect(served.address).await {
            Ok(stream) => crowd.push(stream),
            // As many descriptors as this machine gives us.
            Err(_) => break,
        }
    }
    let asked = over_tcp(served.address, request("GET", "/ready", None));
    let ready = timeout(PATIENCE, asked).await.expect("in time").expect("an answer").is(200);
    assert_eq!(ready["status"], Value::from("ready"));
    for mut idle in crowd {
        let end = timeout(PATIENCE, idle.read(&mut [0; 512])).await.expect("in time");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
