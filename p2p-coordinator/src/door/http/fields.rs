//! What a body, a path or a query must look like, and the contract's words when it does not.
//!
//! The contract's service was written with a validator whose error objects clients read; these are
//! the same objects: `type`, `loc`, `msg`, `input`, and `ctx` where there is a bound. All that is
//! wrong is told at once, in the order of the fields. What the contract let through and then failed
//! on - empty ids, text past its column, zero bytes, numbers past 32 bits - is told here as well.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use p2p_coordinator_api::ids::MAX_CHARS;
use p2p_coordinator_api::{HostProof, ProofError};
use p2p_core::PeerId;
use serde_json::{Map, Value, json};

use super::body::Echo;
use super::numbers;
use super::outline::{Field, Names, Presence, Shape};
use crate::domain::Refusal;

/// What is wrong with a request: the contract's error objects.
#[derive(Debug)]
pub(super) struct Invalid(pub(super) Vec<Value>);

impl Invalid {
    pub(super) fn one(kind: &str, loc: Value, msg: &str, input: Value, ctx: Option<Value>) -> Self {
        Self(vec![object(kind, loc, msg, input, ctx)])
    }
}

fn object(kind: &str, loc: Value, msg: &str, input: Value, ctx: Option<Value>) -> Value {
    let mut object = json!({ "type": kind, "loc": loc, "msg": msg, "input": input });
    if let (Some(ctx), Some(fields)) = (ctx, object.as_object_mut()) {
        fields.insert("ctx".into(), ctx);
    }
    object
}

/// The most characters of an IP address.
const MAX_ADDRESS: usize = 45;

/// The longest text of which something is to be made.
const MAX_PARSED: usize = 1000;

/// Reads fields one by one, and remembers what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    place: &'static str,
    values: &'a Map<String, Value>,
    echo: Echo,
    wrong: Vec<Value>,
    /// What was asked for, when that is what somebody wants to know.
    outline: Option<Vec<Field>>,
}

impl<'a> Fields<'a> {
    /// Those at `place`: `body` or `query`.
    pub(super) fn new(place: &'static str, values: &'a Map<String, Value>, echo: Echo) -> Self {
        Self { place, values, echo, wrong: Vec::new(), outline: None }
    }

