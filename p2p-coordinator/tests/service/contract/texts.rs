//! Bodies that are too much, or no JSON, or no text; ids that databases choke on.

use serde_json::json;

use crate::ask::{raw, request};
use crate::fixture::{Service, fields, host, on_both_stores, with, zone};

on_both_stores!(
    broken_json_is_told_where_it_is_broken,
    an_empty_body_is_a_missing_body,
    a_body_is_an_object,
    what_is_no_text_cannot_be_parsed,
    a_body_of_two_megabytes_is_refused_and_the_service_lives,
    long_text_and_control_characters_are_refused,
    the_kind_of_content_has_to_be_json,
);

const FORMS: [&str; 5] =
    ["/hosts/register", "/hosts/h/heartbeat", "/zones/", "/sessions/", "/sessions/1/players"];

async fn broken_json_is_told_where_it_is_broken(service: Service) {
    const NAME: &str = "Expecting property name enclosed in double quotes";
    for (text, at, error) in [
        ("nope", 0, "Expecting value"),
        (" ", 1, "Expecting value"),
        ("{", 1, NAME),
        ("{\"host_id\": \"h\",", 16, NAME),
        ("{'host_id': 1}", 1, NAME),
        ("{\"host_id\": }", 12, "Expecting value"),
        ("{\"host_id\" 1}", 11, "Expecting ':' delimiter"),
        ("{\"é\": 1 2}", 8, "Expecting ',' delimiter"),
        ("{} {}", 3, "Extra data"),
        ("{\"host_id\": \"h", 12, "Unterminated string starting at"),
        ("{\"a\": \"\0\"}", 7, "Invalid control character at"),
    ] {
        for path in FORMS {
            let wrong = service.post_text(path, text).await.is(422);
            let expected = json!([{
                "type": "json_invalid", "loc": ["body", at], "msg": "JSON decode error",
                "input": {}, "ctx": { "error": error },
            }]);
            assert_eq!(wrong, json!({ "detail": expected }), "{path} {text:?}");
        }
    }
    for text in ["{\"a\": NaN}", "{\"a\": 1e400}", "{\"a\": \"\\ud800\"}"] {
        let wrong = service.post_text("/zones/", text).await.is(422);
        assert_eq!(wrong["detail"][0]["type"], "json_invalid", "{text}");
    }
}

async fn an_empty_body_is_a_missing_body(service: Service) {
    let missing = json!({ "detail": [
        { "type": "missing", "loc": ["body"], "msg": "Field required", "input": null },
    ]});
    for path in FORMS {
        assert_eq!(service.post_text(path, "").await.is(422), missing, "{path}");
        assert_eq!(service.post_nothing(path).await.is(422), missing, "{path}");
    }
}

async fn a_body_is_an_object(service: Service) {
    for body in [json!([]), json!([{}]), json!(5), json!("x"), json!(true), json!(null)] {
        for path in FORMS {
            let (kind, msg) = match path {
                "/sessions/1/players" => ("dict_type", "Input should be a valid dictionary"),
                _ => (
                    "model_attributes_type",
                    "Input should be a valid dictionary or object to extract fields from",
                ),
            };
            let wrong = service.post(path, body.clone()).await.is(422);
            let expected = json!([{ "type": kind, "loc": ["body"], "msg": msg, "input": body }]);
            assert_eq!(wrong["detail"], expected, "{path}");
        }
    }
    // Of a name that is there twice the last counts, and a mark of the byte order is none.
    let twice = "\u{feff}{\"zone_id\":\"a\",\"zone_id\":\"z\",\"zone_name\":\"z\",\
                 \"zone_display_name\":\"z\",\"map_name\":\"m\"}";
    assert_eq!(service.post_text("/zones/", twice).await.is(201)["zone_id"], "z");
}

async fn what_is_no_text_cannot_be_parsed(service: Service) {
    let deep = [b"[".repeat(100_000), b"{\"a\":".repeat(100_000)].map(Vec::from);
    let bytes = [b"\xff\xfe\x00".to_vec(), b"{\"a\":\"\xff\"}".to_vec()];
    for body in deep.into_iter().chain(bytes) {
        for path in FORMS {
            let answer = service.post_text(path, body.clone()).await;
            answer.says(400, "There was an error parsing the body");
        }
    }
    let nested = with(host("h"), "more", json!([[[[[[[[{ "a": {} }]]]]]]]]));
    service.post("/hosts/register", nested).await.is(201);
}

