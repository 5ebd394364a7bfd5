//! What fields look like.

use p2p_coordinator_api::ids::MAX_CHARS;
use serde_json::{Map, Value, json};

use super::text;
use crate::door::http::outline::{Field, Presence, Shape};

/// A body with these fields, and any others.
pub(super) fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = in_body(field.shape, &field.name);
        match &field.presence {
            Presence::Optional => schema = or_null(schema),
            Presence::Default(value) => schema["default"] = value.clone(),
            Presence::NotNull | Presence::Required => {}
        }
        properties.insert(field.name.clone(), schema);
    }
    let required: Vec<_> = fields.iter().filter(is_required).map(|field| &field.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn is_required(field: &&Field) -> bool {
    matches!(field.presence, Presence::Required)
}

/// The parameters of a query.
pub(super) fn query(fields: &[Field]) -> impl Iterator<Item = Value> {
    fields.iter().map(|field| {
        let schema = in_query(field.shape, &field.name);
        let required = is_required(&field);
        json!({ "name": field.name, "in": "query", "required": required, "schema": schema })
    })
}

/// A part of a path. Where a list is asked for, any text is the name of somebody who has none.
pub(super) fn in_path(name: &str, is_list: bool) -> Value {
    let schema = match name {
        _ if is_list => json!({ "type": "string", "minLength": 1 }),
        "session_id" => json!({ "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": text::SESSION_NAME },
        ] }),
        _ => id(),
    };
    let description = match name {
        "session_id" => "A session, by its number or by its name.",
        "host_id" => "A host.",
        "zone_id" => "A zone.",
        _ => "A player.",
    };
    json!({
        "name": name, "in": "path", "required": true, "description": description, "schema": schema,
    })
}

fn id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": MAX_CHARS, "pattern": text::PRINTABLE })
}

fn in_body(shape: Shape, name: &str) -> Value {
    match shape {
        Shape::Address => json!({ "anyOf": [
            { "type": "string", "format": "ipv4" }, { "type": "string", "format": "ipv6" },
        ] }),
        Shape::Any => json!({ "not": { "type": "null" } }),
        Shape::Bool => json!({ "anyOf": [
            { "type": "boolean" },
            { "enum": [0, 1] },
            { "type": "string", "pattern": truth() },
        ] }),
        Shape::Float { min, max } => {
            let numbers =
                json!({ "type": "number", "minimum": min, "maximum": max.unwrap_or(f64::MAX) });
            let text = json!({ "type": "string", "pattern": text::number(min, max) });
            json!({ "anyOf": [numbers, text, { "type": "boolean" }] })
        }
        Shape::Int { min, max } => {
            let numbers = json!({ "type": "integer", "minimum": min, "maximum": max });
            let text = json!({ "type": "string", "pattern": text::whole(min, max) });
            let truth =
                if min == 0 { json!({ "type": "boolean" }) } else { json!({ "const": true }) };
            json!({ "anyOf": [numbers, text, truth] })
        }
        Shape::Ids { max } => json!({ "type": "array", "maxItems": max, "items": id() }),
        Shape::Object => json!({ "type": "object" }),
        Shape::Proof => json!({ "$ref": "#/components/schemas/HostProof" }),
        Shape::TextOrNumber => json!({
            "type": ["string", "number"], "maxLength": MAX_CHARS, "pattern": text::NAME,
        }),
        Shape::Texts { max, chars } => {
            json!({ "type": "array", "maxItems": max, "items": text(chars) })
        }
        Shape::Id
        | Shape::Meaning
        | Shape::Name
        | Shape::Status(_)
        | Shape::StatusFilter(_)
        | Shape::Text { .. } => in_query(shape, name),
    }
}

/// The base point of the curve: a key whose secret nobody has.
const SOME_PEER: &str = "5866666666666666666666666666666666666666666666666666666666666666";

/// All of it is text there.
fn in_query(shape: Shape, name: &str) -> Value {
    match shape {
        Shape::Bool => json!({ "anyOf": [
            { "type": "boolean" }, { "type": "string", "pattern": truth() },
        ] }),
        Shape::Float { min, .. } if min < 0.0 => json!({ "type": "number" }),
        Shape::Float { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Shape::Id => id(),
        Shape::Int { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Meaning if name == "nonce" => json!({ "type": "string", "pattern": text::NONCE }),
        Shape::Meaning => json!({
            "type": "string", "maxLength": 1000, "pattern": text::PEER_ID, "examples": [SOME_PEER],
        }),
        Shape::Name => json!({ "type": "string", "maxLength": MAX_CHARS, "pattern": text::NAME }),
        Shape::Status(names) => status(&names(), false),
        Shape::StatusFilter(names) => status(&names(), true),
        Shape::Text { max } => text(max),
        other => in_body(other, name),
    }
}

fn text(max: usize) -> Value {
    json!({ "type": "string", "maxLength": max, "pattern": text::NO_ZERO })
}

fn status(names: &[&str], or_empty: bool) -> Value {
    json!({ "type": "string", "pattern": text::words(names, or_empty), "examples": names })
}

fn truth() -> String {
    text::words(&["1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off"], false)
}

fn or_null(mut schema: Value) -> Value {
    let nothing = json!({ "type": "null" });
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.push(nothing);
        return schema;
    }
    match schema.get_mut("type") {
        Some(kind @ Value::String(_)) => {
            *kind = json!([kind.take(), "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, nothing] }),
    }
}
