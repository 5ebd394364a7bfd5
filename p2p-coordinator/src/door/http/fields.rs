//! What a body, a path or a query must look like, and the contract's words when it does not.
//!
//! The contract's service was written with a validator whose error objects clients read; these are
//! the same objects: `type`, `loc`, `msg`, `input`, and `ctx` where there is a bound. All that is
//! wrong is told at once, in the order of the fields. What the contract let through and then failed
//! on - empty ids, text past its column, zero bytes, numbers past 32 bits - is told here as well.

use std::fmt::Display;
use std::str::FromStr;

use p2p_coordinator_api::ids::MAX_CHARS;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::body::Echo;
use super::numbers;

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

/// The longest text of which something is to be made.
const MAX_PARSED: usize = 1000;

/// Reads fields one by one, and remembers what is wrong with them.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    place: &'static str,
    values: &'a Map<String, Value>,
    echo: Echo,
    wrong: Vec<Value>,
}

impl<'a> Fields<'a> {
    /// Those at `place`: `body` or `query`.
    pub(super) fn new(place: &'static str, values: &'a Map<String, Value>, echo: Echo) -> Self {
        Self { place, values, echo, wrong: Vec::new() }
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
        let value = self.required(name);
        value.and_then(|value| self.as_text(name, value, max)).unwrap_or_default()
    }

    /// Text, or a number that stands for it.
    pub(super) fn text_or_number(&mut self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Number(number)) => number.to_string(),
            _ => self.text(name, MAX_CHARS),
        }
    }

    /// Any value but null.
    pub(super) fn any(&mut self, name: &str) -> Option<&'a Value> {
        let value = self.optional(name);
        if value.is_none() {
            self.missing(name);
        }
        value
    }

    pub(super) fn optional_text(&mut self, name: &str, max: usize) -> Option<String> {
        self.optional(name).and_then(|value| self.as_text(name, value, max))
    }

    /// Text by which a list is narrowed; without any it is not.
    pub(super) fn filter(&mut self, name: &str) -> Option<String> {
        self.optional_text(name, MAX_CHARS).filter(|text| !text.is_empty())
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

    /// An id that may be left out, but not be null.
    pub(super) fn id_if_there<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
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
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.required(name)?;
        let text = self.as_text(name, value, MAX_PARSED)?;
        self.meaning(json!([self.place, name]), &text, value)
    }

    pub(super) fn optional_parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.optional(name)?;
        let text = self.as_text(name, value, MAX_PARSED)?;
        self.meaning(json!([self.place, name]), &text, value)
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

    /// One that is not there is the default; null is none.
    pub(super) fn default_int(&mut self, name: &str, default: u32, min: u32, max: u32) -> u32 {
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
        self.optional(name).and_then(|value| self.checked_bool(name, value))
    }

    /// One that is not there is the default; null is none.
    pub(super) fn default_bool(&mut self, name: &str, default: bool) -> bool {
        let value = self.values.get(name);
        value.map_or(Some(default), |value| self.checked_bool(name, value)).unwrap_or(default)
    }

    fn checked_bool(&mut self, name: &str, value: &Value) -> Option<bool> {
        numbers::bool(value)
            .map_err(|(kind, msg)| self.wrong(kind, json!([self.place, name]), msg, value, None))
            .ok()
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
