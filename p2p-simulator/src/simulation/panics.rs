//! Panics in simulated programs: tokio's own about missing I/O is an error of its own here, also when
//! it hits a spawned task, whose panic only its `JoinHandle` would see.
//!
//! tokio has no other way to say it, so a panic hook listens; it calls the one that was there before.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::host::task::current_host;

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What was seen on this thread since [`listen`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Where real I/O was tried.
    pub(crate) real_io: Option<Place>,
    /// The program let tokio's clock run by itself.
    pub(crate) resumed: bool,
    /// Where the last panic was.
    pub(crate) last: Option<String>,
}

/// Where something was tried that cannot be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The number of the host whose task it was.
    pub(crate) host: Option<u32>,
    /// The function of the program, as far as symbols tell.
    pub(crate) function: Option<String>,
    /// The line of the panic, which is in tokio.
    pub(crate) line: String,
}

impl Place {
    fn here(line: &str) -> Self {
        let trace = Backtrace::force_capture().to_string();
        Self { host: current_host(), function: function_in(&trace), line: line.to_owned() }
    }

    /// In words, with the hosts' names.
    pub(crate) fn words(&self, hosts: &[String]) -> String {
        let name = self.host.and_then(|host| hosts.get(host as usize));
        let of = name.map_or(String::new(), |name| format!("in a task of '{name}', "));
        let function = self.function.as_ref();
        let function = function.map_or(String::new(), |function| format!("in {function}, "));
        format!("{of}{function}at {}", self.line)
    }
}

/// The innermost function of a backtrace that belongs neither to Rust, nor to tokio, nor to us.
fn function_in(trace: &str) -> Option<String> {
    const OTHERS: [&str; 8] = [
        "std::",
        "core::",
        "alloc::",
        "tokio::",
        "p2p_simulator::",
        "p2p_core::",
        "__rust",
        "rust_",
    ];
    trace
        .lines()
        .filter_map(|line| line.trim_start().split_once(": "))
        .filter(|(number, _)| number.parse::<u32>().is_ok())
        .map(|(_, name)| name.trim_start_matches('<'))
        .find(|name| !OTHERS.iter().any(|other| name.starts_with(other)))
        // Closures are of the function around them.
        .map(|name| name.replace("::{{closure}}", ""))
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
                seen.real_io.get_or_insert_with(|| Place::here(&place));
            }
            // And its clock, when the driver wants to move it.
            seen.resumed |= message.contains("time is not frozen");
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

#[cfg(test)]
mod tests {
    use super::function_in;

    #[test]
    fn the_innermost_function_of_the_program_is_found_among_others() {
        let trace = "   0: std::backtrace::Backtrace::create\n   1: p2p_simulator::simulation::panics::\
                     note\n             at ./src/panics.rs:1:2\n   2: __rustc::rust_begin_unwind\n   3: \
                     <tokio::net::udp::UdpSocket>::bind\n   4: my_crate::serve::{{closure}}::\
                     {{closure}}\n   5: my_crate::main\n";
        assert_eq!(function_in(trace).as_deref(), Some("my_crate::serve"));
        assert_eq!(function_in("disabled backtrace"), None);
    }
}
