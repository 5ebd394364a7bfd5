//! One operation, and the answers that all of a kind have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::schema;
use crate::door::http::fields::{Fields, Invalid};
use crate::door::http::outline::Field;

/// What a coordinator asks callers to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) keys: bool,
    pub(super) tokens: bool,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Everybody, as often as they like: who it is, is not looked at.
    Exempt,
    /// Who shows a key or a token, if these are looked at.
    Keyed,
    /// Everybody; a token says who it is.
    Open,
}

/// A method of a path.
pub(in super::super) struct Operation {
    pub(in super::super) path: String,
    pub(in super::super) method: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: Option<&'static str>,
    door: Door,
    query: Vec<Field>,
    body: Option<Body>,
    answers: Vec<Answer>,
}

struct Body {
    name: &'static str,
    fields: Vec<Field>,
    required: bool,
}

struct Answer {
    status: u16,
    what: &'static str,
    content: Content,
}

enum Content {
    Nothing,
    Json(Box<dyn Fn(&mut Components) -> Value>),
    Text,
}

impl Operation {
    pub(super) fn new(method: &'static str, path: &str, summary: &'static str) -> Self {
        let below = path.strip_prefix("/api/v1/").unwrap_or_default();
        let tag = below.split('/').next().filter(|tag| !tag.is_empty()).unwrap_or("service");
        // There is a word for each path that the contract has.
        let tag = super::operations::TAGS.iter().map(|(name, _)| *name).find(|name| *name == tag);
        Self {
            path: path.to_owned(),
            method,
            tag: tag.unwrap_or("service"),
            summary,
            description: None,
            door: Door::Keyed,
            query: Vec::new(),
            body: None,
            answers: Vec::new(),
        }
    }

    pub(super) fn says(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// Nobody is asked who they are, nor how often they came.
    pub(super) fn exempt(mut self) -> Self {
        self.door = Door::Exempt;
        self
    }

    /// What is shown is in the body or the query, or may be nothing.
    pub(super) fn open(mut self) -> Self {
        self.door = Door::Open;
        self
    }

    pub(super) fn query<T>(mut self, read: fn(&mut Fields<'_>) -> Result<T, Invalid>) -> Self {
        self.query = Fields::outline(read);
        self
    }

    pub(super) fn body<T>(
        mut self,
        name: &'static str,
        read: fn(&mut Fields<'_>) -> Result<T, Invalid>,
    ) -> Self {
        self.body = Some(Body { name, fields: Fields::outline(read), required: true });
        self
    }

    /// The body may be left out.
    pub(super) fn optional(mut self) -> Self {
        self.body.iter_mut().for_each(|body| body.required = false);
        self
    }

    pub(super) fn answers<T: ToSchema + 'static>(self, status: u16, what: &'static str) -> Self {
        self.with(status, what, Content::Json(Box::new(Components::of::<T>)))
    }

    pub(super) fn lists<T: ToSchema + 'static>(self, what: &'static str) -> Self {
        let list =
            |components: &mut Components| json!({ "type": "array", "items": components.of::<T>() });
        self.with(200, what, Content::Json(Box::new(list)))
    }

    pub(super) fn answers_with(self, status: u16, what: &'static str, schema: Value) -> Self {
        self.with(status, what, Content::Json(Box::new(move |_| schema.clone())))
    }

    /// That it is done, as a sentence.
    pub(super) fn tells(self, what: &'static str) -> Self {
        self.answers_with(200, what, json!({ "$ref": "#/components/schemas/Message" }))
    }

    pub(super) fn answers_text(self, what: &'static str) -> Self {
        self.with(200, what, Content::Text)
    }

    pub(super) fn answers_nothing(self, status: u16, what: &'static str) -> Self {
        self.with(status, what, Content::Nothing)
    }

    pub(super) fn refuses(self, status: u16, what: &'static str) -> Self {
        self.with(status, what, Content::Json(Box::new(|_| problem("Problem"))))
    }

    fn with(mut self, status: u16, what: &'static str, content: Content) -> Self {
        self.answers.push(Answer { status, what, content });
        self
    }

    /// In the document.
    pub(super) fn describe(mut self, access: Access, components: &mut Components) -> Value {
        let parts =
            self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let is_list = self.path.ends_with("/active");
        let mut parameters: Vec<Value> = parts.map(|name| schema::in_path(name, is_list)).collect();
        parameters.extend(schema::query(&self.query));
        self.add_common_answers();
        let mut described = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": self.id(),
            "security": self.security(access),
        });
        if let Some(description) = self.description {
            described["description"] = description.into();
        }
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        if let Some(body) = &self.body {
            components.put(body.name, || schema::object(&body.fields));
            described["requestBody"] = json!({
                "required": body.required,
                "content": { "application/json": { "schema": problem(body.name) } },
            });
        }
        let limited = self.door != Door::Exempt;
        let mut responses = BTreeMap::new();
        for answer in &self.answers {
            responses
                .entry(answer.status.to_string())
                .or_insert_with(|| answer.describe(limited, components));
        }
        described["responses"] = json!(responses);
        described
    }

    /// What was said before stands: these are for what was not.
    fn add_common_answers(&mut self) {
        let mut common = Vec::new();
        if self.body.is_some() {
            common.extend([
                (400, "The body is no text, or nested too deeply", "Problem"),
                (408, "The body took too long", "Problem"),
                (413, "The body is too large", "Problem"),
            ]);
        }
        if self.body.is_some() || !self.query.is_empty() || self.path.contains("{session_id}") {
            common.push((422, "The request is not of the form", "Invalid"));
        }
        if self.door != Door::Exempt {
            common.push((401, "Who asks has shown no key or token, or a wrong one", "Problem"));
            common.push((429, "Too many requests", "RateLimited"));
            if self.method != "GET" {
                common.extend([
                    (400, "The Idempotency-Key is not of the form", "Problem"),
                    (403, "Who asks may not do it", "Problem"),
                    (409, "A request with this Idempotency-Key is being done", "Problem"),
                    (422, "The Idempotency-Key was another request's", "Invalid"),
                ]);
            }
        }
        common.extend([
            (500, "The database failed", "Problem"),
            (503, "The database is away, or too many want the same: try again", "Problem"),
        ]);
        let what = "The request's line and headers are too large";
        self.answers.push(Answer { status: 431, what, content: Content::Nothing });
        for (status, what, schema) in common {
            let content = Content::Json(Box::new(move |_| problem(schema)));
            self.answers.push(Answer { status, what, content });
        }
    }

    fn security(&self, access: Access) -> Value {
        let key = json!({ "apiKey": [] });
        let token = json!({ "bearer": [] });
        match (self.door, access) {
            (Door::Exempt, _) => json!([]),
            (Door::Open, _) | (Door::Keyed, Access { keys: false, tokens: true }) => {
                json!([{}, token])
            }
            (Door::Keyed, Access { keys: true, tokens: true }) => json!([key, token]),
            (Door::Keyed, Access { keys: true, tokens: false }) => json!([key]),
            (Door::Keyed, Access { keys: false, tokens: false }) => json!([]),
        }
    }

    fn id(&self) -> String {
        let below = self.path.trim_start_matches("/api/v1");
        let words =
            below.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut id = self.method.to_lowercase();
        for word in words {
            id.push('_');
            id.push_str(word);
        }
        id
    }
}

