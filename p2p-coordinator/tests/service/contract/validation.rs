//! 422: the validator's objects, for every kind of field.

use serde_json::{Value, json};

use crate::fixture::{Service, beat, host, on_both_stores, with, without, zone};

on_both_stores!(
    each_missing_field_is_told_in_order,
    whole_numbers_have_bounds_and_may_be_text,
    numbers_have_bounds_and_may_be_text,
    text_is_text,
    truth_values_have_many_words,
    objects_and_lists_are_what_they_say,
    queries_are_checked_as_well,
    all_that_is_wrong_is_told_at_once_and_nothing_is_kept,
);

/// The validator's sentence for a kind, and what it says of its bound.
fn told(kind: &str, bound: &Value) -> (String, Value) {
    let text = match kind {
        "missing" => "Field required".into(),
        "greater_than_equal" => format!("Input should be greater than or equal to {bound}"),
        "less_than_equal" => format!("Input should be less than or equal to {bound}"),
        "int_parsing" => {
            "Input should be a valid integer, unable to parse string as an integer".into()
        }
        "int_from_float" => {
            "Input should be a valid integer, got a number with a fractional part".into()
        }
        "int_type" => "Input should be a valid integer".into(),
        "float_parsing" => {
            "Input should be a valid number, unable to parse string as a number".into()
        }
        "float_type" => "Input should be a valid number".into(),
        "finite_number" => "Input should be a finite number".into(),
        "bool_parsing" => "Input should be a valid boolean, unable to interpret input".into(),
        "bool_type" => "Input should be a valid boolean".into(),
        "string_type" => "Input should be a valid string".into(),
        "string_too_short" => "String should have at least 1 character".into(),
        "list_type" => "Input should be a valid list".into(),
        "dict_type" => "Input should be a valid dictionary".into(),
        other => panic!("no sentence for {other}"),
    };
    let name = match kind {
        "greater_than_equal" => "ge",
        "less_than_equal" => "le",
        "string_too_short" => "min_length",
        _ => return (text, Value::Null),
    };
    (text, json!({ name: bound }))
}

/// One field is wrong, in this way. Bounds compare as numbers: 0 is 0.0.
async fn wrong(service: &Service, path: &str, body: &Value, loc: Value, kind: &str, bound: Value) {
    let answer = service.post(path, body.clone()).await.is(422);
    let objects = answer["detail"].as_array().expect("a list");
    assert_eq!(objects.len(), 1, "{body}: {answer}");
    let object = &objects[0];
    let (msg, ctx) = told(kind, &bound);
    let name = loc[1].as_str().expect("a field");
    let input = if kind == "missing" { body } else { &body[name] };
    let input = if loc.as_array().is_some_and(|loc| loc.len() == 3) { &input[1] } else { input };
    assert_eq!(object["type"], kind, "{body}: {object}");
    assert_eq!(object["loc"], loc);
    assert_eq!(object["msg"], msg);
    assert_eq!(&object["input"], input);
    match ctx.as_object() {
        None => assert_eq!(object.get("ctx"), None),
        Some(ctx) => {
            let (name, bound) = ctx.iter().next().expect("a bound");
            assert_eq!(object["ctx"][name].as_f64(), bound.as_f64(), "{object}");
        }
    }
}

async fn field(
    service: &Service,
    path: &str,
    good: &Value,
    name: &str,
    cases: &[(Value, &str, i64)],
) {
    for (value, kind, bound) in cases {
        let body = with(good.clone(), name, value.clone());
        if *kind == "ok" {
            let status = service.post(path, body.clone()).await.status;
            assert!([200, 201].contains(&status), "{body}: {status}");
        } else {
            wrong(service, path, &body, json!(["body", name]), kind, json!(bound)).await;
        }
    }
}

async fn each_missing_field_is_told_in_order(service: Service) {
    service.host("h").await;
    let session = json!({ "host_id": "h", "zone_id": "z", "player_ids": [] });
    let zone_fields = ["zone_id", "zone_name", "zone_display_name", "map_name"];
    let host_fields = [
        "host_id",
        "player_id",
        "player_name",
        "ip_address",
        "port",
        "cpu_cores",
        "cpu_frequency_mhz",
        "memory_mb",
        "network_speed_mbps",
    ];
    let beat_fields = [
        "latency_ms",
        "packet_loss_percent",
        "bandwidth_usage_mbps",
        "current_players",
        "current_zones",
    ];
    let forms: [(&str, Value, &[&str]); 4] = [
        ("/hosts/register", host("h"), &host_fields),
        ("/hosts/h/heartbeat", beat(), &beat_fields),
        ("/zones/", zone("z"), &zone_fields),
        ("/sessions/", session, &["host_id", "zone_id", "player_ids"]),
    ];
    for (path, good, names) in forms {
        let all = service.post(path, json!({})).await.is(422);
        let expected: Vec<_> = names
            .iter()
            .map(|name| {
                json!({
                    "type": "missing", "loc": ["body", name], "msg": "Field required", "input": {},
                })
            })
            .collect();
        assert_eq!(all, json!({ "detail": expected }), "{path}");
        // A session without a host is a session on the best: the one difference.
        for name in names.iter().filter(|name| path != "/sessions/" || **name != "host_id") {
            let body = without(good.clone(), name);
            wrong(&service, path, &body, json!(["body", name]), "missing", Value::Null).await;
        }
    }
}

