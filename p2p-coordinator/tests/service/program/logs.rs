//! What the program writes down.

use std::fs::File;

use serde_json::Value;

use super::process::{Served, command};
use crate::ask::{over_tcp, request};
use crate::fixture::host;
use crate::folder::Folder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_json_each_line_of_a_request_bears_its_id() {
    let folder = Folder::new();
    let mut program = command(&folder);
    program.args(["--memory", "--listen", "127.0.0.1:0"]).env("LOG_FORMAT", "json");
    let log = folder.file("log");
    let served = Served::spawn_logging(program, File::create(&log).expect("a file")).await;
    let mut asked = request("POST", "/api/v1/hosts/register", Some(&host("h")));
    asked.headers_mut().insert("x-request-id", http::HeaderValue::from_static("the-first"));
    over_tcp(served.address, asked).await.expect("an answer").is(201);
    served.signal("TERM");
    served.ended().await;
    let text = std::fs::read_to_string(&log).expect("a log");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object on each line"))
        .collect();
    let registered = lines.iter().find(|line| line["fields"]["message"] == "host registered");
    assert_eq!(registered.expect("a line")["span"]["id"], "the-first", "{text}");
}
