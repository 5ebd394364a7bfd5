//! P2P switched off and on, at the start and while it runs.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::process::{PATIENCE, Served, run};
use crate::fixture::{beat, host};
use crate::folder::Folder;
use crate::join::peer_of;

async fn define(served: &Served, zones: &[&str]) {
    for zone in zones {
        let body = json!({
            "zone_id": zone, "zone_name": zone, "zone_display_name": zone, "map_name": "m",
        });
        served.post("/zones/", body).await.is(201);
    }
}

/// The zones open to peers, as both answers say.
async fn open(served: &Served) -> (bool, Vec<String>) {
    let info = served.get("/").await;
    let listed = served.get("/api/v1/zones/p2p/enabled").await;
    let ids = |list: &Value, of: &dyn Fn(&Value) -> Value| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items.map(|item| of(item).as_str().expect("text").to_owned()).collect()
    };
    let named = ids(&info["enabled_zones"], &Value::clone);
    assert_eq!(ids(&listed, &|zone| zone["zone_id"].clone()), named);
    (info["p2p_enabled"].as_bool().expect("yes or no"), named)
}

/// Why there is no session and no place in this zone: the word for programs.
async fn refusal(served: &Served, zone: &str) -> String {
    let made = served.post("/sessions/", json!({"zone_id": zone, "player_ids": []})).await;
    let wish = json!({"zone_id": zone, "player_id": "a", "peer_id": peer_of("a")});
    let joined = served.post("/sessions/join", wish).await;
    let reasons = [&made, &joined].map(|answer| {
        assert!((400..500).contains(&answer.status), "{answer:?}");
        answer.header("x-refusal-reason").expect("a reason").to_owned()
    });
    assert_eq!(reasons[0], reasons[1]);
    reasons[0].clone()
}

#[tokio::test]
async fn with_p2p_off_sessions_are_refused_and_no_zone_is_open() {
    let folder = Folder::new();
    folder.write(".env", "REDIS_URL=redis://x\n");
    let served = Served::start(&folder, &["--memory", "--disable-p2p"]).await;
    define(&served, &["meadow"]).await;
    assert_eq!(open(&served).await, (false, Vec::new()));
    assert_eq!(refusal(&served, "meadow").await, "zone_closed");
    assert!(served.said.contains("note: not used: REDIS_URL"), "{}", served.said);
}

#[cfg(unix)]
#[tokio::test]
async fn on_a_hangup_p2p_is_switched_as_the_files_say_and_what_waits_is_told() {
    let folder = Folder::new();
    let mut served = Served::start(&folder, &["--memory"]).await;
    define(&served, &["forest", "meadow"]).await;
    let both = vec!["forest".to_owned(), "meadow".to_owned()];
    assert_eq!(open(&served).await, (true, both.clone()));

    folder.write(".env", "P2P_ENABLED_ZONES=meadow,nowhere\nSERVICE_NAME=other\n");
    served.signal("HUP");
    served.says("read again; after a restart count: name\n").await;
    assert_eq!(open(&served).await, (true, vec!["meadow".to_owned()]));
    assert_eq!(refusal(&served, "forest").await, "zone_closed");
    assert_eq!(refusal(&served, "meadow").await, "no_host");

    folder.write(".env", "P2P_ENABLED=false\nP2P_ENABLED_ZONES=meadow\nPORT=none\n");
    served.signal("HUP");
    served.says("the configuration stays as it was: PORT is 'none'").await;
    assert_eq!(open(&served).await.1, ["meadow"]);

    folder.write(".env", "P2P_ENABLED=false\nRATE_LIMIT_ENABLED=true\nRATE_LIMIT_REQUESTS=1\n");
    served.signal("HUP");
    served.says("was read again\n").await;
    assert_eq!(served.get("/").await["p2p_enabled"], false);
    served.get("/api/v1/zones/").await;
    served.ask("GET", "/api/v1/zones/", None).await.is(429);

    folder.write(".env", "");
    served.signal("HUP");
    served.says("was read again\n").await;
    assert_eq!(open(&served).await, (true, both));
}

