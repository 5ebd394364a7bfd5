//! How the programs end: a sentence on standard error and an exit code, never a panic.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use p2p_transport::P2PError;

use super::{Event, Output, Sent};

/// Why a program cannot go on, in one sentence that names the thing and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), code: 1 }
    }

    /// An error and its causes, in one sentence.
    pub(crate) fn of(error: &dyn Error) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            what = format!("{what}: {error}");
            cause = error.source();
        }
        Self::new(what)
    }

    /// The same with what to do about it.
    pub(crate) fn advise(self, hint: &str) -> Self {
        Self { what: format!("{}: {hint}", self.what), ..self }
    }

    /// Somebody asked the program to stop before it was done: the shell's code for Ctrl-C.
    pub(crate) fn interrupted(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), code: 130 }
    }
}

impl From<P2PError> for Failure {
    fn from(error: P2PError) -> Self {
        Self::new(error)
    }
}

/// Says how it went, and with which code the process ends.
pub(crate) fn finish(output: Output, result: Result<Option<Sent>, Failure>) -> ExitCode {
    match result {
        Ok(file) => {
            output.emit(&Event::Done { file });
            ExitCode::SUCCESS
        }
        Err(Failure { what, code }) => {
            if output.is_json() {
                output.emit(&Event::Error { what: &what });
            }
            complain(&what);
            ExitCode::from(code)
        }
    }
}

/// One line on standard error, if there is one.
pub(super) fn complain(what: &str) {
    use std::io::Write;
    // Nobody may be listening any more; there is nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "error: {what}");
}

/// Ctrl-C and, on Unix, SIGTERM: both ask the program to stop in its own time.
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl Stop {
    /// From here on the signals no longer kill.
    pub(crate) fn catch() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let catch = |kind| {
                signal(kind).map_err(|error| Failure::new(format!("cannot catch Ctrl-C: {error}")))
            };
            let signals = [catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?];
            Ok(Self { signals })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits to be asked. Cancel safe.
    pub(crate) async fn requested(&mut self) {
        #[cfg(unix)]
        {
            let [interrupt, terminate] = &mut self.signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
