//! Many at once, over HTTP.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::task::JoinSet;

use crate::ask::Answer;
use crate::fixture::{Service, beat, host, on_both_stores, with, zone};

on_both_stores!(
    of_twenty_parallel_adds_five_places_admit_five,
    parallel_first_registrations_all_succeed_and_make_one_host,
    a_player_who_is_added_everywhere_at_once_is_in_one_place,
    a_host_that_is_full_takes_no_more_in_parallel_either,
    nobody_is_turned_away_because_many_come_at_once,
);

async fn all(
    requests: impl IntoIterator<Item = impl Future<Output = Answer> + Send + 'static>,
) -> Vec<Answer> {
    requests.into_iter().collect::<JoinSet<_>>().join_all().await
}

async fn of_twenty_parallel_adds_five_places_admit_five(service: Service) {
    service.host("h").await;
    service.zone("z", 5).await;
    let id = service.session("h", "z", &[]).await;
    let answers = all((0..20).map(|number| {
        let service = service.clone();
        async move {
            let body = json!({ "player_id": format!("p{number}") });
            service.post(&format!("/sessions/{id}/players"), body).await
        }
    }));
    let answers = answers.await;
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((of(200), of(400)), (5, 15), "{answers:?}");
    let now = service.session_now(id).await;
    let seated: BTreeSet<_> = now["connected_players"]
        .as_array()
        .expect("a list")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!((seated.len(), &now["current_players"]), (5, &json!(5)));
}

async fn parallel_first_registrations_all_succeed_and_make_one_host(service: Service) {
    let answers = all((0..20).map(|number| {
        let service = service.clone();
        async move {
            match number % 2 {
                0 => service.post("/hosts/register", host("h")).await,
                _ => service.post("/zones/", zone("z")).await,
            }
        }
    }));
    let ids: BTreeSet<_> = answers
        .await
        .iter()
        .map(|answer| answer.is(201))
        .map(|made| (made["zone_id"].is_string(), made["id"].as_i64()))
        .collect();
    assert_eq!(ids.len(), 2, "one host and one zone: {ids:?}");
    assert_eq!(service.get("/hosts/").await.is(200).as_array().map(Vec::len), Some(1));
    assert_eq!(service.get("/zones/").await.is(200).as_array().map(Vec::len), Some(1));
}

async fn a_player_who_is_added_everywhere_at_once_is_in_one_place(service: Service) {
    service.host("h").await;
    service.zone("z", 5).await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(service.session("h", "z", &[]).await);
    }
    let answers = all(sessions.clone().into_iter().map(|id| {
        let service = service.clone();
        async move {
            service.post(&format!("/sessions/{id}/players"), json!({ "player_id": "p" })).await
        }
    }));
    for answer in answers.await {
        answer.is(200);
    }
    let mut seats = 0;
    for id in sessions {
        seats += service.session_now(id).await["current_players"].as_i64().expect("a number");
    }
    assert_eq!(seats, 1);
}

async fn a_host_that_is_full_takes_no_more_in_parallel_either(service: Service) {
    service.post("/hosts/register", with(host("h"), "max_players", json!(6))).await.is(201);
    let lenient = with(zone("z"), "min_host_quality_score", json!(0));
    service.post("/zones/", lenient).await.is(201);
    let (one, other) = (service.session("h", "z", &[]).await, service.session("h", "z", &[]).await);
    let answers = all((0..20).map(|number| {
        let (service, id) = (service.clone(), if number % 2 == 0 { one } else { other });
        async move {
            let body = json!({ "player_id": format!("p{number}") });
            service.post(&format!("/sessions/{id}/players"), body).await
        }
    }));
    let admitted = answers.await.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 6);
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 6);
}

async fn nobody_is_turned_away_because_many_come_at_once(service: Service) {
    let large = with(host("h"), "max_players", json!(1000));
    service.post("/hosts/register", large).await.is(201);
    service.zone("z", 1000).await;
    let id = service.session("h", "z", &[]).await;
    let answers = all((0..300).map(|number| {
        let service = service.clone();
        async move {
            match number % 3 {
                0 => {
                    let body = json!({ "player_id": format!("p{number}") });
                    service.post(&format!("/sessions/{id}/players"), body).await
                }
                1 => {
                    let players = [format!("p{number}")];
                    let body = json!({ "host_id": "h", "zone_id": "z", "player_ids": players });
                    service.post("/sessions/", body).await
                }
                _ => service.post("/hosts/h/heartbeat", beat()).await,
            }
        }
    }));
    let answers = answers.await;
    let refused: Vec<_> =
        answers.iter().filter(|answer| ![200, 201].contains(&answer.status)).collect();
    assert!(refused.is_empty(), "{} of 300: {:?}", refused.len(), refused[0]);
    assert_eq!(service.session_now(id).await["current_players"], 100);
    assert_eq!(service.get("/hosts/h").await.is(200)["current_players"], 200);
}
