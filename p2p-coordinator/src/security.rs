//! Who may do what, as pure functions: `now` and chance come in as arguments.
//!
//! - [`caller`]: [`Caller`], who asks, and what that allows;
//! - [`grants`]: logins: rotation of refresh tokens, and what was taken back;
//! - [`tokens`]: [`Tokens`] signs and checks access and refresh tokens; [`jwt`] is their form;
//! - [`keys`]: API keys;
//! - [`rates`]: how much somebody may ask;
//! - [`repeats`]: requests that are sent again;
//! - [`origins`] and [`proxies`]: which pages may ask, and for whom proxies do;
//! - [`roles`]: [`Role`], what the bearer of a key or a token is.
//!
//! Nothing here waits or reads a clock, so that a simulation that asks for tokens repeats to the byte.
//!
//! # Who may do what
//!
//! | | reads | its own places, hosts | hosts without peer id | sessions, zones, tokens | a host with a peer id |
//! |---|---|---|---|---|---|
//! | player | yes | yes | its own | no | with its key |
//! | host | yes | its own | yes | sessions on its host | with its key |
//! | service | yes | of all | no | yes | no |
//! | admin | yes | of all | yes | yes | yes |

pub mod caller;
pub mod grants;
pub mod jwt;
pub mod keys;
pub mod origins;
pub mod proxies;
pub mod rates;
pub mod repeats;
pub mod roles;
pub mod tokens;

pub use caller::{Caller, Denied};
pub use grants::GrantRecord;
pub use jwt::TokenKey;
pub use keys::{ApiKey, ApiKeys};
pub use origins::Origins;
pub use proxies::Proxies;
pub use rates::Rates;
pub use repeats::RepeatLimits;
pub use roles::Role;
pub use tokens::{Claims, Kind, TokenRefusal, TokenSettings, Tokens};

/// How a coordinator tells who asks, and how much each may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecuritySettings {
    /// Whether a key or a token is asked for. Default no: then everybody may do everything, but who
    /// shows a token may do no more than it says.
    pub check_api_keys: bool,
    /// The keys.
    pub api_keys: ApiKeys,
    /// The header in which keys are shown. Default `X-API-Key`.
    pub api_key_header: String,
    /// Whether access tokens are looked at. Default yes.
    pub check_tokens: bool,
    /// How tokens are signed and checked.
    pub tokens: TokenSettings,
    /// How much may be asked.
    pub rates: Rates,
    /// How much is kept of requests that may be sent again.
    pub repeats: RepeatLimits,
    /// Proxies that are believed.
    pub proxies: Proxies,
    /// Pages that may ask from a browser.
    pub origins: Origins,
}

impl Default for SecuritySettings {
    fn default() -> Self {
        Self {
            check_api_keys: false,
            api_keys: ApiKeys::default(),
            api_key_header: "X-API-Key".into(),
            check_tokens: true,
            tokens: TokenSettings::default(),
            rates: Rates::default(),
            repeats: RepeatLimits::default(),
            proxies: Proxies::default(),
            origins: Origins::default(),
        }
    }
}
