//! What is told about the work that is done.

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use crate::Failure;

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
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

impl std::str::FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

impl MonitoringConfig {
    pub(super) fn take_environment(&mut self, from: &Environment<'_>) -> Result<(), Failure> {
        from.value("PROMETHEUS_ENABLED", &mut self.prometheus, "true or false")?;
        from.value("LOG_FORMAT", &mut self.log_format, "json or text")
    }
}
