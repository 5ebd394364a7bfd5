//! A login that is kept: its tokens are renewed before they end, by one request at a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use p2p_coordinator_api::auth::{RefreshRequest, TokenReply, TokenRequest};
use p2p_coordinator_api::service::Problem;
use p2p_core::P2PProvider;
use tokio::time::Instant;

use super::Client;
use super::held::{Held, Step};
use crate::error::RequestError;

/// A login that clones of a client share.
pub(super) struct Login {
    held: Mutex<Held>,
    /// Whose turn it is to renew: the others wait for that, or go on with the token there is.
    renewing: tokio::sync::Mutex<()>,
    /// How to log in anew.
    credentials: Option<TokenRequest>,
}

impl Login {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("held", &self.held()).finish_non_exhaustive()
    }
}

impl<P: P2PProvider> Client<P> {
    /// The same client, logged in as a player. It shows the player's access token with each request,
    /// and exchanges it for a newer one before it ends: one exchange is under way at a time, whatever
    /// number of clones and requests wait for it. When the login ends, because it was taken back or
    /// nothing was asked for longer than a refresh token lives, it logs in anew with `request`.
    ///
    /// What this client shows has to be a key that may vouch for players.
    ///
    /// # Errors
    ///
    /// [`RequestError`].
    pub async fn logged_in(&self, request: TokenRequest) -> Result<Self, RequestError> {
        let client = self.with_login(Some(request), Held::nothing());
        client.access_token().await?;
        Ok(client)
    }

    /// The same client with the tokens of a login that somebody else has made, such as the game's
    /// server for its players. They are renewed as with [`logged_in`](Self::logged_in); when the login
    /// ends, requests fail with [`RequestError::LoggedOut`].
    #[must_use]
    pub fn with_tokens(&self, tokens: TokenReply) -> Self {
        let mut held = Held::nothing();
        held.take(Instant::now(), tokens);
        self.with_login(None, held)
    }

    /// The newest tokens of the login, if there is one: what is to be kept for a later run, because
    /// the refresh tokens before are void.
    pub fn tokens(&self) -> Option<TokenReply> {
        self.login.as_ref()?.held().tokens()
    }

    /// The access token to show now, renewed first if it is about to end. `None` for a client that is
    /// not logged in.
    ///
    /// # Errors
    ///
    /// [`RequestError`], if it has ended and there is no newer one to be had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the next exchange is the same as the one that was given up,
    /// and the coordinator knows it.
    pub async fn access_token(&self) -> Result<Option<String>, RequestError> {
        let Some(login) = &self.login else { return Ok(None) };
        let step = login.held().step(Instant::now());
        let turn = match step {
            Step::Show(token) => return Ok(Some(token)),
            // It is good: who would have to wait for others goes on with it.
            Step::RenewSoon(token) => match login.renewing.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(Some(token)),
            },
            Step::Renew(_) | Step::LogIn => login.renewing.lock().await,
        };
        let token = self.renew(login).await;
        drop(turn);
        token.map(Some)
    }

    /// The coordinator did not take a token. Whether it is worth another attempt.
    pub(crate) fn token_refused(&self, token: &str) -> bool {
        let Some(login) = &self.login else { return false };
        login.held().refused(token, Instant::now());
        true
    }

    /// A token to show after this one, which is about to end.
    #[cfg(feature = "signaling")]
    pub(crate) async fn token_after(&self, token: &str) -> Option<String> {
        self.login.as_ref()?.held().due(token, Instant::now());
        self.access_token().await.ok().flatten()
    }

    fn with_login(&self, credentials: Option<TokenRequest>, held: Held) -> Self {
        let (held, renewing) = (Mutex::new(held), tokio::sync::Mutex::new(()));
        let login = Some(Arc::new(Login { held, renewing, credentials }));
        Self { login, ..self.clone() }
    }

    /// Whose turn it is does what is to be done now; another may have done it.
    async fn renew(&self, login: &Login) -> Result<String, RequestError> {
        // Not in the `match`, which would hold the lock to its end.
        let step = login.held().step(Instant::now());
        let (refresh_token, good) = match step {
            Step::Show(token) => return Ok(token),
            Step::RenewSoon(token) => (login.held().refresh_token(), Some(token)),
            Step::Renew(refresh) => (Some(refresh), None),
            Step::LogIn => (None, None),
        };
        // As whoever has the key, not as the player.
        let plain = Self { login: None, ..self.clone() };
        let refused = match refresh_token {
            None => None,
            Some(refresh_token) => {
                let asked = Instant::now();
                let key = login.held().exchange_key(|| self.new_key());
                let request = RefreshRequest { refresh_token };
                match plain.exchange(&request, key).await {
                    Ok(reply) => {
                        login.held().take(asked, reply.clone());
                        return Ok(reply.access_token);
                    }
                    // It is no refresh token (any more); other refusals pass.
                    Err(RequestError::Refused { status: 400 | 401 | 403 | 422, problem }) => {
                        Some(problem)
                    }
                    Err(error) => {
                        login.held().exchange_failed(Instant::now());
                        return good.ok_or(error);
                    }
                }
            }
        };
        let Some(credentials) = &login.credentials else {
            let ended = login.held().ended().cloned();
            let problem = refused.or(ended).unwrap_or_else(|| Problem {
                detail: "the access token has expired, and there is none to renew it by".into(),
                reason: None,
            });
            login.held().end(problem.clone());
            return Err(RequestError::LoggedOut { problem });
        };
        if let Some(problem) = refused {
            login.held().end(problem);
        }
        let asked = Instant::now();
        let reply = plain.enter(credentials).await?;
        login.held().take(asked, reply.clone());
        Ok(reply.access_token)
    }
}
