//! What is told about the work that is done.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MonitoringConfig {
    /// Whether `/metrics` tells what is counted.
    pub(crate) prometheus: bool,
    /// `text` or `json`.
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// An object on each line.
    Json,
    /// For people.
    #[default]
    Text,
}

impl Default for MonitoringConfig {
    fn default() -> Self {
        Self { prometheus: true, log_format: LogFormat::default() }
    }
}
