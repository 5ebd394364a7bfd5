//! What a peer says, as far as it is read: what is for another stays the text it is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object with the fields that mean something. Of one that is there twice the last counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Incoming<'a> {
    pub(super) kind: Option<&'a RawValue>,
    pub(super) to: Option<&'a RawValue>,
    pub(super) sdp: Option<&'a RawValue>,
    pub(super) candidate: Option<&'a RawValue>,
    pub(super) session_id: Option<&'a RawValue>,
    /// What the sender wants its answer to carry.
    pub(super) id: Option<&'a RawValue>,
    /// The last message that it has.
    pub(super) seq: Option<&'a RawValue>,
    /// A newer access token.
    pub(super) token: Option<&'a RawValue>,
}

/// Text that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotAnObject,
    NotJson,
}

pub(super) fn parse(text: &str) -> Result<Incoming<'_>, Unreadable> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|_| Unreadable::NotJson);
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Err(Unreadable::NotAnObject),
        Err(_) => Err(Unreadable::NotJson),
    }
}

/// A value's text if it is one, and that of a number; of others nothing.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') if !raw.contains('\\') => Some(raw.trim_matches('"').into()),
        Some(b'"') => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        Some(b'-' | b'0'..=b'9') => Some(raw.into()),
        _ => None,
    }
}

/// A value, unless it is nothing: as the contract's service was written in Python, that is also what
/// is empty, zero or false.
pub(super) fn given(value: Option<&RawValue>) -> Option<&RawValue> {
    let value = value?;
    let plain: String = match value.get() {
        short if short.len() <= 8 => short.split_ascii_whitespace().collect(),
        _ => return Some(value),
    };
    let nothing = matches!(plain.as_str(), "null" | "false" | "\"\"" | "[]" | "{}" | "0" | "0.0");
    (!nothing).then_some(value)
}

/// How deep lists and objects lie in each other.
pub(super) fn depth(value: &RawValue) -> usize {
    let raw = value.get().as_bytes();
    if !matches!(raw.first(), Some(b'[' | b'{')) {
        return 0;
    }
    let (mut depth, mut most, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in raw {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'[' | b'{') => {
                depth += 1;
                most = most.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Type,
    To,
    Sdp,
    Candidate,
    SessionId,
    Id,
    Seq,
    Token,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Incoming<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Incoming<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Incoming<'de>, A::Error> {
        let mut found = Incoming::default();
        while let Some(field) = map.next_key()? {
            let slot = match field {
                Field::Type => &mut found.kind,
                Field::To => &mut found.to,
                Field::Sdp => &mut found.sdp,
                Field::Candidate => &mut found.candidate,
                Field::SessionId => &mut found.session_id,
                Field::Id => &mut found.id,
                Field::Seq => &mut found.seq,
                Field::Token => &mut found.token,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = Some(map.next_value()?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_stays_as_it_came_and_the_last_of_two_counts() {
        let said = r#" {"to":"x","x":[1,{}],"sdp": {"a" : 1.50} ,"to":"a\u0062"}"#;
        let found = parse(said).expect("an object");
        assert_eq!(found.sdp.expect("given").get(), r#"{"a" : 1.50}"#);
        assert_eq!(text(found.to.expect("given")).as_deref(), Some("ab"));
        assert!(found.kind.is_none());
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        assert_eq!(parse("[1]").expect_err("a list"), Unreadable::NotAnObject);
        assert_eq!(parse(" 7").expect_err("a number"), Unreadable::NotAnObject);
        for text in ["", "{", "{]", "hello", "{\"a\":1}}"] {
            assert_eq!(parse(text).expect_err("no JSON"), Unreadable::NotJson, "{text}");
        }
    }

    #[test]
    fn nothing_has_many_forms_and_depth_does_not_look_into_text() {
        let value = |text: &'static str| serde_json::from_str::<&RawValue>(text).expect("JSON");
        for text in ["null", "\"\"", "{ }", "0", "false"] {
            assert!(given(Some(value(text))).is_none(), "{text}");
        }
        assert!(given(Some(value("\"0\""))).is_some());
        assert_eq!(depth(value(r#"{"a":["[[[",{"\"[":[]}]}"#)), 4);
    }

    #[test]
    fn deep_nesting_is_read_without_a_deep_stack() {
        let text = format!(r#"{{"sdp":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(depth(parse(&text).expect("an object").sdp.expect("given")), 30_000);
    }
}
