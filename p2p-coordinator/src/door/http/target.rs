//! What a request asks for: the values in its path and behind its `?`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use p2p_coordinator_api::{HostId, RefusalReason, SessionName, ZoneId};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::body::Echo;
use super::fields::{Fields, Invalid};
use super::numbers;
use super::reply::Failure;
use crate::domain::Refusal;
use crate::service::ServiceError;
use crate::store::SessionKey;

/// What stands behind the `?`. Of a name that is there twice the last counts.
#[derive(Debug)]
pub(super) struct Query(Map<String, Value>);

impl Query {
    /// A value, if it is there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(ToOwned::to_owned)
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::new("query", &self.0, Echo::Input)
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
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        // The only way to fail is text that is no UTF-8: there is nothing of that name. Nor is there
        // between two slashes.
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| Failure::NotFound)?;
        if params.iter().any(|(_, value)| value.is_empty()) {
            return Err(Failure::NotFound);
        }
        Ok(Self(params.iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

impl Path {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// An id, if the text is one.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T, &str> {
        let text = self.text(name);
        text.parse().map_err(|_| text)
    }

    /// Text that is no id is that of no host.
    pub(super) fn host(&self) -> Result<HostId, Failure> {
        self.id("host_id").map_err(|text| Failure::Absent {
            detail: format!("Host not found: {text}"),
            reason: RefusalReason::UnknownHost,
        })
    }

    pub(super) fn zone(&self) -> Result<ZoneId, Failure> {
        self.id("zone_id").map_err(|text| Failure::Absent {
            detail: format!("Zone not found: {text}"),
            reason: RefusalReason::UnknownZone,
        })
    }

    /// A session, by its number or by its name.
    pub(super) fn session(&self) -> Result<Named, Invalid> {
        let name = "session_id";
        let text = self.text(name);
        if let (true, Ok(name)) = (SessionName::is_one(text), text.parse()) {
            return Ok(Named(Ok(SessionKey::Name(name))));
        }
        let Some(number) = numbers::whole(text) else {
            let msg = numbers::NOT_WHOLE;
            return Err(Invalid::one("int_parsing", json!(["path", name]), msg, text.into(), None));
        };
        let key = i64::try_from(number).map(SessionKey::Number);
        Ok(Named(key.map_err(|_| text.trim().to_owned())))
    }
}

/// A session as a path names it: perhaps by a number that no session can have.
#[derive(Debug)]
pub(super) struct Named(Result<SessionKey, String>);

impl Named {
    pub(super) fn key(&self) -> Result<&SessionKey, ServiceError> {
        self.0.as_ref().map_err(|text| Refusal::UnknownSession(text.clone()).into())
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(key) => key.fmt(f),
            Err(text) => f.write_str(text),
        }
    }
}
