//! The tokens of a login, and what to do about them: without clock or network.

use std::time::Duration;

use p2p_coordinator_api::auth::TokenReply;
use p2p_coordinator_api::service::Problem;
use tokio::time::Instant;

/// What is to be done before a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Show this token.
    Show(String),
    /// Show this token; but whoever has time gets a newer one first.
    RenewSoon(String),
    /// Exchange this refresh token first.
    Renew(String),
    /// Ask for tokens anew.
    LogIn,
}

/// The tokens of a login.
#[derive(Debug)]
pub(super) struct Held {
    tokens: Option<Tokens>,
    /// Why there are none, if that is final.
    ended: Option<Problem>,
}

#[derive(Debug)]
struct Tokens {
    reply: TokenReply,
    /// From when on a newer access token is wanted, and from when on this one is none.
    renew_at: Instant,
    ends: Instant,
    /// The key of the exchange that is under way, so that one whose answer was lost is the same again.
    exchange: Option<String>,
}

/// After an exchange has failed, requests go on with the token that there is for this long.
const PAUSE: Duration = Duration::from_secs(5);

/// A day: clocks can count so far.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Held {
    pub(super) const fn nothing() -> Self {
        Self { tokens: None, ended: None }
    }

    /// Takes tokens that were asked for at `asked`: what their life is counted from.
    pub(super) fn take(&mut self, asked: Instant, reply: TokenReply) {
        let life = Duration::from_secs(reply.expires_in).min(LONGEST);
        let (renew_at, ends) = (asked + life / 4 * 3, asked + life);
        // Some coordinators give no refresh token with a refreshed one.
        let before = self.tokens.take().and_then(|before| before.reply.refresh_token);
        let refresh_token = reply.refresh_token.clone().or(before);
        let reply = TokenReply { refresh_token, ..reply };
        self.tokens = Some(Tokens { reply, renew_at, ends, exchange: None });
        self.ended = None;
    }

    pub(super) fn step(&self, now: Instant) -> Step {
        let Some(tokens) = &self.tokens else { return Step::LogIn };
        let shown = || tokens.reply.access_token.clone();
        let is_good = now < tokens.ends;
        match &tokens.reply.refresh_token {
            Some(refresh) if !is_good => Step::Renew(refresh.clone()),
            Some(_) if now >= tokens.renew_at => Step::RenewSoon(shown()),
            None if !is_good => Step::LogIn,
            _ => Step::Show(shown()),
        }
    }

    /// The refresh token to exchange, if there is one.
    pub(super) fn refresh_token(&self) -> Option<String> {
        self.tokens.as_ref()?.reply.refresh_token.clone()
    }

    /// The key for the exchange of the refresh token: the same until it has been answered.
    pub(super) fn exchange_key(&mut self, fresh: impl FnOnce() -> String) -> Option<String> {
        let tokens = self.tokens.as_mut()?;
        Some(tokens.exchange.get_or_insert_with(fresh).clone())
    }

    /// The exchange came to nothing: it is tried again a little later.
    pub(super) fn exchange_failed(&mut self, now: Instant) {
        if let Some(tokens) = &mut self.tokens {
            tokens.renew_at = tokens.renew_at.max(now + PAUSE);
        }
    }

    /// The tokens, if this is the access token among them.
    fn tokens_with(&mut self, token: &str) -> Option<&mut Tokens> {
        self.tokens.as_mut().filter(|tokens| tokens.reply.access_token == token)
    }

    /// The coordinator says that this access token is about to end.
    #[cfg(feature = "signaling")]
    pub(super) fn due(&mut self, token: &str, now: Instant) {
        if let Some(tokens) = self.tokens_with(token) {
            tokens.renew_at = tokens.renew_at.min(now);
        }
    }

    /// The coordinator did not take this access token.
    pub(super) fn refused(&mut self, token: &str, now: Instant) {
        if let Some(tokens) = self.tokens_with(token) {
            (tokens.renew_at, tokens.ends) = (now, now);
        }
    }

    /// The login is over: its refresh token is none any more.
    pub(super) fn end(&mut self, problem: Problem) {
        self.tokens = None;
        self.ended = Some(problem);
    }

    pub(super) fn ended(&self) -> Option<&Problem> {
        self.ended.as_ref()
    }

    pub(super) fn tokens(&self) -> Option<TokenReply> {
        Some(self.tokens.as_ref()?.reply.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(number: u32, refresh: bool) -> TokenReply {
        TokenReply {
            access_token: format!("access-{number}"),
            refresh_token: refresh.then(|| format!("refresh-{number}")),
            token_type: "Bearer".into(),
            expires_in: 100,
        }
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_renewed_before_it_ends_and_never_shown_after() {
        let (mut held, start) = (Held::nothing(), Instant::now());
        assert_eq!(held.step(start), Step::LogIn);
        held.take(start, reply(1, true));
        let shown = || "access-1".to_owned();
        assert_eq!(held.step(at(start, 74)), Step::Show(shown()));
        assert_eq!(held.step(at(start, 75)), Step::RenewSoon(shown()));
        assert_eq!(held.step(at(start, 99)), Step::RenewSoon(shown()));
        assert_eq!(held.step(at(start, 100)), Step::Renew("refresh-1".into()));
        held.take(at(start, 80), reply(2, true));
        assert_eq!(held.step(at(start, 154)), Step::Show("access-2".into()));
        assert_eq!(held.refresh_token().as_deref(), Some("refresh-2"), "rotation is respected");
    }

    #[test]
    fn an_exchange_whose_answer_was_lost_is_the_same_again_and_the_next_is_another() {
        let (mut held, start) = (Held::nothing(), Instant::now());
        held.take(start, reply(1, true));
        assert_eq!(held.exchange_key(|| "first".into()).as_deref(), Some("first"));
        held.exchange_failed(at(start, 80));
        assert_eq!(held.exchange_key(|| "second".into()).as_deref(), Some("first"));
        // Meanwhile the token that is good is used, without an attempt for each request.
        assert_eq!(held.step(at(start, 84)), Step::Show("access-1".into()));
        assert_eq!(held.step(at(start, 85)), Step::RenewSoon("access-1".into()));
        held.take(at(start, 90), reply(2, true));
        assert_eq!(held.exchange_key(|| "third".into()).as_deref(), Some("third"));
    }

    #[test]
    fn without_a_refresh_token_it_is_used_to_its_end() {
        let (mut held, start) = (Held::nothing(), Instant::now());
        held.take(start, reply(1, false));
        assert_eq!(held.step(at(start, 99)), Step::Show("access-1".into()));
        assert_eq!(held.step(at(start, 100)), Step::LogIn);
    }

    #[test]
    fn a_token_that_was_refused_is_renewed_at_once_but_not_for_an_earlier_one() {
        let (mut held, start) = (Held::nothing(), Instant::now());
        held.take(start, reply(2, true));
        held.refused("access-1", start);
        assert_eq!(held.step(start), Step::Show("access-2".into()));
        held.refused("access-2", start);
        assert_eq!(held.step(start), Step::Renew("refresh-2".into()));
        held.end(Problem { detail: "used".into(), reason: None });
        assert_eq!(held.step(start), Step::LogIn);
        assert_eq!(held.ended().map(|problem| &*problem.detail), Some("used"));
    }
}
