//! Tokens: given, exchanged, checked and taken back.

use std::sync::PoisonError;

use p2p_coordinator_api::auth::{HostAccess, TokenReply};
use p2p_coordinator_api::{HostId, Nonce, PlayerId, Timestamp};
use p2p_core::PeerId;

use super::{ATTEMPTS, Coordinator, Result, ServiceError};
use crate::domain::{Change, Changes, Row};
use crate::security::grants::Revoked;
use crate::security::{Caller, Claims, GrantRecord, Kind, Role, TokenRefusal, Tokens};
use crate::store::{GrantQuery, MAX_LIST, Store};

impl<S: Store> Coordinator<S> {
    /// The same coordinator, asked by somebody: what they may not do it refuses with
    /// [`ServiceError::Denied`].
    #[must_use]
    pub fn acting_as(&self, caller: Caller) -> Self {
        Self { inner: self.inner.clone(), caller, request: None }
    }

    /// Who shows this access token, if it is good now.
    ///
    /// What was taken back here is known at once; what was taken back by another coordinator on the
    /// same store, after the next [`learn_revoked`](Coordinator::learn_revoked).
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    pub fn verify_access(&self, token: &str) -> std::result::Result<Claims, TokenRefusal> {
        let claims = self.tokens().verify(self.now(), Kind::Access, token)?;
        match self.revoked().contains(&claims.family) {
            true => Err(TokenRefusal::Revoked),
            false => Ok(claims),
        }
    }

    /// Logs a player in: tokens for one whose name somebody vouches for who may.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`], [`ServiceError::Store`].
    pub async fn log_in(&self, player: PlayerId, user: Option<String>) -> Result<TokenReply> {
        self.caller.may_rule()?;
        let now = self.now();
        let grant = GrantRecord {
            family: Nonce(self.name_of("login")),
            player: player.clone(),
            role: Role::Player,
            user,
            current: Nonce(self.name_of("first refresh token")),
            revoked: false,
            expires_at: self.tokens().expiry(Kind::Refresh, now),
        };
        let reply = self.pair(&grant, now);
        let query = GrantQuery { player: Some(player), ..GrantQuery::default() };
        let most = self.tokens().settings().max_logins_of_player.max(1);
        for _ in 0..ATTEMPTS {
            if let Some(known) = self.made_before(self.store().grant(&grant.family)).await? {
                let known = known.value;
                let same = (&known.player, &known.user) == (&grant.player, &grant.user);
                return match same && !known.revoked && known.current == grant.current {
                    true => Ok(self.pair(&known, now)),
                    // Or it has gone on since, and its first tokens are void.
                    false => Err(ServiceError::KeyReused),
                };
            }
            let others = self.store().grants(&query).await?;
            let mut changes = Changes::default();
            changes.grants.extend(others.into_iter().skip(most - 1).map(deleted));
            changes.grants.push(Change::Insert(grant.clone()));
            if self.commit(changes).await?.is_some() {
                return Ok(reply);
            }
        }
        Err(ServiceError::Contended)
    }

