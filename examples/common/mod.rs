//! What the trial programs share: flags, events, files, and how they end.
//!
//! - [`PeerArgs`] (`args`): the flags of every peer; [`parse`] reads a command line;
//! - [`Output`], [`Event`], [`Introduced`] (`events`): what happens, as text or as JSON lines;
//! - `files`: identities, tickets and certificates; what is written appears whole or not at all;
//! - [`Failure`], [`Stop`], [`finish`] (`ending`): one sentence and an exit code.

mod args;
mod ending;
mod events;
mod files;

pub(crate) use args::{PeerArgs, parse};
pub(crate) use ending::{Failure, Stop, finish};
pub(crate) use events::{Event, Introduced, Output, Sent};
pub(crate) use files::{discard, read_p2p_config, read_ticket, write_whole};

/// What host and guest speak: messages are echoed; a stream's content is answered by its BLAKE3.
pub(crate) const PROTOCOL: &str = "nat-trial/1";
