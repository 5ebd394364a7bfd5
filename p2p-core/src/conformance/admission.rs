//! Who is let in, and what becomes of those who are not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::step::{
    Pair, dialling, done, ensure, ensure_matches, fails, give_up_after, meet, pattern, protocol,
    spawn, speech, step, talk,
};
use super::{Failure, Outcome, World};
use crate::close::{CloseCause, ClosedBy};
use crate::error::{Limit, P2PError};
use crate::options::{
    Admission, Applicant, ConnectOptions, ConnectReady, Denied, ListenOptions, MAX_CREDENTIAL,
    Refusal, admission_fn,
};
use crate::pass::Pass;
use crate::provider::{P2PConnection, P2PListener, P2PProvider};

const NAME: &str = "conformance/guarded";

/// To connect to whoever is behind a judge, showing this.
fn showing(credential: impl Into<Bytes>, ready: ConnectReady) -> Outcome<ConnectOptions> {
    let mut options = ConnectOptions::new(protocol(NAME)?).with_ready(ready);
    options.credential = credential.into();
    Ok(options)
}

/// Listens where a judge stands at the door.
async fn guarded<P: P2PProvider>(bob: &P, judge: impl Admission) -> Outcome<P::Listener> {
    let options = ListenOptions::new(protocol(NAME)?).with_admission(judge);
    step("to listen", bob.listen(options)).await
}

/// Lets in whoever knows the word.
fn sesame() -> impl Admission {
    admission_fn(async |applicant: Applicant| match &applicant.credential[..] {
        b"sesame" => Ok(()),
        _ => Err(Denied("wrong word".to_owned())),
    })
}

pub(super) async fn the_judge_sees_who_and_the_credential<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let judge = admission_fn({
        let seen = seen.clone();
        move |applicant| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(applicant);
            async { Ok(()) }
        }
    });
    let listener = guarded(&pair.bob, judge).await?;
    let credential = pattern(1, 300);
    let options = showing(credential.clone(), ConnectReady::Answered)?;
    let (to_bob, to_alice) = meet(&pair.alice, &listener, options).await?;
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(seen.len() == 1, "the judge was asked {} times", seen.len());
    let applicant = &seen[0];
    ensure!(applicant.peer == pair.alice.local_peer_id(), "asked about {}", applicant.peer);
    ensure!(applicant.protocol == protocol(NAME)?, "asked about {}", applicant.protocol);
    ensure!(applicant.credential == credential, "the judge saw another credential");
    ensure!(to_alice.peer().credential == credential, "Bob's connection has another credential");
    ensure!(to_bob.peer().credential.is_empty(), "Alice's connection has a credential of Bob's");
    Ok(())
}

pub(super) async fn the_largest_credential_fits_and_one_more_byte_is_typed<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let largest = pattern(2, MAX_CREDENTIAL);
    let options = ConnectOptions::new(speech()?).with_credential(largest.clone());
    let options = step("to show the largest credential", async { options }).await?;
    let (_to_bob, to_alice) = meet(&pair.alice, &pair.listener, options).await?;
    ensure!(to_alice.peer().credential == largest, "another credential arrived");
    let larger = ConnectOptions::new(speech()?).with_credential(pattern(2, MAX_CREDENTIAL + 1));
    let error = fails("to show a larger one", async { larger }).await?;
    ensure!(
        matches!(error, P2PError::LimitExceeded { limit: Limit::Credential, max: 2048, .. }),
        "the error is {error:?}"
    );
    Ok(())
}

pub(super) async fn a_refusal_fails_a_connect_that_waits_for_it<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let listener = guarded(&pair.bob, sesame()).await?;
    let addr = listener.local_addr();
    let options = showing("please", ConnectReady::Admitted)?;
    let error = fails("to connect", pair.alice.connect(&addr, options)).await?;
    ensure!(!error.is_retryable(), "the answer will be the same: {error:?}");
    let (peer, reason) = ensure_matches!(
        error,
        P2PError::AuthenticationFailed { peer, reason } => (peer, reason),
        "the error"
    );
    ensure!(peer == pair.bob.local_peer_id(), "it names {peer}");
    ensure!(reason == "wrong word", "the words are {reason:?}");
    Ok(())
}