impl Answer {
    fn describe(&self, limited: bool, components: &mut Components) -> Value {
        let mut names = vec!["X-Request-Id"];
        if limited {
            names.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
        }
        match self.status {
            429 | 503 => names.push("Retry-After"),
            400 | 403 | 404 | 409 => names.extend(["X-Refusal-Reason", "X-Refusal-Detail"]),
            _ => {}
        }
        let headers: Map<String, Value> = names
            .into_iter()
            .map(|name| {
                (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
            })
            .collect();
        let mut described = json!({ "description": self.what, "headers": headers });
        match &self.content {
            Content::Nothing => {}
            Content::Json(schema) => {
                described["content"] =
                    json!({ "application/json": { "schema": schema(components) } });
            }
            Content::Text => {
                let text = json!({ "text/plain": { "schema": { "type": "string" } } });
                described["content"] = text;
            }
        }
        described
    }
}

fn problem(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Headers that answers may have.
pub(super) fn headers() -> Value {
    let header = |what: &str, schema: Value| json!({ "description": what, "schema": schema });
    let number = || json!({ "type": "integer", "minimum": 0 });
    let text = || json!({ "type": "string" });
    json!({
        "Retry-After": header("In how many seconds to try again.", number()),
        "X-RateLimit-Limit": header("How many requests there are in a window.", number()),
        "X-RateLimit-Remaining": header("How many are left.", number()),
        "X-RateLimit-Reset": header("When all are there again: seconds since 1970.", number()),
        "X-Refusal-Detail": header("Why it was refused, for people.", text()),
        "X-Refusal-Reason": header("Why it was refused, for programs.", text()),
        "X-Request-Id": header("The request's own, or one that was given to it.", text()),
    })
}

/// The schemas that have names.
#[derive(Default)]
pub(super) struct Components(BTreeMap<String, Value>);

impl Components {
    /// A reference to a type.
    fn of<T: ToSchema>(&mut self) -> Value {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.put(&name, || json!(schema));
        }
        problem(&T::name())
    }

    fn put(&mut self, name: &str, schema: impl FnOnce() -> Value) {
        self.0.entry(name.to_owned()).or_insert_with(schema);
    }

    /// All of them.
    pub(super) fn schemas(mut self) -> BTreeMap<String, Value> {
        self.of::<p2p_coordinator_api::HostProof>();
        self.of::<p2p_coordinator_api::RefusalReason>();
        self.put("Message", || json!({
            "type": "object", "properties": { "message": { "type": "string" } }, "required": ["message"],
        }));
        self.put("Problem", || {
            json!({
                "description": "How a request is refused.",
                "type": "object",
                "properties": {
                    "detail": { "type": "string", "description": "For people." },
                    "error": { "enum": ["forbidden", "unauthorized"] },
                    "reason": { "$ref": "#/components/schemas/RefusalReason" },
                },
                "required": ["detail"],
            })
        });
        self.put("Invalid", || {
            json!({
                "description": "All that is wrong with a request.",
                "type": "object",
                "properties": { "detail": { "type": ["array", "string"], "minItems": 1, "items": {
                    "type": "object",
                    "properties": {
                        "type": { "type": "string", "description": "What kind of wrong." },
                        "loc": {
                            "description": "Where: body, path or query, then names and numbers.",
                            "type": "array", "minItems": 1,
                            "items": { "anyOf": [{ "type": "string" }, { "type": "integer" }] },
                        },
                        "msg": { "type": "string", "description": "For people." },
                        "input": { "description": "What was there." },
                        "ctx": { "type": "object", "description": "The bound." },
                    },
                    "required": ["type", "loc", "msg", "input"],
                } } },
                "required": ["detail"],
            })
        });
        self.put("RateLimited", || {
            json!({
                "type": "object",
                "properties": {
                    "error": { "const": "rate_limit_exceeded" },
                    "message": { "type": "string" },
                    "limit": { "type": "integer" },
                    "window_seconds": { "type": "integer" },
                    "reset_time": { "type": "integer", "description": "Seconds since 1970." },
                },
                "required": ["error", "message", "limit", "window_seconds", "reset_time"],
            })
        });
        self.0
    }
}
