//! P2P switched off and on, at the start and while it runs.

use serde_json::{Value, json};

use super::process::{Served, run};
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

#[test]
fn a_zone_that_cannot_be_is_refused() {
    let folder = Folder::new();
    folder.write(".env", format!("P2P_ENABLED_ZONES=meadow,{}\n", "x".repeat(300)));
    super::process::fails(&run(&folder, &["--check-config"]), &["p2p_enabled_zones"]);
}