    /// Exchanges a refresh token for new tokens. One that is shown a second time ends its login, unless
    /// it is by the same request, known by its key: then the tokens are those that there are.
    ///
    /// # Errors
    ///
    /// [`ServiceError::BadToken`], [`ServiceError::Store`].
    pub async fn refresh(&self, token: &str) -> Result<TokenReply> {
        let shown = self.tokens().verify(self.now(), Kind::Refresh, token)?;
        let next = Nonce(self.name_after(&shown.id.0, "next refresh token"));
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let known = self.store().grant(&shown.family).await?;
            let mut grant = known.ok_or(TokenRefusal::Revoked)?;
            if self.request.is_some() && !grant.value.revoked && grant.value.current == next {
                return Ok(self.pair(&grant.value, now));
            }
            let expires_at = self.tokens().expiry(Kind::Refresh, now);
            if !grant.value.rotate(shown.id, next, expires_at) {
                tracing::warn!(player = %shown.player, "a refresh token was used twice");
                self.take_back(grant).await?;
                return Err(TokenRefusal::Revoked.into());
            }
            let reply = self.pair(&grant.value, now);
            if self.commit(logins(Change::Update(grant))).await?.is_some() {
                return Ok(reply);
            }
        }
        Err(ServiceError::Contended)
    }

    /// Ends the login of a token of either kind.
    ///
    /// # Errors
    ///
    /// [`ServiceError::BadToken`], [`ServiceError::Store`].
    pub async fn log_out(&self, token: &str) -> Result<()> {
        let shown = match self.tokens().verify(self.now(), Kind::Refresh, token) {
            Err(TokenRefusal::WrongKind) => self.verify_access(token)?,
            shown => shown?,
        };
        match self.store().grant(&shown.family).await? {
            Some(grant) => self.take_back(grant).await,
            // Of a host, or of a login that has made room: no refresh token of it is good.
            None => Err(TokenRefusal::Revoked.into()),
        }
    }

    /// Ends all logins of a player. How many.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Denied`], [`ServiceError::Store`].
    pub async fn log_out_player(&self, player: &PlayerId) -> Result<usize> {
        self.caller.may_rule()?;
        let (player, revoked) = (Some(player.clone()), Some(false));
        let query = GrantQuery { player, revoked, ..GrantQuery::default() };
        let logins = self.store().grants(&query).await?;
        let count = logins.len();
        for login in logins {
            self.take_back(login).await?;
        }
        Ok(count)
    }

    /// A token with which a host that has proven its peer id speaks for itself.
    pub(super) fn host_access(&self, host: &HostId, owner: &PlayerId, peer: PeerId) -> HostAccess {
        let now = self.now();
        let claims = Claims {
            kind: Kind::Access,
            id: self.nonce(),
            family: self.nonce(),
            role: Role::Host,
            player: owner.clone(),
            user: None,
            host: Some(host.clone()),
            peer: Some(peer),
            issued_at: now,
            expires_at: self.tokens().expiry(Kind::Access, now),
        };
        let token = self.tokens().sign(&claims);
        HostAccess { token, expires_at: claims.expires_at }
    }

    /// Forgets logins that are nothing any more, and those that are too many. How many.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn sweep_logins(&self) -> Result<usize> {
        let ended = GrantQuery { expired_at: Some(self.now()), ..GrantQuery::default() };
        let most = self.tokens().settings().max_logins;
        let past = GrantQuery { offset: most, ..GrantQuery::default() };
        let mut forgotten = 0;
        for query in [ended, past] {
            loop {
                let rows = self.store().grants(&query).await?;
                let (count, last) = (rows.len(), rows.len() < MAX_LIST as usize);
                let mut changes = Changes::default();
                changes.grants.extend(rows.into_iter().map(deleted));
                // Who rotates one of them at this moment keeps it until the next sweep.
                let done = self.commit(changes).await?.is_some();
                forgotten += if done { count } else { 0 };
                if last || !done {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    /// Learns what other coordinators on the store took back.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn learn_revoked(&self) -> Result<()> {
        let _held = self.inner.revoking.lock().await;
        let mut families: Vec<Nonce> = Vec::new();
        loop {
            let offset = u32::try_from(families.len()).unwrap_or(u32::MAX);
            let query = GrantQuery { revoked: Some(true), offset, ..GrantQuery::default() };
            let page = self.store().grants(&query).await?;
            families.extend(page.iter().map(|row| row.value.family));
            if page.len() < MAX_LIST as usize {
                break;
            }
        }
        *self.revoked() = families.iter().copied().collect();
        if !families.is_empty() {
            let revoked = self.revoked().clone();
            self.revoke_peers(|family| revoked.contains(family));
        }
        Ok(())
    }

    async fn take_back(&self, mut grant: Row<GrantRecord>) -> Result<()> {
        let _held = self.inner.revoking.lock().await;
        for _ in 0..ATTEMPTS {
            let family = grant.value.family;
            grant.value.revoke(self.tokens().expiry(Kind::Access, self.now()));
            if self.commit(logins(Change::Update(grant))).await?.is_some() {
                self.revoked().insert(family);
                self.revoke_peers(|other| *other == family);
                return Ok(());
            }
            match self.store().grant(&family).await? {
                Some(again) => grant = again,
                None => return Ok(()),
            }
        }
        Err(ServiceError::Contended)
    }

    /// Tokens of a login as it is now.
    fn pair(&self, grant: &GrantRecord, now: Timestamp) -> TokenReply {
        let tokens = self.tokens();
        let claims = |kind, id, issued_at, expires_at| Claims {
            kind,
            id,
            family: grant.family,
            role: grant.role,
            player: grant.player.clone(),
            user: grant.user.clone(),
            host: None,
            peer: None,
            issued_at,
            expires_at,
        };
        let access = claims(Kind::Access, self.nonce(), now, tokens.expiry(Kind::Access, now));
        // The same token whenever it is asked for: when it was made is not now.
        let made = tokens.made(Kind::Refresh, grant.expires_at, now);
        let refresh = claims(Kind::Refresh, grant.current, made, grant.expires_at);
        TokenReply {
            access_token: tokens.sign(&access),
            refresh_token: Some(tokens.sign(&refresh)),
            token_type: "Bearer".into(),
            expires_in: tokens.settings().access_lifetime.as_secs(),
        }
    }

    fn nonce(&self) -> Nonce {
        Nonce(self.inner.random.bytes())
    }

    fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    fn revoked(&self) -> std::sync::MutexGuard<'_, Revoked> {
        self.inner.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deleted(row: Row<GrantRecord>) -> Change<GrantRecord> {
    Change::Delete { id: row.id, version: row.version }
}

fn logins(change: Change<GrantRecord>) -> Changes {
    Changes { grants: vec![change], ..Changes::default() }
}