#[cfg(unix)]
#[tokio::test]
async fn switched_off_while_it_runs_live_sessions_are_told_wherever_they_ask_or_listen() {
    let folder = Folder::new();
    let mut served = Served::start(&folder, &["--memory"]).await;
    define(&served, &["meadow"]).await;
    served.post("/hosts/register", host("h")).await.is(201);
    let players = json!({ "host_id": "h", "zone_id": "meadow", "player_ids": ["alice", "bob"] });
    let session = served.post("/sessions/", players).await.is(201);
    let at = format!("/api/v1/sessions/{}", session["id"]);
    let listen = async |peer: &str| {
        let url = format!("ws://{}/api/v1/signaling/ws?peer_id={peer}", served.address);
        let dialled = tokio_tungstenite::connect_async(url).await.expect("connected");
        Heard(dialled.0)
    };
    let (mut alice, mut bob) = (listen("alice").await, listen("bob").await);
    alice.say(&json!({ "type": "join", "session_id": session["session_id"] })).await;
    assert_eq!(alice.next().await["type"], "session-joined");
    assert_eq!(served.get(&at).await.get("routing"), None, "as it was before there was any");
    assert_eq!(served.post("/hosts/h/heartbeat", beat()).await.is(200).get("routing"), None);

    folder.write(".env", "P2P_ENABLED=false\n");
    served.signal("HUP");
    served.says("was read again\n").await;
    let told = alice.next().await;
    assert_eq!((&told["type"], &told["routing"]), (&json!("routing"), &json!("server")));
    assert_eq!(told["session_id"], session["session_id"]);
    // Who is in no session is told too.
    let told = bob.next().await;
    assert_eq!((&told["routing"], &told["session_id"]), (&json!("server"), &Value::Null));
    assert_eq!(served.get(&at).await["routing"], "server");
    let listed = served.get("/api/v1/sessions/zone/meadow/active").await;
    assert!(listed.as_array().is_some_and(Vec::is_empty), "it never began: {listed}");
    let beaten = served.post("/hosts/h/heartbeat", beat()).await.is(200);
    assert_eq!(beaten["routing"], "server");

    folder.write(".env", "");
    served.signal("HUP");
    served.says("was read again\n").await;
    assert_eq!(alice.next().await["routing"], "peers");
    assert_eq!(bob.next().await["routing"], "peers");
    assert_eq!(served.get(&at).await.get("routing"), None);

    // The same for one zone, without a signal.
    for (switch, told) in [("disable", "server"), ("enable", "peers")] {
        served.post(&format!("/zones/meadow/{switch}-p2p"), Value::Null).await.is(200);
        let heard = alice.next().await;
        assert_eq!(
            (&heard["routing"], &heard["session_id"]),
            (&json!(told), &session["session_id"])
        );
        let beaten = served.post("/hosts/h/heartbeat", beat()).await.is(200);
        let named = json!([session["session_id"]]);
        let named = (told == "server").then_some(&named);
        assert_eq!((beaten.get("routing"), beaten.get("server_routed")), (None, named));
    }
    // And with one.
    folder.write(".env", "P2P_ENABLED_ZONES=nowhere\n");
    served.signal("HUP");
    served.says("was read again\n").await;
    assert_eq!(alice.next().await["routing"], "server");
}

/// A client on a WebSocket.
struct Heard(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Heard {
    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("in time") {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(_)) => {}
                other => panic!("it ended: {other:?}"),
            }
        }
    }
}

#[test]
fn a_zone_that_cannot_be_is_refused() {
    let folder = Folder::new();
    folder.write(".env", format!("P2P_ENABLED_ZONES=meadow,{}\n", "x".repeat(300)));
    super::process::fails(&run(&folder, &["--check-config"]), &["p2p_enabled_zones"]);
}
