//! A place among the connections is taken when an applicant is judged, and comes back after every end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use p2p_core::{
    Admission, Applicant, CloseCause, ConnectReady, ConnectionConfig, Denied, Limited,
    LimitedListener, Limits, ListenOptions, P2PConnection, P2PError, P2PListener, P2PProvider,
    Result, ScopeLimits,
};
use p2p_simulator::{Network, SimulatorConnection, SimulatorListener, SimulatorP2P};
use tokio::time::{sleep, timeout};

use crate::{LATENCY, admitted, ms, protocol, provider, simulate};

/// The hook of a program: it counts how often it is asked, and does what the credential says.
#[derive(Clone, Debug, Default)]
struct Hook(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl Admission for Hook {
    async fn admit(&self, applicant: &Applicant) -> Result<(), Denied> {
        self.0.fetch_add(1, Ordering::Relaxed);
        match &applicant.credential[..] {
            b"deny" => Err(Denied("not you".into())),
            b"think" => std::future::pending().await,
            b"wait" => {
                sleep(ms(200)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A provider that has room for so many connections, and its listener.
struct Bob {
    bob: Limited<SimulatorP2P>,
    listener: LimitedListener<SimulatorListener>,
    hook: Hook,
}

impl Bob {
    async fn with_places(network: &Network, places: usize) -> Self {
        let limits = Limits::default()
            .with_total(ScopeLimits::default().with_connections(places))
            .with_retry_after(ms(77));
        Self::within(network, limits).await
    }

    async fn within(network: &Network, limits: Limits) -> Self {
        let config = ConnectionConfig::default().with_handshake_timeout(ms(500));
        let bob = network.host("bob").provider(config).expect("a new host");
        let bob = Limited::new(bob, limits).expect("limits");
        let hook = Hook::default();
        let listener = Self::listen(&bob, &hook).await;
        Self { bob, listener, hook }
    }

    async fn listen(
        bob: &Limited<SimulatorP2P>,
        hook: &Hook,
    ) -> LimitedListener<SimulatorListener> {
        let options = ListenOptions::new(protocol()).with_admission(hook.clone());
        bob.listen(options).await.expect("listening")
    }

    async fn dial(&self, from: &SimulatorP2P, credential: &'static str) -> Dialled {
        let options = admitted().with_credential(credential).expect("short");
        from.connect(&self.bob.local_addr(), options).await
    }

    /// That there is exactly one place: somebody gets it, and the next is told of the limit.
    async fn has_one_place(&self, from: &SimulatorP2P) {
        let only = self.dial(from, "").await.expect("the only place");
        assert_eq!(no_room(self.dial(from, "").await), ms(77));
        let accepted = self.listener.accept().await.expect("accepted");
        drop(accepted);
        only.closed().await;
    }
}

type Dialled = Result<SimulatorConnection>;

/// When to try again, of somebody for whom there was no place.
fn no_room(dialled: Dialled) -> Duration {
    match dialled {
        Err(P2PError::RefusedForNow { reason, retry_after, .. }) => {
            assert!(reason.starts_with("connections") && reason.contains("at most"), "{reason}");
            retry_after
        }
        other => panic!("{other:?}"),
    }
}

/// All at once, in the order in which they began.
async fn at_once<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("no panic"));
    }
    outcomes
}

#[test]
fn of_those_who_come_at_once_as_many_are_let_in_as_there_are_places() {
    simulate(async |network| {
        let Bob { bob, listener, hook } = Bob::with_places(&network, 3).await;
        let dials = (0..10).map(|number| {
            let (one, addr) = (provider(&network, &format!("one {number}")), bob.local_addr());
            async move { one.connect(&addr, admitted()).await }
        });
        // Nobody accepts meanwhile.
        let (let_in, refused): (Vec<_>, Vec<_>) =
            at_once(dials).await.into_iter().partition(Result::is_ok);
        assert_eq!((let_in.len(), refused.len()), (3, 7));
        for refused in refused {
            assert!(refused.as_ref().is_err_and(P2PError::is_retryable), "{refused:?}");
            let words = refused.as_ref().expect_err("refused").to_string();
            assert!(words.contains("connections: at most 3"), "{words}");
            assert_eq!(no_room(refused), ms(77));
        }
        assert_eq!(hook.0.load(Ordering::Relaxed), 3, "who has no place is not judged");
        // Whoever was let in is accepted, however late.
        sleep(ms(5000)).await;
        for dialled in let_in {
            let (dialled, accepted) = (dialled.expect("let in"), listener.accept().await);
            let accepted = accepted.expect("accepted");
            assert!(dialled.is_connected() && accepted.is_connected());
        }
        assert!(timeout(ms(1000), listener.accept()).await.is_err(), "one more was let in");
    });
}

#[test]
fn one_peer_has_its_own_places_however_slowly_they_are_accepted() {
    simulate(async |network| {
        let each = ScopeLimits::default().with_connections(2);
        let limits = Limits::default().with_per_peer(each).with_retry_after(ms(77));
        let bob = Bob::within(&network, limits).await;
        let (alice, carol) = (provider(&network, "alice"), provider(&network, "carol"));
        let (mut let_in, mut accepted) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let_in.push(bob.dial(&alice, "").await.expect("a place"));
        }
        for _ in 0..2 {
            assert_eq!(no_room(bob.dial(&alice, "").await), ms(77));
            accepted.push(bob.listener.accept().await.expect("accepted"));
        }
        let_in.push(bob.dial(&carol, "").await.expect("a place of her own"));
        // This side's dials count beside those who wait to be accepted.
        let carols = crate::listen(&carol).await;
        let _to_carol = bob.bob.connect(&carol.local_addr(), admitted()).await.expect("the second");
        carols.accept().await.expect("accepted");
        let third = bob.bob.connect(&carol.local_addr(), admitted()).await;
        assert!(matches!(third, Err(P2PError::RateLimited { max: 2, .. })), "{third:?}");
    });
}

#[test]
fn a_place_comes_back_when_the_programs_own_hook_says_no_or_nothing() {
    simulate(async |network| {
        let bob = Bob::with_places(&network, 1).await;
        let alice = provider(&network, "alice");
        let denied = bob.dial(&alice, "deny").await;
        assert!(matches!(denied, Err(P2PError::AuthenticationFailed { .. })), "{denied:?}");
        bob.has_one_place(&alice).await;
        // While somebody is judged, the place is taken.
        let thought = at_once([tokio::spawn({
            let (alice, addr) = (alice.clone(), bob.bob.local_addr());
            let options = admitted().with_credential("think").expect("short");
            async move { alice.connect(&addr, options).await }
        })]);
        let meanwhile = async {
            sleep(10 * LATENCY).await;
            assert_eq!(no_room(bob.dial(&alice, "").await), ms(77));
        };
        let (thought, ()) = tokio::join!(thought, meanwhile);
        for thought in thought {
            assert!(thought.expect("no panic").is_err(), "the handshake took too long");
        }
        bob.has_one_place(&alice).await;
    });
}

#[test]
fn a_place_comes_back_when_a_handshake_fails() {
    simulate(async |network| {
        let bob = Bob::with_places(&network, 1).await;
        let alice = provider(&network, "alice");
        // She gives up while she is judged, and while she is being told.
        for given_up in [10 * LATENCY, 4 * LATENCY - ms(1)] {
            let word = if given_up > 4 * LATENCY { "wait" } else { "" };
            assert!(timeout(given_up, bob.dial(&alice, word)).await.is_err());
            sleep(ms(300)).await;
            bob.has_one_place(&alice).await;
        }
        // The listener goes meanwhile.
        let Bob { bob, listener, hook } = bob;
        let dialling = tokio::spawn({
            let (alice, addr) = (alice.clone(), bob.local_addr());
            let options = admitted().with_credential("wait").expect("short");
            async move { alice.connect(&addr, options).await }
        });
        sleep(10 * LATENCY).await;
        listener.close();
        let refused = dialling.await.expect("no panic");
        assert!(matches!(refused, Err(P2PError::Protocol(_))), "{refused:?}");
        let listener = Bob::listen(&bob, &hook).await;
        Bob { bob, listener, hook }.has_one_place(&alice).await;
    });
}

#[test]
fn a_place_comes_back_when_nobody_accepts() {
    simulate(async |network| {
        let mut bob = Bob::with_places(&network, 1).await;
        let alice = provider(&network, "alice");
        for drops in [false, true] {
            let waiting = bob.dial(&alice, "").await.expect("a place");
            if !drops {
                bob.listener.close();
            }
            let Bob { bob: provider, listener, hook } = bob;
            if drops {
                drop(listener);
            }
            assert_eq!(waiting.closed().await.cause, CloseCause::Dropped);
            let listener = Bob::listen(&provider, &hook).await;
            bob = Bob { bob: provider, listener, hook };
            bob.has_one_place(&alice).await;
        }
        // It did not wait to be let in, and is gone when it is.
        let options = admitted().with_ready(ConnectReady::Answered);
        drop(alice.connect(&bob.bob.local_addr(), options).await.expect("answered"));
        sleep(ms(300)).await;
        bob.has_one_place(&alice).await;
    });
}

#[test]
fn a_place_comes_back_with_the_last_handle() {
    simulate(async |network| {
        let bob = Bob::with_places(&network, 1).await;
        let alice = provider(&network, "alice");
        let dialled = bob.dial(&alice, "").await.expect("a place");
        dialled.send("before it is accepted".into()).await.expect("sent");
        dialled.close(1, "").await;
        // There is something to be received, and the place is taken until somebody has looked.
        assert_eq!(no_room(bob.dial(&alice, "").await), ms(77));
        let accepted = bob.listener.accept().await.expect("accepted");
        assert_eq!(accepted.recv().await.expect("received"), "before it is accepted");
        accepted.recv().await.expect_err("closed");
        let clone = accepted.clone();
        drop(accepted);
        assert_eq!(no_room(bob.dial(&alice, "").await), ms(77));
        drop(clone);
        bob.has_one_place(&alice).await;
    });
}