async fn whole_numbers_have_bounds_and_may_be_text(service: Service) {
    const MAX: i64 = i32::MAX as i64;
    let cases = [
        (json!(1), "ok", 0),
        (json!("5"), "ok", 0),
        (json!(" 5 "), "ok", 0),
        (json!("5.0"), "ok", 0),
        (json!("1_000"), "ok", 0),
        (json!(5.0), "ok", 0),
        (json!(true), "ok", 0),
        (json!(0), "greater_than_equal", 1),
        (json!(-1), "greater_than_equal", 1),
        (json!("-5"), "greater_than_equal", 1),
        (json!(false), "greater_than_equal", 1),
        (json!(5.5), "int_from_float", 0),
        (json!("5.5"), "int_parsing", 0),
        (json!("x"), "int_parsing", 0),
        (json!(""), "int_parsing", 0),
        (json!("0x10"), "int_parsing", 0),
        (json!("1e3"), "int_parsing", 0),
        (json!(null), "int_type", 0),
        (json!([]), "int_type", 0),
        (json!({}), "int_type", 0),
    ];
    let good = host("h");
    for name in ["port", "cpu_cores", "cpu_frequency_mhz", "memory_mb", "network_speed_mbps"] {
        field(&service, "/hosts/register", &good, name, &cases).await;
        let most = if name == "port" { 65_535 } else { MAX };
        let huge = [
            (json!(most), "ok", 0),
            (json!(most + 1), "less_than_equal", most),
            (json!(i64::MAX), "less_than_equal", most),
            (json!(u64::MAX), "less_than_equal", most),
            (json!(1e300), "less_than_equal", most),
            (json!("9".repeat(60)), "less_than_equal", most),
            (json!(i64::MIN), "greater_than_equal", 1),
        ];
        field(&service, "/hosts/register", &good, name, &huge).await;
    }
    let good = zone("z");
    for name in ["max_players", "recommended_players", "min_bandwidth_mbps", "max_latency_ms"] {
        field(&service, "/zones/", &good, name, &cases).await;
    }
    let priority = [
        (json!(10), "ok", 0),
        (json!(11), "less_than_equal", 10),
        (json!(0), "greater_than_equal", 1),
    ];
    field(&service, "/zones/", &good, "p2p_priority", &priority).await;
    for name in ["current_players", "current_zones"] {
        let counts = [
            (json!(0), "ok", 0),
            (json!(1_000_000), "ok", 0),
            (json!(-1), "greater_than_equal", 0),
            (json!(MAX + 1), "less_than_equal", MAX),
        ];
        field(&service, "/hosts/h/heartbeat", &beat(), name, &counts).await;
    }
}

async fn numbers_have_bounds_and_may_be_text(service: Service) {
    service.host("h").await;
    let common = [
        (json!(0), "ok", 0),
        (json!(0.5), "ok", 0),
        (json!("5.5"), "ok", 0),
        (json!(" 1e1 "), "ok", 0),
        (json!(-0.5), "greater_than_equal", 0),
        (json!("-1"), "greater_than_equal", 0),
        (json!("x"), "float_parsing", 0),
        (json!(""), "float_parsing", 0),
        (json!("nan"), "finite_number", 0),
        (json!("inf"), "finite_number", 0),
        (json!(null), "float_type", 0),
        (json!([]), "float_type", 0),
    ];
    for name in ["latency_ms", "packet_loss_percent", "bandwidth_usage_mbps"] {
        field(&service, "/hosts/h/heartbeat", &beat(), name, &common).await;
    }
    let loss = [(json!(100), "ok", 0), (json!(100.01), "less_than_equal", 100)];
    field(&service, "/hosts/h/heartbeat", &beat(), "packet_loss_percent", &loss).await;
    let score = [
        (json!(10), "ok", 0),
        (json!(10.5), "less_than_equal", 10),
        (json!(null), "float_type", 0),
    ];
    field(&service, "/zones/", &zone("z"), "min_host_quality_score", &score).await;
    field(&service, "/zones/", &zone("z"), "min_host_quality_score", &common[..6]).await;
}

