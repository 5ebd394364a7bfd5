//! Waits for a relay, and says what is wrong with it.
//!
//! iroh probes the configured relays, makes the best its home and connects to it; a relay that
//! fails the probe (not running, not trusted) never becomes home, and nothing says why. So, when
//! there is no home soon, each relay is tried as iroh would, by iroh's own client, for its error.
//! That client has an identity of its own: a second one with ours would displace the first.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use iroh::endpoint::RelayStatus;
use iroh::{Endpoint, RelayUrl, SecretKey, Watcher};
use iroh_relay::client::{ClientBuilder, ConnectError, DialError};
use p2p_core::{BoxError, P2PError};
use tokio::time;

use crate::error;

/// How long iroh may take before its relays are tried: several round trips around the world.
const TRY_AFTER: Duration = Duration::from_secs(1);

/// Why a relay cannot be used.
struct Failure {
    /// What to read after "relay URL".
    what: String,
    source: Option<BoxError>,
    /// Whether waiting may help.
    passing: bool,
}

/// The relays in iroh's terms.
///
/// # Errors
///
/// [`P2PError::Network`] if one is no URL.
pub(crate) fn parse(relays: &[p2p_core::RelayUrl]) -> Result<Vec<RelayUrl>, P2PError> {
    let parse = |relay: &p2p_core::RelayUrl| {
        relay.as_str().parse().map_err(|error| {
            let what = format!("relay {relay} is no URL: a relay is written https://HOST[:PORT]");
            P2PError::Network { what, source: Some(BoxError::from(error)) }
        })
    };
    relays.iter().map(parse).collect()
}

/// Waits until one of the relays serves the endpoint.
///
/// # Errors
///
/// [`P2PError::Network`] as soon as it is known of each why it does not;
/// [`P2PError::Timeout`] if it is not known in time.
pub(crate) async fn home(
    endpoint: &Endpoint,
    relays: &[RelayUrl],
    after: Duration,
) -> Result<(), P2PError> {
    let mut failures = BTreeMap::new();
    match time::timeout(after, wait(endpoint, relays, &mut failures)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(unusable(failures)),
        Err(_elapsed) => {
            let known = |url| match failures.get(url) {
                Some(Failure { what, .. }) => format!("relay {url} {what}"),
                None => format!("relay {url} says nothing: check the address and the network"),
            };
            let what = relays.iter().map(known).collect::<Vec<_>>().join("; ");
            Err(P2PError::Timeout { what, after })
        }
    }
}

/// Waits for a home relay (true), or until it is known of each relay why it cannot be (false).
async fn wait(
    endpoint: &Endpoint,
    relays: &[RelayUrl],
    failures: &mut BTreeMap<RelayUrl, Failure>,
) -> bool {
    let mut statuses = endpoint.home_relay_status();
    let mut now = statuses.get();
    let attempts = relays.iter().map(|url| attempt(endpoint, url.clone()));
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    loop {
        if now.iter().any(RelayStatus::is_connected) {
            return true;
        }
        for status in &now {
            let given_up = |failure: &Failure| !failure.passing;
            if failures.get(status.url()).is_some_and(given_up) {
                continue;
            }
            if let Some(failure) = refusal(endpoint, status) {
                give_up(endpoint, status.url().clone(), failure, failures).await;
            }
        }
        if failures.values().filter(|failure| !failure.passing).count() >= relays.len() {
            return false;
        }
        tokio::select! {
            updated = statuses.updated() => match updated {
                Ok(updated) => now = updated,
                Err(_disconnected) => return false,
            },
            Some((url, result)) = attempts.next() => match result {
                Err(failure) if failure.passing => {
                    failures.insert(url.clone(), failure);
                    attempts.push(attempt(endpoint, url));
                }
                Err(failure) => give_up(endpoint, url, failure, failures).await,
                Ok(()) => {}
            },
        }
    }
}

/// Leaves a relay out: iroh would stay with a home that answers its probes and nothing else, though
/// another relay may work.
async fn give_up(
    endpoint: &Endpoint,
    url: RelayUrl,
    failure: Failure,
    failures: &mut BTreeMap<RelayUrl, Failure>,
) {
    endpoint.remove_relay(&url).await;
    failures.insert(url, failure);
}

/// What went wrong between our endpoint and its home relay.
fn refusal(endpoint: &Endpoint, status: &RelayStatus) -> Option<Failure> {
    let error = status.last_error()?;
    let what = match status.auth_denied_reason() {
        Some(reason) => {
            let id = endpoint.id();
            format!("does not admit this node ({reason}): have its operator let {id} in")
        }
        None => format!(
            "answers probes, but takes no connection ({}): check that it is running, and the port",
            error::root(error)
        ),
    };
    Some(Failure { what, source: None, passing: false })
}

/// Connects to the relay once, after a while, to see what happens.
async fn attempt(endpoint: &Endpoint, url: RelayUrl) -> (RelayUrl, Result<(), Failure>) {
    time::sleep(TRY_AFTER).await;
    // A closed endpoint has no resolver, and nobody who waits.
    let Ok(resolver) = endpoint.dns_resolver() else { return (url, Ok(())) };
    let client = ClientBuilder::new(url.clone(), SecretKey::generate(), resolver.clone())
        .tls_client_config(endpoint.tls_config().clone());
    let result = client.connect().await.map(drop);
    (url, result.map_or_else(judge, Ok))
}

fn judge(error: ConnectError) -> Result<(), Failure> {
    let mut passing = false;
    let what = match &error {
        // It runs and is trusted, and told a stranger to go: that is not about us.
        ConnectError::Handshake { .. } => return Ok(()),
        ConnectError::Tls { source, .. } => format!(
            "is not trusted ({source}): if it is your own, add its certificate as relay CA, \
             otherwise check the URL"
        ),
        ConnectError::Dial { source: DialError::Dns { source, .. }, .. } => format!(
            "has a name that does not resolve ({}): check the spelling, or give its IP \
             address",
            error::chain(source)
        ),
        ConnectError::Dial { source: DialError::Io { source, .. }, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => {
                "refuses connections: check that it is running, and the port".to_owned()
            }
            _ => {
                passing = true;
                format!("cannot be reached ({source}): check the address and the network")
            }
        },
        ConnectError::Dial { source: DialError::Timeout { .. }, .. } => {
            passing = true;
            "does not answer: check the address, and that the network lets TCP through".to_owned()
        }
        error => format!("does not behave like a relay ({}): check the URL", error::chain(error)),
    };
    Err(Failure { what, source: Some(error.into()), passing })
}

fn unusable(failures: BTreeMap<RelayUrl, Failure>) -> P2PError {
    let mut source = None;
    let sentences = failures.into_iter().map(|(url, failure)| {
        source = source.take().or(failure.source);
        format!("relay {url} {}", failure.what)
    });
    let what = sentences.collect::<Vec<_>>().join("; ");
    P2PError::Network { what, source }
}