async fn a_body_of_two_megabytes_is_refused_and_the_service_lives(service: Service) {
    let large = with(zone("z"), "description", json!("x".repeat(2 << 20)));
    for path in FORMS {
        service.post(path, large.clone()).await.says(413, "The body has more than 1048576 bytes");
    }
    let fits = with(zone("z"), "more", json!("x".repeat(1_000_000)));
    service.post("/zones/", fits).await.is(201);
}

async fn long_text_and_control_characters_are_refused(service: Service) {
    let (fits, long) = ("é".repeat(255), "é".repeat(256));
    let cases = [
        ("/hosts/register", host("h"), "host_id"),
        ("/hosts/register", host("h"), "player_id"),
        ("/hosts/register", host("h"), "player_name"),
        ("/zones/", zone("z"), "zone_id"),
        ("/zones/", zone("z"), "zone_name"),
        ("/zones/", zone("z"), "zone_display_name"),
        ("/zones/", zone("z"), "map_name"),
    ];
    for (path, good, name) in cases {
        service.post(path, with(good.clone(), name, json!(fits))).await.is(201);
        let wrong = service.post(path, with(good.clone(), name, json!(long))).await.is(422);
        let expected = json!([{
            "type": "string_too_long", "loc": ["body", name], "input": long,
            "msg": "String should have at most 255 characters", "ctx": { "max_length": 255 },
        }]);
        assert_eq!(wrong["detail"], expected);
        let wrong = service.post(path, with(good, name, json!("a\0b"))).await.is(422);
        let object = &wrong["detail"][0];
        assert_eq!(
            (&object["type"], &object["loc"]),
            (&json!("value_error"), &json!(["body", name]))
        );
        assert_eq!(fields(object), ["input", "loc", "msg", "type"]);
    }
    for name in ["ip_address", "public_ip"] {
        for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            service.post("/hosts/register", with(host("h"), name, json!(address))).await.is(201);
        }
        for (address, kind) in [
            ("", "ip_any_address"),
            ("h", "ip_any_address"),
            ("192.0.2.256", "ip_any_address"),
            ("192.0.2.1:80", "ip_any_address"),
            ("192.0.2.1\0", "value_error"),
            (&"1".repeat(46), "string_too_long"),
        ] {
            let body = with(host("h"), name, json!(address));
            let wrong = service.post("/hosts/register", body).await.is(422);
            assert_eq!(wrong["detail"][0]["loc"], json!(["body", name]));
            assert_eq!(wrong["detail"][0]["type"], kind, "{address:?}");
        }
    }
    let session = json!({ "host_id": "h", "zone_id": "z", "player_ids": vec!["p"; 1001] });
    let wrong = service.post("/sessions/", session).await.is(422);
    assert_eq!(wrong["detail"][0]["type"], "too_long");
}

async fn the_kind_of_content_has_to_be_json(service: Service) {
    let text = zone("z").to_string();
    for (kind, status) in [
        (None, 201),
        (Some("application/json"), 201),
        (Some("APPLICATION/JSON"), 201),
        (Some("application/json; charset=utf-8"), 201),
        (Some("application/problem+json"), 201),
        (Some("text/plain"), 422),
        (Some("text/json"), 422),
        (Some("application/x-www-form-urlencoded"), 422),
        (Some("application/jsonx"), 422),
        (Some("x"), 422),
    ] {
        let answer = service.send(raw("POST", "/api/v1/zones/", kind, text.clone())).await;
        let body = answer.is(status);
        if status == 422 {
            let expected = json!([{
                "type": "model_attributes_type", "loc": ["body"], "input": text,
                "msg": "Input should be a valid dictionary or object to extract fields from",
            }]);
            assert_eq!(body["detail"], expected, "{kind:?}");
        }
    }
    assert_eq!(service.send(request("GET", "/api/v1/zones/z", None)).await.status, 200);
}
