//! Reads values from the environment.

use std::str::FromStr;

use super::secrets::Secret;
use crate::Failure;

/// The environment, by a lookup that is passed in. A name that is set to nothing counts as not set.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, name: &str, into: &mut String) {
        if let Some(value) = self.get(name) {
            *into = value;
        }
    }

    pub(super) fn secret(&self, name: &str, into: &mut Option<Secret>) {
        if let Some(value) = self.get(name) {
            *into = Some(value.into());
        }
    }

    pub(super) fn secrets(&self, name: &str, into: &mut Vec<Secret>) {
        let mut list = Vec::new();
        self.list(name, &mut list);
        if !list.is_empty() {
            *into = list.into_iter().map(Secret::from).collect();
        }
    }

    /// With commas between.
    pub(super) fn list(&self, name: &str, into: &mut Vec<String>) {
        if let Some(value) = self.get(name) {
            let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
            *into = items.map(str::to_owned).collect();
        }
    }

    pub(super) fn value<T: FromStr>(
        &self,
        name: &str,
        into: &mut T,
        what: &str,
    ) -> Result<(), Failure> {
        if let Some(value) = self.get(name) {
            // As people write it: True, FALSE.
            let value = value.trim().to_ascii_lowercase();
            *into = value.parse().map_err(|_| {
                Failure::new(format!("{name} is '{value}' in the environment: it has to be {what}"))
            })?;
        }
        Ok(())
    }

    pub(super) fn maybe<T: FromStr + Default>(
        &self,
        name: &str,
        into: &mut Option<T>,
        what: &str,
    ) -> Result<(), Failure> {
        if self.get(name).is_some() {
            let mut value = T::default();
            self.value(name, &mut value, what)?;
            *into = Some(value);
        }
        Ok(())
    }
}
