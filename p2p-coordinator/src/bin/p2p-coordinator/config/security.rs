//! Who may ask, and how much: as it is configured, and what of it is too weak.
//!
//! What is not said depends on where the program runs. In development on loopback nobody is asked who
//! they are; everywhere else keys are asked for and requests are counted, and in production the
//! program does not start with secrets that somebody could guess.

use std::time::Duration;

use p2p_coordinator::security::proxies::ForwardedHeader;
use p2p_coordinator::security::rates::Rate;
use p2p_coordinator::security::{
    ApiKey, ApiKeys, Origins, Proxies, Rates, RepeatLimits, Role, SecuritySettings, TokenKey,
    TokenSettings,
};
use serde::{Deserialize, Serialize};

use super::secrets::{LEAST, Secret, weakness};
use crate::Failure;

/// Where the program runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// On somebody's desk.
    #[default]
    Development,
    /// Where it matters.
    Production,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SecurityConfig {
    /// Whether a key or a token is asked for. If not set: not in development on loopback without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_validation: Option<bool>,
    /// The header in which keys are shown.
    pub(crate) api_key_header: String,
    /// The one key that may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coordinator_api_key: Option<Secret>,
    /// More keys, each as `role:key` or `role:sha256:digest`.
    pub(crate) api_keys: Vec<Secret>,
    /// Whether access tokens are looked at.
    pub(crate) jwt_validation: bool,
    /// What signs tokens. If not set it follows from the signing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwt_secret_key: Option<Secret>,
    /// What signed tokens before: they are honoured.
    pub(crate) jwt_previous_secret_keys: Vec<Secret>,
    pub(crate) jwt_issuer: String,
    pub(crate) jwt_audience: String,
    pub(crate) jwt_expiration_seconds: u32,
    pub(crate) jwt_refresh_expiration_seconds: u32,
    pub(crate) max_logins_of_player: usize,
    pub(crate) max_logins: u32,
    /// Pages that may ask from a browser, with commas between; `*` is all.
    pub(crate) cors_origins: String,
    /// Networks of proxies that are believed about whom they ask for.
    pub(crate) trusted_proxies: Vec<String>,
    /// `x-forwarded-for` or `forwarded`: the one that they write.
    pub(crate) trusted_proxy_header: String,
    pub(crate) rate_limit: RateConfig,
    /// How much is kept of requests that may be sent again.
    pub(crate) repeats: RepeatConfig,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RepeatConfig {
    window_seconds: u32,
    max_answers: usize,
    max_bytes: usize,
}

impl Default for RepeatConfig {
    fn default() -> Self {
        let limits = RepeatLimits::default();
        let (max_answers, max_bytes) = (limits.max_answers, limits.max_bytes);
        Self { window_seconds: super::seconds(limits.window), max_answers, max_bytes }
    }
}

impl RepeatConfig {
    fn limits(&self) -> RepeatLimits {
        let mut limits = RepeatLimits::default();
        limits.window = super::whole(self.window_seconds);
        limits.max_answers = self.max_answers;
        limits.max_bytes = self.max_bytes;
        limits
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RateConfig {
    /// If not set: not in development on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    pub(crate) window_seconds: u32,
    pub(crate) requests: u32,
    pub(crate) auth_requests: u32,
    pub(crate) signaling_requests: u32,
    pub(crate) service_requests: u32,
    pub(crate) wrong_keys: u32,
    pub(crate) max_buckets: usize,
}

impl Default for SecurityConfig {
    fn default() -> Self {
        let (security, tokens) = (SecuritySettings::default(), TokenSettings::default());
        Self {
            api_key_validation: None,
            api_key_header: security.api_key_header,
            coordinator_api_key: None,
            api_keys: Vec::new(),
            jwt_validation: security.check_tokens,
            jwt_secret_key: None,
            jwt_previous_secret_keys: Vec::new(),
            jwt_issuer: tokens.issuer,
            jwt_audience: tokens.audience,
            jwt_expiration_seconds: super::seconds(tokens.access_lifetime),
            jwt_refresh_expiration_seconds: super::seconds(tokens.refresh_lifetime),
            max_logins_of_player: tokens.max_logins_of_player,
            max_logins: tokens.max_logins,
            cors_origins: String::new(),
            trusted_proxies: Vec::new(),
            trusted_proxy_header: ForwardedHeader::default().name().into(),
            rate_limit: RateConfig::default(),
            repeats: RepeatConfig::default(),
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        let rates = Rates::default();
        Self {
            enabled: None,
            window_seconds: super::seconds(rates.others.window),
            requests: rates.others.requests,
            auth_requests: rates.auth.requests,
            signaling_requests: rates.signaling.requests,
            service_requests: rates.service.requests,
            wrong_keys: rates.wrong.requests,
            max_buckets: rates.max_buckets,
        }
    }
}

impl SecurityConfig {
    /// All that cannot be at this place.
    pub(super) fn problems(&self, place: Place, exposed: bool) -> Vec<String> {
        let weak = if place == Place::Production { self.weak() } else { Vec::new() };
        let others = [
            self.check().err(),
            self.keys().err(),
            self.proxies().err(),
            self.origins().err(),
            self.settings(place, exposed).err(),
        ];
        let mut problems = Vec::new();
        for problem in weak.into_iter().chain(others.into_iter().flatten().map(|why| why.0)) {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// What comes of it at this place; `exposed` if others than this machine reach a door.
    pub(crate) fn settings(
        &self,
        place: Place,
        exposed: bool,
    ) -> Result<SecuritySettings, Failure> {
        self.check()?;
        let guarded = place == Place::Production || exposed;
        let keys = self.keys()?;
        if place == Place::Production
            && let Some(why) = self.weak().into_iter().next()
        {
            return Err(Failure::new(why));
        }
        let mut settings = SecuritySettings::default();
        settings.check_api_keys = self.api_key_validation.unwrap_or(guarded || !keys.is_empty());
        if settings.check_api_keys && keys.is_empty() {
            let way_out = match place {
                Place::Production => "",
                Place::Development => {
                    ", serve on 127.0.0.1 only, or say API_KEY_VALIDATION_ENABLED=false to let \
                     everybody do everything"
                }
            };
            return Err(Failure::new(format!(
                "keys are asked for, and there is none: set COORDINATOR_API_KEY to at least {LEAST} \
                 random characters (openssl rand -hex 32){way_out}"
            )));
        }
        settings.api_keys = keys;
        settings.api_key_header.clone_from(&self.api_key_header);
        settings.check_tokens = self.jwt_validation;
        settings.tokens = self.tokens();
        settings.rates = self.rates(guarded);
        settings.repeats = self.repeats.limits();
        settings.proxies = self.proxies()?;
        settings.origins = self.origins()?;
        Ok(settings)
    }

    fn tokens(&self) -> TokenSettings {
        let mut tokens = TokenSettings::default();
        let old = &self.jwt_previous_secret_keys;
        // Without one that signs, old ones have nothing to follow on.
        if let Some(secret) = &self.jwt_secret_key {
            tokens.keys =
                [secret].into_iter().chain(old).map(|key| TokenKey::new(key.text())).collect();
        }
        tokens.issuer.clone_from(&self.jwt_issuer);
        tokens.audience.clone_from(&self.jwt_audience);
        tokens.access_lifetime = super::whole(self.jwt_expiration_seconds);
        tokens.refresh_lifetime = super::whole(self.jwt_refresh_expiration_seconds);
        tokens.max_logins_of_player = self.max_logins_of_player;
        tokens.max_logins = self.max_logins;
        tokens
    }

    fn rates(&self, guarded: bool) -> Rates {
        let config = &self.rate_limit;
        let window = Duration::from_secs(config.window_seconds.into());
        let rate = |requests| Rate { requests, window };
        let mut rates = Rates::default();
        rates.enabled = config.enabled.unwrap_or(guarded);
        rates.others = rate(config.requests);
        rates.auth = rate(config.auth_requests);
        rates.signaling = rate(config.signaling_requests);
        rates.service = rate(config.service_requests);
        rates.wrong = rate(config.wrong_keys);
        rates.max_buckets = config.max_buckets;
        rates
    }

    fn proxies(&self) -> Result<Proxies, Failure> {
        let network = |text: &String| {
            let alone = text.parse().map(|address: std::net::IpAddr| address.into());
            text.parse().or(alone).map_err(|_| {
                Failure::new(format!(
                    "the trusted proxy '{text}' is no network: give an address, or one with a \
                     length like 10.0.0.0/8"
                ))
            })
        };
        let header = [ForwardedHeader::Forwarded, ForwardedHeader::XForwardedFor];
        let named = |header: &ForwardedHeader| {
            self.trusted_proxy_header.eq_ignore_ascii_case(header.name())
        };
        let header = header.into_iter().find(named).ok_or_else(|| {
            Failure::new(format!(
                "the header of trusted proxies is '{}': it has to be x-forwarded-for or forwarded",
                self.trusted_proxy_header
            ))
        })?;
        let networks = self.trusted_proxies.iter().map(network).collect::<Result<_, _>>()?;
        Ok(Proxies { networks, header })
    }

    fn origins(&self) -> Result<Origins, Failure> {
        self.cors_origins.parse().map_err(|error| Failure::new(format!("CORS_ORIGINS: {error}")))
    }

    fn keys(&self) -> Result<ApiKeys, Failure> {
        let first = self.coordinator_api_key.iter().map(|key| ApiKey::new(Role::Admin, key.text()));
        let mut keys: Vec<ApiKey> = first.collect();
        for (at, text) in self.api_keys.iter().map(Secret::text).enumerate() {
            // Which one, but not what it is.
            let wrong = |what: String| {
                Failure::new(format!(
                    "number {} of API_KEYS is wrong: {what}; give role:key or role:sha256:digest",
                    at + 1
                ))
            };
            let (role, key) = text.split_once(':').ok_or_else(|| wrong("it has no role".into()))?;
            let role: Role = role.trim().parse().map_err(|error| wrong(format!("{error}")))?;
            keys.push(match key.strip_prefix("sha256:") {
                Some(digest) => ApiKey::from_digest(role, digest.trim())
                    .map_err(|error| wrong(error.to_string()))?,
                None if key.is_empty() => return Err(wrong("it is empty".into())),
                None => ApiKey::new(role, key),
            });
        }
        Ok(keys.into_iter().collect())
    }

    fn check(&self) -> Result<(), Failure> {
        let rate = &self.rate_limit;
        let at_least_one = [
            ("security.jwt_expiration_seconds", u64::from(self.jwt_expiration_seconds)),
            (
                "security.jwt_refresh_expiration_seconds",
                u64::from(self.jwt_refresh_expiration_seconds),
            ),
            ("security.max_logins_of_player", self.max_logins_of_player as u64),
            ("security.max_logins", u64::from(self.max_logins)),
            ("security.rate_limit.window_seconds", u64::from(rate.window_seconds)),
            ("security.rate_limit.requests", u64::from(rate.requests)),
            ("security.rate_limit.auth_requests", u64::from(rate.auth_requests)),
            ("security.rate_limit.signaling_requests", u64::from(rate.signaling_requests)),
            ("security.rate_limit.service_requests", u64::from(rate.service_requests)),
            ("security.rate_limit.wrong_keys", u64::from(rate.wrong_keys)),
            ("security.rate_limit.max_buckets", rate.max_buckets as u64),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(Failure::new(format!("{name} has to be at least 1")));
        }
        if http::HeaderName::try_from(self.api_key_header.as_str()).is_err() {
            let name = &self.api_key_header;
            return Err(Failure::new(format!(
                "API_KEY_HEADER is '{name}', which no header can be"
            )));
        }
        Ok(())
    }

    /// Each secret that is there, by the name under which it is set.
    fn secrets(&self) -> Vec<(&'static str, &str)> {
        let mut secrets = Vec::new();
        secrets.extend(self.jwt_secret_key.iter().map(|key| ("JWT_SECRET_KEY", key.text())));
        let old = self.jwt_previous_secret_keys.iter();
        secrets.extend(old.map(|key| ("JWT_PREVIOUS_SECRET_KEYS", key.text())));
        let key = self.coordinator_api_key.iter();
        secrets.extend(key.map(|key| ("COORDINATOR_API_KEY", key.text())));
        for text in self.api_keys.iter().map(Secret::text) {
            let key = text.split_once(':').map_or(text, |(_, key)| key);
            // What a digest is of, nobody can tell.
            if !key.starts_with("sha256:") {
                secrets.push(("API_KEYS", key));
            }
        }
        secrets
    }

    /// What somebody could guess.
    fn weak(&self) -> Vec<String> {
        let how = format!("set it to at least {LEAST} random characters (openssl rand -hex 32)");
        let mut weak = Vec::new();
        if self.jwt_secret_key.is_none() {
            weak.push(format!("in production JWT_SECRET_KEY has to be set: {how}"));
        }
        for (name, secret) in self.secrets() {
            if let Some(why) = weakness(secret) {
                weak.push(format!("in production {name} may not {why}: {how}"));
            }
        }
        weak
    }

    /// What an operator should know.
    pub(crate) fn warnings(&self, settings: &SecuritySettings, exposed: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if exposed && !settings.check_api_keys {
            let what =
                "nobody is asked who they are: whoever reaches this service may use all of it";
            warnings.push(what.to_owned());
        }
        if exposed && !settings.check_tokens {
            warnings.push("access tokens are not looked at: players are not told apart".into());
        }
        if settings.origins == Origins::Any {
            warnings.push("pages of every site may ask: name them in CORS_ORIGINS".into());
        }
        for (name, secret) in self.secrets() {
            if let Some(why) = weakness(secret) {
                let what = format!("{name} should not {why}; in production it would be refused");
                warnings.push(what);
            }
        }
        warnings.dedup();
        warnings
    }
}
