//! What of another configuration counts while the program runs, and what only after a restart.

use std::collections::BTreeSet;

use super::Config;
use super::security::RateConfig;

impl Config {
    /// This one, with what can change at run time from another.
    pub(crate) fn with_live(&self, new: &Self) -> Self {
        let mut taken = self.clone();
        taken.p2p_enabled = new.p2p_enabled;
        taken.p2p_enabled_zones.clone_from(&new.p2p_enabled_zones);
        taken.log.clone_from(&new.log);
        let max_buckets = self.security.rate_limit.max_buckets;
        taken.security.rate_limit = RateConfig { max_buckets, ..new.security.rate_limit.clone() };
        taken
    }

    /// The settings that another has differently, by their names in a file.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        if self == other {
            return Vec::new();
        }
        let table = |config: &Self| toml::Table::try_from(config).unwrap_or_default();
        let mut names = Vec::new();
        differing(&table(self), &table(other), "", &mut names);
        if names.is_empty() {
            // What is not shown is all that is left.
            names.push("a secret".into());
        }
        names
    }
}

fn differing(one: &toml::Table, other: &toml::Table, section: &str, names: &mut Vec<String>) {
    let all: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for name in all {
        match (one.get(name), other.get(name)) {
            (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
                differing(one, other, &format!("{section}{name}."), names);
            }
            (one, other) if one != other => names.push(format!("{section}{name}")),
            _ => {}
        }
    }
}
