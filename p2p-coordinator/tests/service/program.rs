//! The program: as an operator meets it, and as one breaks it.

mod config;
mod config_sources;
mod crowd;
mod database;
mod ending;
mod logs;
mod peer_play;
pub(crate) mod process;
mod repeats;
mod start;
mod trouble;