    /// What `read` reads. It has to read the same fields whatever their values.
    #[cfg_attr(not(feature = "openapi"), expect(dead_code, reason = "only described"))]
    pub(super) fn outline<T>(read: fn(&mut Fields<'_>) -> Result<T, Invalid>) -> Vec<Field> {
        let nothing = Map::new();
        let mut fields = Fields::new("body", &nothing, Echo::Nothing);
        fields.outline = Some(Vec::new());
        let _ = read(&mut fields);
        fields.outline.unwrap_or_default()
    }

    fn note(&mut self, name: &str, presence: Presence, shape: Shape) {
        if let Some(outline) = &mut self.outline {
            outline.push(Field { name: name.to_owned(), presence, shape });
        }
    }

    /// Ends the reading.
    pub(super) fn finish(&mut self) -> Result<(), Invalid> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Invalid(std::mem::take(&mut self.wrong))),
        }
    }

    /// What was read; after [`finish`](Fields::finish) it is there.
    pub(super) fn given<T>(&self, value: Option<T>) -> Result<T, Invalid> {
        value.ok_or_else(|| Invalid(self.wrong.clone()))
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name)
    }

    /// A field that may be left out: as if it was when it is null.
    fn optional(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    fn required(&mut self, name: &str) -> Option<&'a Value> {
        let found = self.values.get(name);
        if found.is_none() {
            self.missing(name);
        }
        found
    }

    fn missing(&mut self, name: &str) {
        let input = match self.place {
            "body" if self.echo == Echo::Input => Value::Object(self.values.clone()),
            _ => Value::Null,
        };
        let loc = json!([self.place, name]);
        self.wrong.push(object("missing", loc, "Field required", input, None));
    }

    /// Tells of a missing field if something else is wrong anyway.
    pub(super) fn missing_besides(&mut self, name: &str) {
        if !self.wrong.is_empty() && !self.values.contains_key(name) {
            self.missing(name);
            self.wrong.rotate_right(1);
        }
    }

    fn wrong(&mut self, kind: &str, loc: Value, msg: &str, input: &Value, ctx: Option<Value>) {
        self.wrong.push(object(kind, loc, msg, self.echo.input(input), ctx));
    }

    pub(super) fn text(&mut self, name: &str, max: usize) -> String {
        self.note(name, Presence::Required, Shape::Text { max });
        let value = self.required(name);
        value.and_then(|value| self.as_text(name, value, max)).unwrap_or_default()
    }

    /// The name of a peer or a room; those that may not be, signaling refuses.
    pub(super) fn name(&mut self, name: &str) -> String {
        self.note(name, Presence::Required, Shape::Name);
        let value = self.required(name);
        value.and_then(|value| self.as_text(name, value, MAX_CHARS)).unwrap_or_default()
    }

    /// The same, or a number that stands for it.
    pub(super) fn text_or_number(&mut self, name: &str) -> String {
        self.note(name, Presence::Required, Shape::TextOrNumber);
        match self.value(name) {
            Some(Value::Number(number)) => number.to_string(),
            _ => {
                let value = self.required(name);
                value.and_then(|value| self.as_text(name, value, MAX_CHARS)).unwrap_or_default()
            }
        }
    }

    /// Any value but null.
    pub(super) fn any(&mut self, name: &str) -> Option<&'a Value> {
        self.note(name, Presence::Required, Shape::Any);
        let value = self.optional(name);
        if value.is_none() {
            self.missing(name);
        }
        value
    }

    pub(super) fn optional_text(&mut self, name: &str, max: usize) -> Option<String> {
        self.note(name, Presence::Optional, Shape::Text { max });
        self.optional(name).and_then(|value| self.as_text(name, value, max))
    }

    /// The name of a status by which a list is narrowed; empty text does not.
    pub(super) fn status_filter(&mut self, name: &str, names: Names) -> Option<String> {
        self.note(name, Presence::Optional, Shape::StatusFilter(names));
        let text = self.optional(name).and_then(|value| self.as_text(name, value, MAX_CHARS));
        text.filter(|text| !text.is_empty())
    }

    /// The name of a status.
    pub(super) fn status(&mut self, name: &str, names: Names) -> String {
        self.note(name, Presence::Required, Shape::Status(names));
        let value = self.required(name);
        value.and_then(|value| self.as_text(name, value, MAX_CHARS)).unwrap_or_default()
    }

    fn as_text(&mut self, name: &str, value: &Value, max: usize) -> Option<String> {
        let loc = json!([self.place, name]);
        self.checked_text(loc, value, max)
    }

    fn checked_text(&mut self, loc: Value, value: &Value, max: usize) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.wrong("string_type", loc, "Input should be a valid string", value, None);
            return None;
        };
        if text.chars().count() > max {
            let msg = format!("String should have at most {max} characters");
            self.wrong("string_too_long", loc, &msg, value, Some(json!({ "max_length": max })));
            return None;
        }
        if text.contains('\0') {
            let msg = "Value error, text has no zero bytes";
            self.wrong("value_error", loc, msg, value, None);
            return None;
        }
        Some(text.to_owned())
    }

    /// An IP address, as the text that it was.
    pub(super) fn address(&mut self, name: &str) -> String {
        self.note(name, Presence::Required, Shape::Address);
        let value = self.required(name);
        value.and_then(|value| self.checked_address(name, value)).unwrap_or_default()
    }

    pub(super) fn optional_address(&mut self, name: &str) -> Option<String> {
        self.note(name, Presence::Optional, Shape::Address);
        self.optional(name).and_then(|value| self.checked_address(name, value))
    }

    fn checked_address(&mut self, name: &str, value: &Value) -> Option<String> {
        let text = self.as_text(name, value, MAX_ADDRESS)?;
        if text.parse::<IpAddr>().is_err() {
            let loc = json!([self.place, name]);
            let msg = "value is not a valid IPv4 or IPv6 address";
            self.wrong("ip_any_address", loc, msg, value, None);
            return None;
        }
        Some(text)
    }

    pub(super) fn id<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.note(name, Presence::Required, Shape::Id);
        let value = self.required(name)?;
        let loc = json!([self.place, name]);
        self.checked_id(loc, value)
    }

    /// An id that may be left out, but not be null.
    pub(super) fn id_if_there<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.note(name, Presence::NotNull, Shape::Id);
        let value = self.values.get(name)?;
        let loc = json!([self.place, name]);
        self.checked_id(loc, value)
    }

    fn checked_id<T: FromStr<Err: Display>>(&mut self, loc: Value, value: &Value) -> Option<T> {
        let text = self.checked_text(loc.clone(), value, MAX_CHARS)?;
        if text.is_empty() {
            let ctx = Some(json!({ "min_length": 1 }));
            let msg = "String should have at least 1 character";
            self.wrong("string_too_short", loc, msg, value, ctx);
            return None;
        }
        self.meaning(loc, &text, value)
    }

    fn meaning<T>(&mut self, loc: Value, text: &str, value: &Value) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let msg = format!("Value error, {error}");
                self.wrong("value_error", loc, &msg, value, None);
                None
            }
        }
    }

    /// Text that has to mean something.
    pub(super) fn optional_parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.note(name, Presence::Optional, Shape::Meaning);
        let value = self.optional(name)?;
        let text = self.as_text(name, value, MAX_PARSED)?;
        self.meaning(json!([self.place, name]), &text, value)
    }

    pub(super) fn ids<T: FromStr<Err: Display>>(&mut self, name: &str, max: usize) -> Vec<T> {
        self.note(name, Presence::Required, Shape::Ids { max });
        match self.required(name) {
            Some(value) => self.checked_ids(name, value, max),
            None => Vec::new(),
        }
    }

    pub(super) fn optional_ids<T>(&mut self, name: &str, max: usize) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
        self.note(name, Presence::Optional, Shape::Ids { max });
        match self.optional(name) {
            Some(value) => self.checked_ids(name, value, max),
            None => Vec::new(),
        }
    }

    fn checked_ids<T>(&mut self, name: &str, value: &Value, max: usize) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
        let items = self.list(name, value, max).unwrap_or_default();
        let place = self.place;
        let ids = items.iter().enumerate();
        ids.filter_map(|(at, item)| self.checked_id(json!([place, name, at]), item)).collect()
    }

    pub(super) fn optional_texts(
        &mut self,
        name: &str,
        max: usize,
        chars: usize,
    ) -> Option<Vec<String>> {
        self.note(name, Presence::Optional, Shape::Texts { max, chars });
        let value = self.optional(name)?;
        let items = self.list(name, value, max)?;
        let place = self.place;
        let texts = items.iter().enumerate();
        let text = |(at, item)| self.checked_text(json!([place, name, at]), item, chars);
        Some(texts.filter_map(text).collect())
    }

    fn list<'v>(&mut self, name: &str, value: &'v Value, max: usize) -> Option<&'v [Value]> {
        let loc = json!([self.place, name]);
        let Some(items) = value.as_array() else {
            self.wrong("list_type", loc, "Input should be a valid list", value, None);
            return None;
        };
        if items.len() > max {
            let msg = format!("List should have at most {max} items, not {}", items.len());
            let ctx = json!({ "max_length": max, "actual_length": items.len() });
            self.wrong("too_long", loc, &msg, &Value::Null, Some(ctx));
            return None;
        }
        Some(items)
    }

    pub(super) fn int(&mut self, name: &str, min: u32, max: u32) -> u32 {
        self.note(name, Presence::Required, Shape::Int { min, max });
        let value = self.required(name);
        value.and_then(|value| self.checked_int(name, value, min, max)).unwrap_or(min)
    }

    pub(super) fn optional_int(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        self.note(name, Presence::Optional, Shape::Int { min, max });
        self.optional(name).and_then(|value| self.checked_int(name, value, min, max))
    }

    /// One that is not there is the default; null is none.
    pub(super) fn default_int(&mut self, name: &str, default: u32, min: u32, max: u32) -> u32 {
        self.note(name, Presence::Default(default.into()), Shape::Int { min, max });
        let value = self.values.get(name);
        value.map_or(Some(default), |value| self.checked_int(name, value, min, max)).unwrap_or(min)
    }

    fn checked_int(&mut self, name: &str, value: &Value, min: u32, max: u32) -> Option<u32> {
        let loc = json!([self.place, name]);
        let number = match numbers::int(value) {
            Ok(number) => number,
            Err((kind, msg)) => {
                self.wrong(kind, loc, msg, value, None);
                return None;
            }
        };
        if number < i128::from(min) {
            let msg = format!("Input should be greater than or equal to {min}");
            self.wrong("greater_than_equal", loc, &msg, value, Some(json!({ "ge": min })));
            return None;
        }
        if number > i128::from(max) {
            let msg = format!("Input should be less than or equal to {max}");
            self.wrong("less_than_equal", loc, &msg, value, Some(json!({ "le": max })));
            return None;
        }
        u32::try_from(number).ok()
    }

    pub(super) fn float(&mut self, name: &str, min: f64, max: Option<f64>) -> f64 {
        self.note(name, Presence::Required, Shape::Float { min, max });
        let value = self.required(name);
        value.and_then(|value| self.checked_float(name, value, min, max)).unwrap_or(min)
    }

    pub(super) fn default_float(
        &mut self,
        name: &str,
        default: f64,
        min: f64,
        max: Option<f64>,
    ) -> f64 {
        self.note(name, Presence::Default(default.into()), Shape::Float { min, max });
        match self.values.get(name) {
            Some(value) => self.checked_float(name, value, min, max).unwrap_or(default),
            None => default,
        }
    }

    pub(super) fn optional_float(&mut self, name: &str) -> Option<f64> {
        self.note(name, Presence::Optional, Shape::Float { min: f64::MIN, max: None });
        self.optional(name).and_then(|value| self.checked_float(name, value, f64::MIN, None))
    }

    fn checked_float(
        &mut self,
        name: &str,
        value: &Value,
        min: f64,
        max: Option<f64>,
    ) -> Option<f64> {
        let loc = json!([self.place, name]);
        let number = match numbers::float(value) {
            Ok(number) => number,
            Err((kind, msg)) => {
                self.wrong(kind, loc, msg, value, None);
                return None;
            }
        };
        if number < min {
            let msg = format!("Input should be greater than or equal to {min}");
            self.wrong("greater_than_equal", loc, &msg, value, Some(json!({ "ge": min })));
            return None;
        }
        if let Some(max) = max.filter(|max| number > *max) {
            let msg = format!("Input should be less than or equal to {max}");
            self.wrong("less_than_equal", loc, &msg, value, Some(json!({ "le": max })));
            return None;
        }
        Some(number)
    }

    pub(super) fn optional_bool(&mut self, name: &str) -> Option<bool> {
        self.note(name, Presence::Optional, Shape::Bool);
        self.optional(name).and_then(|value| self.checked_bool(name, value))
    }

    /// One that is not there is the default; null is none.
    pub(super) fn default_bool(&mut self, name: &str, default: bool) -> bool {
        self.note(name, Presence::Default(default.into()), Shape::Bool);
        let value = self.values.get(name);
        value.map_or(Some(default), |value| self.checked_bool(name, value)).unwrap_or(default)
    }

    fn checked_bool(&mut self, name: &str, value: &Value) -> Option<bool> {
        numbers::bool(value)
            .map_err(|(kind, msg)| self.wrong(kind, json!([self.place, name]), msg, value, None))
            .ok()
    }

    /// An object of any content.
    pub(super) fn optional_object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.note(name, Presence::Optional, Shape::Object);
        let value = self.optional(name)?;
        let loc = json!([self.place, name]);
        let Some(object) = value.as_object() else {
            self.wrong("dict_type", loc, "Input should be a valid dictionary", value, None);
            return None;
        };
        Some(object.clone())
    }

    /// The proof of a host. What has its form, and still cannot be read, proves nothing.
    pub(super) fn optional_proof(&mut self, name: &str) -> Option<Result<HostProof, ProofError>> {
        self.note(name, Presence::Optional, Shape::Proof);
        let value = self.optional(name)?;
        match serde_json::from_value(value.clone()) {
            Ok(proof) => Some(Ok(proof)),
            Err(_) if has_form_of_a_proof(value) => Some(Err(ProofError::Address)),
            Err(error) => {
                let loc = json!([self.place, name]);
                let msg = format!("Value error, {error}");
                self.wrong("value_error", loc, &msg, value, None);
                None
            }
        }
    }

    /// The id of a peer; refused if it has the form of one, but no peer can have it.
    pub(super) fn peer(&mut self, name: &str) -> Option<Result<PeerId, Refusal>> {
        self.note(name, Presence::Required, Shape::Meaning);
        let value = self.required(name)?;
        let text = self.as_text(name, value, MAX_PARSED)?;
        match text.parse() {
            Ok(peer) => Some(Ok(peer)),
            Err(_) if has_form_of_a_peer_id(&text) => Some(Err(Refusal::NoPeer)),
            Err(error) => {
                let loc = json!([self.place, name]);
                self.wrong("value_error", loc, &format!("Value error, {error}"), value, None);
                None
            }
        }
    }
}

fn has_form_of_a_proof(value: &Value) -> bool {
    let is_text = |name| value.get(name).is_some_and(Value::is_string);
    let fresh = value.get("fresh").is_none_or(Value::is_boolean);
    fresh && is_text("addr") && is_text("challenge") && is_text("signature")
}

fn has_form_of_a_peer_id(text: &str) -> bool {
    let digits = text.trim();
    digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}