pub(super) async fn a_refusal_ends_a_connection_that_did_not_wait<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let listener = guarded(&pair.bob, sesame()).await?;
    let addr = listener.local_addr();
    let options = showing("please", ConnectReady::Answered)?;
    let refused = |error: &P2PError| match error {
        P2PError::AuthenticationFailed { reason, .. } => reason == "wrong word",
        _ => false,
    };
    match done("to connect", pair.alice.connect(&addr, options)).await? {
        Err(error) => ensure!(refused(&error), "the error is {error:?}"),
        Ok(connection) => {
            let error = fails("to receive", connection.recv()).await?;
            ensure!(refused(&error), "recv says {error:?}");
            let end = done("to be closed", connection.closed()).await?;
            ensure!(
                end.by == ClosedBy::Peer && end.cause == CloseCause::AdmissionDenied,
                "it ended so: {end}"
            );
            ensure!(end.message == "wrong word", "the words are {:?}", end.message);
            ensure!(!connection.is_connected(), "still connected");
            let error = fails("to send", connection.send("x".into())).await?;
            ensure!(refused(&error), "send says {error:?}");
        }
    }
    Ok(())
}

pub(super) async fn the_refused_are_never_accepted_and_take_no_place<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let options = ListenOptions::new(protocol(NAME)?)
        .with_admission(sesame())
        .with_backlog(1)
        .with_max_connections(1);
    let listener = step("to listen", pair.bob.listen(options)).await?;
    let addr = listener.local_addr();
    for ready in [ConnectReady::Admitted, ConnectReady::Answered, ConnectReady::Admitted] {
        match done("to connect", pair.alice.connect(&addr, showing("please", ready)?)).await? {
            Err(P2PError::AuthenticationFailed { .. }) => {}
            Err(other) => ensure!(false, "the error is {other:?}"),
            Ok(connection) => {
                done("to be sent away", connection.closed()).await?;
            }
        }
    }
    let options = showing("sesame", ConnectReady::Admitted)?;
    let (to_bob, to_alice) = meet(&pair.alice, &listener, options).await?;
    let shown = &to_alice.peer().credential;
    ensure!(shown == "sesame", "who showed {shown:?} was accepted");
    talk(&to_bob, &to_alice, "after those refused").await
}

/// A judge who says yes when it may: the first semaphore counts how often it was asked, a permit of
/// the second is one answer.
pub(super) fn waiting_judge() -> (Arc<Semaphore>, Arc<Semaphore>, impl Admission) {
    let (asked, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let judge = admission_fn({
        let (asked, answer) = (asked.clone(), answer.clone());
        move |_| {
            let (asked, answer) = (asked.clone(), answer.clone());
            async move {
                asked.add_permits(1);
                match answer.acquire().await {
                    Ok(permit) => permit.forget(),
                    Err(_) => return Err(Denied("no answer".to_owned())),
                }
                Ok(())
            }
        }
    });
    (asked, answer, judge)
}

pub(super) async fn admitted_waits_for_the_judge_and_answered_does_not<W: World>(
    world: &W,
) -> Outcome {
    let pair = Pair::new(world).await?;
    let (asked, answer, judge) = waiting_judge();
    let listener = guarded(&pair.bob, judge).await?;
    let addr = listener.local_addr();
    let options = showing("", ConnectReady::Answered)?;
    let answered = step("to connect, unjudged", pair.alice.connect(&addr, options)).await?;
    step("to send, unjudged", answered.send("early".into())).await?;
    step("the judge to be asked", asked.acquire()).await?.forget();
    let early = give_up_after(3, listener.accept()).await;
    ensure!(early.is_none(), "accept yields who is not admitted");
    answer.add_permits(1);
    let accepted = step("to accept", listener.accept()).await?;
    let early = step("to receive", accepted.recv()).await?;
    ensure!(early == "early", "{early:?} arrived instead of what was sent before the judgement");

    let connecting = spawn({
        let (alice, options) = (pair.alice.clone(), showing("", ConnectReady::Admitted)?);
        async move { step("to connect, judged", alice.connect(&addr, options)).await }
    });
    step("the judge to be asked", asked.acquire()).await?.forget();
    // What the network had to carry, it has carried by the end of this.
    pair.talk("while the judge thinks").await?;
    ensure!(!connecting.is_over(), "connect returned before it was admitted");
    answer.add_permits(1);
    let admitted = connecting.end("to connect").await?;
    let accepted = step("to accept", listener.accept()).await?;
    talk(&admitted, &accepted, "after the judgement").await
}

pub(super) async fn a_slow_judge_holds_up_nobody_else<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let (asked, answer, judge) = waiting_judge();
    let listener = guarded(&pair.bob, judge).await?;
    let addr = listener.local_addr();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let options = showing("", ConnectReady::Answered)?;
        waiting.push(step("to connect", pair.alice.connect(&addr, options)).await?);
    }
    step("the judge to be asked by four at once", asked.acquire_many(4)).await?.forget();
    let options = dialling()?.with_ready(ConnectReady::Admitted);
    let (to_bob, to_alice) = meet(&pair.alice, &pair.listener, options).await?;
    talk(&to_bob, &to_alice, "at another door").await?;
    answer.add_permits(4);
    for _ in &waiting {
        step("to accept", listener.accept()).await?;
    }
    Ok(())
}

