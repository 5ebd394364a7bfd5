//! The description of the interface (OpenAPI 3.1), and a page to try it.
//!
//! - `operations`: every path and method, with what it reads and answers;
//! - `operation`: one of them, and the answers that all of a kind have;
//! - `schema`: what the fields look like, from the calls that read them; objects are those of the API;
//! - `text`: forms of text, as patterns;
//! - `page`: the page, with all that it needs.
//!
//! Bodies and queries are noted by the functions that read them, answers by the types that are sent.
//! That the paths are those of the router, and each status one that is listed, tests see to.

mod operation;
mod operations;
mod page;
mod schema;
mod text;

use std::sync::{Arc, OnceLock};

use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Route;
use crate::service::Settings;
use crate::store::Store;
use operation::{Access, Components};

pub(super) use operations::operations;

/// Where the description is.
pub(super) const DOCUMENT: &str = "/openapi.json";

pub(super) fn routes<S: Store>(settings: &Settings) -> impl Iterator<Item = Route<S>> {
    let settings = settings.clone();
    // Few are asked for it, and many coordinators are made in tests.
    let text = Arc::new(OnceLock::<Bytes>::new());
    let document = get(async move || {
        let text = text.get_or_init(|| document(&settings).to_string().into()).clone();
        ([(header::CONTENT_TYPE, "application/json")], text).into_response()
    });
    let elsewhere = get(async || Redirect::temporary(page::PAGE));
    [
        (DOCUMENT.to_owned(), "GET", document),
        (page::PAGE.to_owned(), "GET", get(page::page)),
        (format!("{}/{{file}}", page::PAGE), "GET", get(page::file)),
        ("/redoc".to_owned(), "GET", elsewhere),
    ]
    .into_iter()
}

/// The whole description, of a coordinator with these settings.
pub(super) fn document(settings: &Settings) -> Value {
    let security = &settings.security;
    let access = Access { keys: security.check_api_keys, tokens: security.check_tokens };
    let mut components = Components::default();
    let mut paths = serde_json::Map::new();
    for operation in operations() {
        let (path, method) = (operation.path.clone(), operation.method.to_lowercase());
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = operation.describe(access, &mut components);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": settings.name,
            "version": settings.version,
            "description": DESCRIPTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "tags": operations::TAGS.map(|(name, what)| json!({ "name": name, "description": what })),
        "paths": paths,
        "components": {
            "schemas": components.schemas(),
            "headers": operation::headers(),
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey", "in": "header", "name": security.api_key_header,
                    "description": "A key of one of the roles player, host, service, admin.",
                },
                "bearer": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "An access token, from /api/v1/auth/token or, for a host with a \
                        peer id, from its registration.",
                },
            },
        },
    })
}

const DESCRIPTION: &str = "\
Who hosts, who plays where, who may connect to whom.

Everything under `/api/v1` is also under `/api`. Fields that are not known are ignored. Numbers and \
truth values are taken as text as well, as the service before this one did. Ids are 1 to 255 \
characters, none of them a control character; a body is at most 1 MiB.

A refusal has a sentence in `detail`; where its words are fixed, the headers `X-Refusal-Reason` and \
`X-Refusal-Detail` say more. A request that is not of the form described here is answered 422, with \
all that is wrong with it.

Whoever sends a request that changes something with the header `Idempotency-Key` (1 to 255 visible \
characters) can send it again: it gets the answer that there was, and `Idempotency-Replayed: true`.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::door::http::{METRICS, contract_routes};
    use crate::store::MemoryStore;

    #[test]
    fn what_is_described_is_what_the_router_has() {
        let described: BTreeSet<_> = operations()
            .into_iter()
            .map(|operation| (operation.path, operation.method.to_owned()))
            .collect();
        let routes = contract_routes::<MemoryStore>().map(|(path, allowed, _)| (path, allowed));
        let metrics = METRICS.map(|path| (path.to_owned(), "GET"));
        let routed: BTreeSet<_> = routes
            .chain(metrics)
            .flat_map(|(path, allowed)| {
                // Both prefixes are one in the description.
                let below = path.strip_prefix("/api/").filter(|rest| !rest.starts_with("v1/"));
                let path = below.map_or(path.clone(), |rest| format!("/api/v1/{rest}"));
                allowed.split(", ").map(move |method| (path.clone(), method.to_owned()))
            })
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        let document = document(&Settings::default());
        let mut names = BTreeSet::new();
        for operation in document["paths"].as_object().expect("paths").values() {
            for operation in operation.as_object().expect("methods").values() {
                let name = operation["operationId"].as_str().expect("a name");
                assert!(names.insert(name.to_owned()), "{name} is there twice");
            }
        }
        let mut todo = vec![&document];
        while let Some(value) = todo.pop() {
            match value {
                Value::Array(items) => todo.extend(items),
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        let pointer = target.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{target}");
                    }
                    todo.extend(fields.values());
                }
                _ => {}
            }
        }
    }
}
