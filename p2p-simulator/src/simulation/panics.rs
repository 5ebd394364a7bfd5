//! Panics in simulated programs: tokio's own about missing I/O is an error of its own here, also when
//! it hits a spawned task, whose panic only its `JoinHandle` would see.
//!
//! tokio has no other way to say it, so a panic hook listens; it calls the one that was there before.

use std::any::Any;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What was seen on this thread since [`listen`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Where real I/O was tried.
    pub(crate) real_io: Option<String>,
    /// Where the last panic was.
    pub(crate) last: Option<String>,
}

/// Begins to listen for panics on this thread.
pub(super) fn listen() {
    static HOOK: Once = Once::new();
    // A panicking thread must not touch the hook; it can hardly start a simulation either.
    if !std::thread::panicking() {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                note(info);
                before(info);
            }));
        });
    }
    let _ = SEEN.try_with(|seen| seen.replace(Some(Seen::default())));
}

/// Ends it, and says what there was.
pub(super) fn stop_listening() -> Seen {
    SEEN.try_with(RefCell::take).ok().flatten().unwrap_or_default()
}

/// Whether real I/O was tried.
pub(super) fn saw_real_io() -> bool {
    SEEN.try_with(|seen| seen.borrow().as_ref().is_some_and(|seen| seen.real_io.is_some()))
        .unwrap_or(false)
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let message = message_of(info.payload());
    let _ = SEEN.try_with(|seen| {
        if let Ok(Some(seen)) = seen.try_borrow_mut().as_deref_mut() {
            // tokio 1.54, runtime/driver.rs, and its signal driver.
            if message.contains("IO is disabled") || message.contains("no signal driver") {
                seen.real_io.get_or_insert_with(|| place.clone());
            }
            seen.last = Some(place);
        }
    });
}

/// What a panic says.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without words".to_owned(),
    }
}
