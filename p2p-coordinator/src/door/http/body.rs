//! A request's body, as a JSON object.

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::fields::{Fields, Invalid};
use super::json::complaint;
use super::reply::Failure;

/// A body that is a JSON object.
#[derive(Debug)]
pub(super) struct Body {
    values: Map<String, Value>,
    echo: Echo,
}

impl Body {
    /// An object with fields that the contract names.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Self::of_kind("model_attributes_type", msg, headers, body)
    }

    /// An object of any content: the contract has another word for what is none.
    pub(super) fn read_any(headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        Self::of_kind("dict_type", "Input should be a valid dictionary", headers, body)
    }

    fn of_kind(kind: &str, msg: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        if body.is_empty() {
            let loc = json!(["body"]);
            return Err(Invalid::one("missing", loc, "Field required", Value::Null, None).into());
        }
        let not_an_object =
            |input| Failure::from(Invalid::one(kind, json!(["body"]), msg, input, None));
        // Pages of other sites can make a browser send text or a form without asking first.
        if !is_json(headers) {
            let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ECHO)]);
            return Err(not_an_object(text.into()));
        }
        let text = std::str::from_utf8(body).map_err(|_| Failure::Unreadable)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match serde_json::from_str(text) {
            Ok(Value::Object(values)) => Ok(Self { values, echo: Echo::of(body.len()) }),
            Ok(other) => Err(not_an_object(Echo::of(body.len()).input(&other))),
            Err(error) if error.to_string().starts_with("recursion limit") => {
                Err(Failure::Unreadable)
            }
            Err(error) => {
                let words = error.to_string();
                let words = words.split(" at line").next().unwrap_or_default();
                // Numbers without bounds and halves of characters: only our parser refuses them.
                let (words, at) = complaint(text).unwrap_or((words, error.column()));
                let ctx = Some(json!({ "error": words }));
                let loc = json!(["body", at]);
                Err(Invalid::one("json_invalid", loc, "JSON decode error", json!({}), ctx).into())
            }
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::new("body", &self.values, self.echo)
    }
}

/// How much of a wrong body that is no JSON is sent back.
const MAX_ECHO: usize = 1000;

/// Whether what is wrong is sent back with the words. A missing field is told with all the others, so
/// a large body would be copied once for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Input,
    Nothing,
}

impl Echo {
    const MAX_BODY: usize = 16 << 10;

    const fn of(bytes: usize) -> Self {
        if bytes > Self::MAX_BODY { Self::Nothing } else { Self::Input }
    }

    pub(super) fn input(self, value: &Value) -> Value {
        match self {
            Self::Input => value.clone(),
            Self::Nothing => Value::Null,
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
