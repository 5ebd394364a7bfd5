//! Where values come from: which of several counts, and who is told what does not.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::names::{Apply, Meaning, meaning};
use super::nearest::nearest;
use super::{Config, hidden};

/// Names and values from one place.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Where: `the environment`, or a file.
    pub(super) place: String,
    pub(super) values: BTreeMap<String, String>,
}

/// What came out beside the values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// By setting, where its value is from.
    origins: BTreeMap<String, String>,
    /// What an operator should know.
    pub(crate) notes: Vec<String>,
    /// What cannot be.
    pub(super) problems: Vec<String>,
}

/// What may be said to set a setting, with the value.
struct Said<'a> {
    name: &'a str,
    value: String,
    apply: Apply,
}

impl Config {
    /// Takes what the layers say, the weakest first.
    pub(super) fn take_layers(&mut self, layers: &[Layer], findings: &mut Findings) {
        findings.tell_unused(layers);
        for (at, layer) in layers.iter().enumerate() {
            let mut settings: BTreeMap<&'static str, Vec<Said<'_>>> = BTreeMap::new();
            for (name, value) in layer.values.iter().filter(|(_, value)| !value.is_empty()) {
                if let Some(Meaning::Sets(setting, apply)) = meaning(name) {
                    settings.entry(setting).or_default().push(Said {
                        name,
                        value: value.clone(),
                        apply,
                    });
                }
            }
            if let Some(url) = postgres(&layers[..=at])
                && let Some(Meaning::Sets(setting, apply)) = meaning("DATABASE_URL")
            {
                let said = Said { name: "POSTGRES_*", value: url, apply };
                settings.entry(setting).or_default().push(said);
            }
            for (setting, said) in settings {
                self.take(setting, &said, &layer.place, findings);
            }
        }
    }

    fn take(&mut self, setting: &str, said: &[Said<'_>], place: &str, findings: &mut Findings) {
        let mut taken: Option<(&str, Self)> = None;
        for Said { name, value, apply } in said {
            let mut with = self.clone();
            if let Err(what) = apply(&mut with, value) {
                let shown = if setting == "store.url" { hidden(value) } else { value.clone() };
                if *name == "HOST" {
                    // Shells and build tools set it to the machine's name.
                    let note = format!("HOST is '{shown}', which is no IP address: not used");
                    findings.notes.push(note);
                    continue;
                }
                let problem = format!("{name} is '{shown}' in {place}: it has to be {what}");
                findings.problems.push(problem);
                continue;
            }
            match &taken {
                Some((other, first)) if *first != with => findings.problems.push(format!(
                    "{other} and {name} in {place} are one setting, and say different things: \
                     leave one out"
                )),
                Some(_) => {}
                None => taken = Some((*name, with)),
            }
        }
        if let Some((name, with)) = taken {
            *self = with;
            findings.from(setting, &format!("{name} in {place}"));
        }
    }
}

impl Findings {
    /// A setting has its value from there.
    pub(super) fn from(&mut self, setting: &str, origin: &str) {
        let marked: &[&str] = match setting {
            "listen" => &["listen.ip", "listen.port"],
            "store.url" => &["store.kind", "store.path", "store.url"],
            setting => &[setting],
        };
        for setting in marked {
            self.origins.insert((*setting).to_owned(), origin.to_owned());
        }
    }

    /// Where a setting has its value from.
    fn origin(&self, setting: &str) -> String {
        let known = |setting: &str| self.origins.get(setting).map_or("default", String::as_str);
        if setting == "listen" {
            let (ip, port) = (known("listen.ip"), known("listen.port"));
            return if ip == port { ip.to_owned() } else { format!("{ip}; {port}") };
        }
        known(setting).to_owned()
    }

    /// A file's content, with the origin of each value as a comment.
    pub(crate) fn annotate(&self, content: &str) -> String {
        let mut section = String::new();
        let mut all = String::new();
        for line in content.lines() {
            all += line;
            if let Some(name) = line.strip_prefix('[') {
                section = format!("{}.", name.trim_end_matches(']'));
            } else if let Some((name, _)) = line.split_once(" = ") {
                all += &format!("  # {}", self.origin(&format!("{section}{name}")));
            }
            all.push('\n');
        }
        all
    }

