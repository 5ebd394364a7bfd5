//! Two pages in headless browsers make a WebRTC data channel through the coordinator.
//!
//! The test serves the page on loopback; each page tells it how it went. Nothing else is reached: peers
//! find each other by their host candidates.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::Server;
use crate::folder::Folder;

/// Two browsers have to start on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let mut places = NAMES.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
    places.find(|place| place.is_file()).unwrap_or_else(|| {
        panic!(
            "this test needs the browser Chromium: apt-get install chromium (no {NAMES:?} in PATH)"
        )
    })
}

/// A browser that shows a page, and ends with the test.
fn show(page: &str, folder: &Folder, number: usize) -> Child {
    let profile = folder.file(&format!("profile-{number}"));
    let mut command = Command::new(browser());
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // Names of the local network would have to be resolved by multicast.
        .args(["--disable-features=WebRtcHideLocalIpsWithMdns", "--disable-dev-shm-usage"])
        // Nobody looks at it, and it is to run all the same.
        .args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"])
        .args(["--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().expect("the browser starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pages_make_a_data_channel() {
    let server = Server::guarded().await;
    let session = server.session("plaza", &["alice", "bob"]).await;
    let (tell, mut told) = mpsc::unbounded_channel::<String>();
    let pages = Router::new()
        .route("/", get(async || Html(include_str!("browser.html"))))
        .route("/told", post(async move |text: String| drop(tell.send(text))));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let here = listener.local_addr().expect("bound");
    tokio::spawn(axum::serve(listener, pages).into_future());

    let folder = Folder::new();
    let mut browsers = Vec::new();
    for (number, name) in ["alice", "bob"].into_iter().enumerate() {
        let token = server.token(name);
        let socket =
            server.url(&format!("?peer_id={name}&token={token}&session_id={session}&resume=new"));
        browsers.push(show(&format!("http://{here}/#{socket}"), &folder, number));
    }
    let mut done = Vec::new();
    let both = async {
        while done.len() < 2 {
            let text = told.recv().await.expect("the page can be reached");
            assert!(!text.starts_with("failed"), "{text}");
            done.extend(text.strip_prefix("done ").map(ToOwned::to_owned));
        }
    };
    timeout(PATIENCE, both).await.expect("both pages tell that they are done, in time");
    done.sort_unstable();
    assert_eq!(done, ["alice heard: hello from bob", "bob heard: hello from alice"]);
    for mut browser in browsers {
        browser.kill().await.expect("ended");
    }
}
