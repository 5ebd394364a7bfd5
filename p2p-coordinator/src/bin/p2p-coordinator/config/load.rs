//! Reads all sources, the weakest first.

use std::collections::BTreeMap;
use std::path::Path;

use super::sources::Layer;
use super::{Config, Findings, StoreKind, dotenv};
use crate::Failure;
use crate::arguments::Arguments;

impl Config {
    /// What all sources together say, and where each value is from.
    pub(crate) fn load(
        arguments: &Arguments,
        environment: BTreeMap<String, String>,
    ) -> Result<(Self, Findings), Failure> {
        let mut findings = Findings::default();
        let mut config = match &arguments.config {
            Some(path) => Self::from_file(path, &mut findings),
            None => Self::default(),
        };
        let mut layers = Vec::new();
        match dot_env(arguments.env_file.as_deref()) {
            Ok(layer) => layers.extend(layer),
            Err(Failure(problem)) => findings.problems.push(problem),
        }
        layers.push(Layer { place: "the environment".into(), values: environment });
        config.take_layers(&layers, &mut findings);
        config.take_flags(arguments, &mut findings);
        // What a file that cannot be read leaves open is no mistake of its own.
        if findings.problems.is_empty() {
            findings.problems = config.problems();
        }
        match findings.problems.as_slice() {
            [] => Ok((config, findings)),
            [problem] => Err(Failure::new(problem)),
            problems => Err(Failure::new(format!(
                "{} things are wrong\n  {}",
                problems.len(),
                problems.join("\n  ")
            ))),
        }
    }

    fn from_file(path: &Path, findings: &mut Findings) -> Self {
        let name = path.display();
        let read = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the configuration '{name}': {error}"));
        let parsed = read.and_then(|text| {
            let wrong = |error| format!("the configuration '{name}' is wrong: {error}");
            let table: toml::Table = toml::from_str(&text).map_err(wrong)?;
            Ok((table, toml::from_str(&text).map_err(wrong)?))
        });
        match parsed {
            Ok((table, config)) => {
                mark(&table, "", &name.to_string(), findings);
                config
            }
            Err(problem) => {
                findings.problems.push(problem);
                Self::default()
            }
        }
    }

    fn take_flags(&mut self, arguments: &Arguments, findings: &mut Findings) {
        if let Some(listen) = arguments.listen {
            self.listen = listen;
            findings.from("listen", "--listen");
        }
        if let Some(p2p) = arguments.p2p {
            self.p2p = Some(p2p);
            findings.from("p2p", "--p2p");
        }
        if let Some(given) = &arguments.database {
            let url = given.to_str().map(str::to_owned);
            if url.is_none_or(|url| self.store.take_url(url).is_err()) {
                self.store.path.clone_from(given);
                self.store.kind = StoreKind::Sqlite;
            }
            findings.from("store.url", "--database");
        }
        if arguments.memory {
            self.store.kind = StoreKind::Memory;
            findings.from("store.kind", "--memory");
        }
        if arguments.disable_p2p {
            self.p2p_enabled = false;
            findings.from("p2p_enabled", "--disable-p2p");
        }
        if let Some(level) = &arguments.log {
            self.log.clone_from(level);
            findings.from("log", "--log");
        }
    }
}

/// Each value of the table is from the file of this name.
fn mark(table: &toml::Table, section: &str, file: &str, findings: &mut Findings) {
    for (name, value) in table {
        match value {
            toml::Value::Table(table) => mark(table, &format!("{section}{name}."), file, findings),
            _ => findings.from(&format!("{section}{name}"), file),
        }
    }
}

/// The file that is named; else the one of the working folder, if there is one.
fn dot_env(named: Option<&Path>) -> Result<Option<Layer>, Failure> {
    let path = named.unwrap_or_else(|| Path::new(".env"));
    let place = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(Failure::new(format!("cannot read '{place}': {error}"))),
    };
    let values =
        dotenv::parse(&text).map_err(|what| Failure::new(format!("'{place}' is wrong: {what}")))?;
    Ok(Some(Layer { place, values }))
}
