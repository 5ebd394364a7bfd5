//! Which pages may use the service from a browser (the Fetch standard's CORS protocol).

use std::str::FromStr;

use thiserror::Error;

/// Origins of pages that may use the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Only the service's own.
    #[default]
    Own,
    /// All, without what their browsers hold for the service: cookies and the like.
    Any,
    /// These, with it.
    Listed(Vec<String>),
}

/// How an origin is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admittance {
    /// As one of many that are not told apart: `*`.
    Anonymous,
    /// By its name, with credentials.
    Named,
}

impl Origins {
    /// How this origin is let in, if it is.
    pub fn admit(&self, origin: &str) -> Option<Admittance> {
        match self {
            Self::Own => None,
            Self::Any => Some(Admittance::Anonymous),
            Self::Listed(origins) => {
                let listed = origins.iter().any(|known| known.eq_ignore_ascii_case(origin));
                listed.then_some(Admittance::Named)
            }
        }
    }
}

/// A list with commas between; `*` is all, and an empty one only the service's own.
impl FromStr for Origins {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let mut origins = Vec::new();
        for origin in text.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
            if origin == "*" {
                return Ok(Self::Any);
            }
            // A path would never match: browsers send none.
            let origin = origin.strip_suffix('/').unwrap_or(origin);
            let plain = origin.split_once("://").is_some_and(|(scheme, host)| {
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
                !scheme.is_empty()
                    && scheme.bytes().all(is_name)
                    && !host.is_empty()
                    && !host.contains(['/', '?', '#', '*', '"', '\''])
            });
            if !plain || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(NotAnOrigin(origin.chars().take(64).collect()));
            }
            origins.push(origin.to_owned());
        }
        Ok(if origins.is_empty() { Self::Own } else { Self::Listed(origins) })
    }
}

/// Text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{0}' is no origin: give https://host or https://host:port, or * for all")]
pub struct NotAnOrigin(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_origins_are_let_in_by_name_and_a_star_lets_in_all_without_credentials() {
        let listed: Origins = "https://play.example, http://localhost:3000/".parse().unwrap();
        assert_eq!(listed.admit("https://play.example"), Some(Admittance::Named));
        assert_eq!(listed.admit("http://localhost:3000"), Some(Admittance::Named));
        for other in ["https://play.example.evil", "http://play.example", "null", ""] {
            assert_eq!(listed.admit(other), None, "{other}");
        }
        let any: Origins = "https://play.example,*".parse().unwrap();
        assert_eq!(any.admit("https://elsewhere.example"), Some(Admittance::Anonymous));
        assert_eq!(" , ".parse(), Ok(Origins::Own));
        let wrong = [
            "play.example",
            "https://",
            "https://a/b",
            "https://*.example",
            "https://é",
            // Lists of other programs.
            r#"["https://play.example"]"#,
            "'https://play.example'",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