async fn text_is_text(service: Service) {
    let cases = [
        (json!(5), "string_type", 0),
        (json!(null), "string_type", 0),
        (json!(true), "string_type", 0),
        (json!(["x"]), "string_type", 0),
        (json!({}), "string_type", 0),
    ];
    let empty = [(json!(""), "string_too_short", 1)];
    for name in ["host_id", "player_id", "player_name", "ip_address"] {
        field(&service, "/hosts/register", &host("h"), name, &cases).await;
    }
    for name in ["host_id", "player_id"] {
        field(&service, "/hosts/register", &host("h"), name, &empty).await;
    }
    for name in ["zone_id", "zone_name", "zone_display_name", "map_name"] {
        field(&service, "/zones/", &zone("z"), name, &cases).await;
    }
    let optional = [(json!(null), "ok", 0), (json!("x"), "ok", 0), (json!(7), "string_type", 0)];
    field(&service, "/zones/", &zone("z"), "description", &optional).await;
    let optional = [(json!(null), "ok", 0), (json!("::1"), "ok", 0), (json!(7), "string_type", 0)];
    field(&service, "/hosts/register", &host("h"), "public_ip", &optional).await;
    let session = json!({ "host_id": "h", "zone_id": "z", "player_ids": [] });
    for name in ["host_id", "zone_id"] {
        field(&service, "/sessions/", &session, name, &cases).await;
    }
}

async fn truth_values_have_many_words(service: Service) {
    let mut cases: Vec<_> =
        ["true", "TRUE", "t", "yes", "Y", "on", "1", "false", "f", "no", "n", "off", "0"]
            .map(|word| (json!(word), "ok", 0))
            .into();
    cases.extend([json!(true), json!(0), json!(1), json!(1.0)].map(|value| (value, "ok", 0)));
    cases.extend(
        [json!("x"), json!(""), json!(" true "), json!(2), json!("1.0")]
            .map(|value| (value, "bool_parsing", 0)),
    );
    cases.extend(
        [json!(null), json!([]), json!({}), json!(2.5)].map(|value| (value, "bool_type", 0)),
    );
    for name in ["p2p_enabled", "fallback_enabled"] {
        field(&service, "/zones/", &zone("z"), name, &cases).await;
    }
}

async fn objects_and_lists_are_what_they_say(service: Service) {
    service.host("h").await;
    service.zone("z", 5).await;
    let servers = [
        (json!(null), "ok", 0),
        (json!({ "urls": [1, null] }), "ok", 0),
        // With `{"urls":""}` around them.
        (json!({ "urls": "x".repeat(4096 - 11) }), "ok", 0),
        (json!([]), "dict_type", 0),
        (json!("x"), "dict_type", 0),
    ];
    field(&service, "/hosts/register", &host("h"), "ice_servers", &servers).await;
    let many = with(host("h"), "ice_servers", json!({ "urls": "x".repeat(4096 - 10) }));
    // It has the form that is described: too large is another answer.
    let refused = service.post("/hosts/register", many).await.is(413);
    assert_eq!(refused, json!({ "detail": "ice_servers may have at most 4096 bytes as JSON" }));
    let session = json!({ "host_id": "h", "zone_id": "z", "player_ids": [] });
    let players =
        [(json!({}), "list_type", 0), (json!("p"), "list_type", 0), (json!(null), "list_type", 0)];
    field(&service, "/sessions/", &session, "player_ids", &players).await;
    for (player, kind, bound) in [
        (json!(5), "string_type", 0),
        (json!(null), "string_type", 0),
        (json!(""), "string_too_short", 1),
    ] {
        let body = with(session.clone(), "player_ids", json!(["p", player]));
        let loc = json!(["body", "player_ids", 1]);
        wrong(&service, "/sessions/", &body, loc, kind, json!(bound)).await;
    }
}

async fn queries_are_checked_as_well(service: Service) {
    for (value, kind, msg) in [
        (
            "abc",
            "float_parsing",
            "Input should be a valid number, unable to parse string as a number",
        ),
        ("", "float_parsing", "Input should be a valid number, unable to parse string as a number"),
        ("nan", "finite_number", "Input should be a finite number"),
    ] {
        for path in ["/hosts/", "/hosts/available/list", "/hosts/available/best"] {
            let path = format!("{path}?min_quality_score=5&min_quality_score={value}");
            let wrong = service.get(&path).await.is(422);
            let expected = json!([{
                "type": kind, "loc": ["query", "min_quality_score"], "msg": msg, "input": value,
            }]);
            assert_eq!(wrong["detail"], expected, "{path}");
        }
    }
}

async fn all_that_is_wrong_is_told_at_once_and_nothing_is_kept(service: Service) {
    let body =
        without(with(with(host("h"), "port", json!(0)), "memory_mb", json!("x")), "player_name");
    let wrong = service.post("/hosts/register", body).await.is(422);
    let objects = wrong["detail"].as_array().expect("a list");
    let found: Vec<_> = objects.iter().map(|object| (&object["loc"][1], &object["type"])).collect();
    let expected = [
        (json!("player_name"), json!("missing")),
        (json!("port"), json!("greater_than_equal")),
        (json!("memory_mb"), json!("int_parsing")),
    ];
    assert_eq!(found, expected.iter().map(|(loc, kind)| (loc, kind)).collect::<Vec<_>>());
    let both = service.post_text("/sessions/x/players", "[]").await.is(422);
    assert_eq!(both["detail"][0]["loc"], json!(["path", "session_id"]));
    assert_eq!(both["detail"][1]["type"], "dict_type");
    assert_eq!(service.get("/hosts/").await.is(200), json!([]));
}