pub(super) async fn a_judge_too_slow_counts_as_no<W: World>(world: &W) -> Outcome {
    let quick = world.timers().with_handshake_timeout(Duration::from_millis(500));
    let pair = Pair::with(world, world.timers(), quick).await?;
    let (_asked, answer, judge) = waiting_judge();
    let listener = guarded(&pair.bob, judge).await?;
    let addr = listener.local_addr();
    let options = showing("", ConnectReady::Admitted)?;
    fails("to connect, judged", pair.alice.connect(&addr, options)).await?;
    let options = showing("", ConnectReady::Answered)?;
    let answered = step("to connect, unjudged", pair.alice.connect(&addr, options)).await?;
    let end = done("to be sent away", answered.closed()).await?;
    ensure!(end.by == ClosedBy::Peer && end.cause == CloseCause::TimedOut, "it ended so: {end}");
    // From now on the judge answers, and only those are accepted who come from now on.
    answer.add_permits(1);
    let options = showing("now", ConnectReady::Admitted)?;
    let (_to_bob, to_alice) = meet(&pair.alice, &listener, options).await?;
    ensure!(to_alice.peer().credential == "now", "somebody from before was accepted");
    Ok(())
}

/// Lets everybody in, with a pass that is counted.
#[derive(Clone)]
struct Porter(Arc<Semaphore>);

impl Porter {
    const PASSES: usize = 100;

    fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::PASSES)))
    }

    /// How many passes are out.
    fn passes(&self) -> usize {
        Self::PASSES - self.0.available_permits()
    }

    async fn has(&self, passes: usize, when: &str) -> Outcome {
        let waiting = async {
            while self.passes() != passes {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let came = done(&format!("{passes} passes {when}"), waiting).await;
        came.map_err(|late| Failure::new(format!("{late}; there are {}", self.passes())))
    }
}

#[async_trait]
impl Admission for Porter {
    async fn admit(&self, _applicant: &Applicant) -> Result<(), Denied> {
        Ok(())
    }

    async fn judge(&self, _applicant: &Applicant) -> Result<Pass, Refusal> {
        let pass = self.0.clone().try_acquire_owned();
        Ok(Pass::holding(pass.map_err(|none| Denied(none.to_string()))?))
    }
}

pub(super) async fn a_pass_is_kept_as_long_as_its_connection<W: World>(world: &W) -> Outcome {
    let pair = Pair::new(world).await?;
    let porter = Porter::new();
    let listener = guarded(&pair.bob, porter.clone()).await?;
    let addr = listener.local_addr();
    let options = showing("", ConnectReady::Admitted)?;
    let mut dialled = Vec::new();
    for _ in 0..3 {
        dialled.push(step("to connect", pair.alice.connect(&addr, options.clone())).await?);
    }
    pair.talk("while nobody accepts").await?;
    porter.has(3, "while nobody accepts").await?;
    let accepted = step("to accept", listener.accept()).await?;
    let clone = accepted.clone();
    drop(accepted);
    let other = step("to accept", listener.accept()).await?;
    done("to close", other.close(0, "")).await?;
    pair.talk("while handles are kept").await?;
    porter.has(3, "while handles are kept, of an ended connection too").await?;
    drop(clone);
    porter.has(2, "after the last handle").await?;
    drop(other);
    porter.has(1, "after the last handle of an ended connection").await?;
    listener.close();
    porter.has(0, "after the end of the listener, with one that nobody had accepted").await
}
