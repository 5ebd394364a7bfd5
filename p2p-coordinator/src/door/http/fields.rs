//! What a body, a path or a query must look like, and the contract's words when it does not.
//!
//! The contract's service was written with a validator whose error objects clients read; these are
//! the same objects: `type`, `loc`, `msg`, `input`, and `ctx` where there is a bound. All that is
//! wrong is told at once, in the order of the fields. What the contract let through and then failed
//! on - empty ids, text past its column, zero bytes, numbers past 32 bits - is told here as well.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use p2p_coordinator_api::SessionName;
use p2p_coordinator_api::ids::MAX_CHARS;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::store::SessionKey;

/// What is wrong with a request: the contract's error objects.
#[derive(Debug)]
pub(super) struct Invalid(pub(super) Vec<Value>);

impl Invalid {
    fn one(kind: &str, loc: Value, msg: &str, input: Value, ctx: Option<Value>) -> Self {
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

/// A body that is a JSON object.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Invalid> {
        if body.is_empty() {
            let loc = json!(["body"]);
            return Err(Invalid::one("missing", loc, "Field required", Value::Null, None));
        }
        let not_an_object = |input| {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            Invalid::one("model_attributes_type", json!(["body"]), msg, input, None)
        };
        // Pages of other sites can make a browser send text or a form without asking first.
        if !is_json(headers) {
            let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ECHO)]);
            return Err(not_an_object(text.into()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(other) => Err(not_an_object(other)),
            Err(error) => {
                let offset = offset_of(body, error.line(), error.column());
                let words = error.to_string();
                let words = words.split(" at line").next().unwrap_or_default();
                let ctx = Some(json!({ "error": words }));
                let loc = json!(["body", offset]);
                Err(Invalid::one("json_invalid", loc, "JSON decode error", json!({}), ctx))
            }
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields { place: "body", values: &self.0, wrong: Vec::new() }
    }
}

/// How much of a wrong body is sent back.
const MAX_ECHO: usize = 1000;

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn offset_of(body: &[u8], line: usize, column: usize) -> usize {
    let before = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)
}

/// What stands behind the `?`.
#[derive(Debug)]
pub(super) struct Query(Map<String, Value>);

impl Query {
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields { place: "query", values: &self.0, wrong: Vec::new() }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut values = Map::new();
        for pair in parts.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| {
                let text = text.replace('+', " ");
                percent_decode_str(&text).decode_utf8_lossy().into_owned()
            };
            if !name.is_empty() {
                values.insert(plain(name), plain(value).into());
            }
        }
        Ok(Self(values))
    }
}

