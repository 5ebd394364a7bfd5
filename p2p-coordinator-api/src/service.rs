//! What the service says about itself, and how it says no.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ZoneId;
use crate::join::RefusalReason;

/// The answer at [`ROOT`](crate::paths::ROOT).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceInfo {
    /// What it is called.
    pub service: String,
    /// Which version.
    pub version: String,
    /// `running`.
    pub status: String,
    /// Whether peers may meet at all.
    pub p2p_enabled: bool,
    /// The zones in which they may.
    pub enabled_zones: Vec<ZoneId>,
}

/// The answer at [`HEALTH`](crate::paths::HEALTH): the process lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `healthy`.
    pub status: String,
    /// What it is called.
    pub service: String,
    /// Which version.
    pub version: String,
    /// Each store in use, and how it was at the last look.
    pub database: BTreeMap<String, String>,
}

/// The answer at [`READY`](crate::paths::READY): whether the service can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// `ready`, `draining` or `unavailable`.
    pub status: String,
    /// Each thing that was asked, and what it said.
    pub checks: BTreeMap<String, String>,
}

/// How a request is refused: a sentence for people, and for programs a word if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The sentence.
    pub detail: String,
    /// The word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RefusalReason>,
}

/// The header with the key by which a request is known when it is sent again.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// The header that an answer has, with the value `true`, that was given before.
pub const REPLAYED_HEADER: &str = "idempotency-replayed";

/// The header in which a refusal's word travels where the contract fixes the body.
pub const REASON_HEADER: &str = "x-refusal-reason";

/// The header in which a refusal's sentence travels where the contract fixes the body.
pub const DETAIL_HEADER: &str = "x-refusal-detail";
