//! Who may do what, as pure functions: `now` and chance come in as arguments.
//!
//! - [`tokens`]: [`Tokens`] signs and checks access and refresh tokens; [`jwt`] is their form;
//! - [`roles`]: [`Role`], what the bearer of a key or a token is.
//!
//! Nothing here waits or reads a clock, so that a simulation that asks for tokens repeats to the byte.

pub mod jwt;
pub mod roles;
pub mod tokens;

pub use jwt::TokenKey;
pub use roles::Role;
pub use tokens::{Claims, Kind, TokenRefusal, TokenSettings, Tokens};

/// How a coordinator tells who asks, and what each may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SecuritySettings {
    /// How tokens are signed and checked.
    pub tokens: TokenSettings,
}