/// What stands in the path.
#[derive(Debug)]
pub(super) struct Path(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = super::reply::Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        // The only way to fail is text that is no UTF-8: there is nothing of that name.
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| super::reply::Failure::NotFound)?;
        Ok(Self(params.iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

impl Path {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(super) fn id<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Invalid> {
        let text = self.text(name);
        text.parse().map_err(|error: T::Err| {
            let msg = format!("Value error, {error}");
            Invalid::one("value_error", json!(["path", name]), &msg, text.into(), None)
        })
    }

    /// A session, by its number or by its name.
    pub(super) fn session(&self, name: &str) -> Result<SessionKey, Invalid> {
        let text = self.text(name);
        if SessionName::is_one(text) {
            return Ok(SessionKey::Name(self.id(name)?));
        }
        text.parse().map(SessionKey::Number).map_err(|_| {
            let msg = "Input should be a valid integer, unable to parse string as an integer";
            Invalid::one("int_parsing", json!(["path", name]), msg, text.into(), None)
        })
    }
}

/// Reads fields one by one, and remembers what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    place: &'static str,
    values: &'a Map<String, Value>,
    wrong: Vec<Value>,
}

impl<'a> Fields<'a> {
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
            "query" => Value::Null,
            _ => Value::Object(self.values.clone()),
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
        self.wrong.push(object(kind, loc, msg, input.clone(), ctx));
    }

    pub(super) fn text(&mut self, name: &str, max: usize) -> String {
        let value = self.required(name);
        value.and_then(|value| self.as_text(name, value, max)).unwrap_or_default()
    }

    pub(super) fn optional_text(&mut self, name: &str, max: usize) -> Option<String> {
        self.optional(name).and_then(|value| self.as_text(name, value, max))
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

    pub(super) fn id<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.required(name)?;
        let loc = json!([self.place, name]);
        self.checked_id(loc, value)
    }

    pub(super) fn optional_id<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.optional(name)?;
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
        self.from_text(loc, &text, value)
    }

    fn from_text<T>(&mut self, loc: Value, text: &str, value: &Value) -> Option<T>
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
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.required(name)?;
        let text = self.as_text(name, value, MAX_ECHO)?;
        self.from_text(json!([self.place, name]), &text, value)
    }

    pub(super) fn optional_parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.optional(name)?;
        let text = self.as_text(name, value, MAX_ECHO)?;
        self.from_text(json!([self.place, name]), &text, value)
    }

    pub(super) fn ids<T: FromStr<Err: Display>>(&mut self, name: &str, max: usize) -> Vec<T> {
        match self.required(name) {
            Some(value) => self.checked_ids(name, value, max),
            None => Vec::new(),
        }
    }

    pub(super) fn optional_ids<T>(&mut self, name: &str, max: usize) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
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

    pub(super) fn optional_texts(&mut self, name: &str, max: usize) -> Option<Vec<String>> {
        let value = self.optional(name)?;
        let items = self.list(name, value, max)?;
        let place = self.place;
        let texts = items.iter().enumerate();
        let text = |(at, item)| self.checked_text(json!([place, name, at]), item, MAX_CHARS);
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
        let value = self.required(name);
        value.and_then(|value| self.checked_int(name, value, min, max)).unwrap_or(min)
    }

    pub(super) fn optional_int(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        self.optional(name).and_then(|value| self.checked_int(name, value, min, max))
    }

    fn checked_int(&mut self, name: &str, value: &Value, min: u32, max: u32) -> Option<u32> {
        let loc = json!([self.place, name]);
        // Wide enough for every number of JSON that is whole.
        let number: i128 = match value {
            Value::Bool(on) => i128::from(*on),
            Value::String(text) => match text.trim().parse() {
                Ok(number) => number,
                Err(_) => {
                    let msg =
                        "Input should be a valid integer, unable to parse string as an integer";
                    self.wrong("int_parsing", loc, msg, value, None);
                    return None;
                }
            },
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from);
                let whole = whole.or_else(|| number.as_u64().map(i128::from));
                let float = || number.as_f64().filter(|float| float.fract() == 0.0);
                // Past 2^127 it saturates, which the bound below refuses as well.
                match whole.or_else(|| float().map(|float| float as i128)) {
                    Some(number) => number,
                    None => {
                        let msg =
                            "Input should be a valid integer, got a number with a fractional part";
                        self.wrong("int_from_float", loc, msg, value, None);
                        return None;
                    }
                }
            }
            _ => {
                self.wrong("int_type", loc, "Input should be a valid integer", value, None);
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
        match self.values.get(name) {
            Some(value) => self.checked_float(name, value, min, max).unwrap_or(default),
            None => default,
        }
    }

    pub(super) fn optional_float(&mut self, name: &str) -> Option<f64> {
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
        let number = match value {
            Value::Bool(on) => Some(f64::from(u8::from(*on))),
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => {
                self.wrong("float_type", loc, "Input should be a valid number", value, None);
                return None;
            }
        };
        let Some(number) = number.filter(|number| number.is_finite()) else {
            let msg = "Input should be a valid number, unable to parse string as a number";
            self.wrong("float_parsing", loc, msg, value, None);
            return None;
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
        let value = self.optional(name)?;
        let text = match value {
            Value::Bool(on) => return Some(*on),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.to_ascii_lowercase(),
            _ => {
                let loc = json!([self.place, name]);
                self.wrong("bool_type", loc, "Input should be a valid boolean", value, None);
                return None;
            }
        };
        match text.as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => {
                let loc = json!([self.place, name]);
                let msg = "Input should be a valid boolean, unable to interpret input";
                self.wrong("bool_parsing", loc, msg, value, None);
                None
            }
        }
    }

    /// An object of any content, which is not used.
    pub(super) fn optional_object(&mut self, name: &str) {
        if let Some(value) = self.optional(name).filter(|value| !value.is_object()) {
            let loc = json!([self.place, name]);
            self.wrong("dict_type", loc, "Input should be a valid dictionary", value, None);
        }
    }

    /// An object with fields of its own.
    pub(super) fn optional_struct<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.optional(name)?;
        match serde_json::from_value(value.clone()) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let loc = json!([self.place, name]);
                let msg = format!("Value error, {error}");
                self.wrong("value_error", loc, &msg, value, None);
                None
            }
        }
    }
}