    fn tell_unused(&mut self, layers: &[Layer]) {
        let mut unused = Vec::new();
        for layer in layers {
            for (name, _) in layer.values.iter().filter(|(_, value)| !value.is_empty()) {
                match meaning(name) {
                    Some(Meaning::Ignored(why)) => unused.push(format!("{name} ({why})")),
                    Some(_) => {}
                    None => {
                        if let Some(known) = nearest(name) {
                            let note = format!("{name} in {} is no name", layer.place);
                            self.notes.push(format!("{note} of a setting: is {known} meant?"));
                        }
                    }
                }
            }
        }
        unused.dedup();
        if !unused.is_empty() {
            self.notes.push(format!("not used: {}", unused.join(", ")));
        }
    }
}

/// What has to be escaped in a part of a URL (RFC 3986, section 2.3).
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL that the parts make, if the last layer has one of them.
fn postgres(layers: &[Layer]) -> Option<String> {
    let own = ["POSTGRES_HOST", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"];
    let set = |layer: &Layer, name: &str| {
        layer.values.get(name).filter(|value| !value.is_empty()).cloned()
    };
    let last = layers.last()?;
    if !own.iter().any(|name| set(last, name).is_some()) {
        return None;
    }
    let part = |name: &str| layers.iter().rev().find_map(|layer| set(layer, name));
    let part_or = |name: &str, default: &str| part(name).unwrap_or_else(|| default.to_owned());
    let safe = |text: &str| utf8_percent_encode(text, UNSAFE).to_string();
    let user = safe(&part_or("POSTGRES_USER", "p2p_user"));
    let password =
        part("POSTGRES_PASSWORD").map_or(String::new(), |text| format!(":{}", safe(&text)));
    let mut host = part_or("POSTGRES_HOST", "127.0.0.1");
    if host.contains(':') && !host.starts_with('[') {
        host = format!("[{host}]");
    }
    let port = part_or("POSTGRES_PORT", "5432");
    let database = safe(&part_or("POSTGRES_DB", "p2p_coordinator"));
    Some(format!("postgresql://{user}{password}@{host}:{port}/{database}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(place: &str, values: &[(&str, &str)]) -> Layer {
        let values = values.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Layer { place: place.into(), values }
    }

    fn taken(layers: &[Layer]) -> (Config, Findings) {
        let (mut config, mut findings) = (Config::default(), Findings::default());
        config.take_layers(layers, &mut findings);
        (config, findings)
    }

    #[test]
    fn the_later_layer_wins_whatever_name_it_uses() {
        let weak =
            layer(".env", &[("SERVICE_NAME", "one"), ("PORT", "1"), ("P2P_ENABLED", "false")]);
        let strong = layer("the environment", &[("P2P_SERVICE_NAME", "two"), ("PORT", "")]);
        let (config, findings) = taken(&[weak, strong]);
        assert_eq!((config.name.as_str(), config.listen.port()), ("two", 1));
        assert!(!config.p2p_enabled && findings.problems.is_empty());
        assert_eq!(findings.origin("name"), "P2P_SERVICE_NAME in the environment");
        assert_eq!(findings.origin("listen"), "default; PORT in .env");
    }

    #[test]
    fn two_names_of_a_setting_have_to_agree() {
        let same = [("SESSION_TIMEOUT_MINUTES", "5"), ("P2P_SESSION_TIMEOUT_SECONDS", "300")];
        let (config, findings) = taken(&[layer("here", &same)]);
        assert_eq!(config.terms.session_timeout_seconds, 300);
        assert_eq!(findings.problems, [""; 0]);
        let other = [("P2P_ENABLED", "true"), ("ENABLE_P2P", "no")];
        let (_, findings) = taken(&[layer("here", &other)]);
        let problem = findings.problems.concat();
        assert!(problem.contains("ENABLE_P2P and P2P_ENABLED in here"), "{problem}");
    }

    #[test]
    fn parts_of_a_database_make_its_url() {
        let parts = [("POSTGRES_PASSWORD", "a@b:c/%"), ("POSTGRES_HOST", "db")];
        let (config, _) = taken(&[layer("here", &parts)]);
        let url = config.store.url.as_deref();
        assert_eq!(url, Some("postgresql://p2p_user:a%40b%3Ac%2F%25@db:5432/p2p_coordinator"));
        let both = [("POSTGRES_HOST", "db"), ("DATABASE_URL", "postgresql://u:hidden@other/x")];
        let problem = taken(&[layer("here", &both)]).1.problems.concat();
        assert!(problem.contains("DATABASE_URL and POSTGRES_*") && !problem.contains("hidden"));
    }

    #[test]
    fn what_is_not_used_is_told_with_the_reason_and_the_nearest_name() {
        let values = [("REDIS_URL", "redis://x"), ("P2P_ENABELD", "false"), ("SHELL", "x")];
        let notes = taken(&[layer("here", &values)]).1.notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("P2P_ENABELD") && notes[0].contains("is P2P_ENABLED meant"));
        assert!(notes[1].contains("REDIS_URL (one instance needs no Redis)"), "{notes:?}");
    }
}
