//! The program: as an operator meets it, and as one breaks it.

mod config;
mod crowd;
mod database;
mod ending;
mod logs;
pub(crate) mod process;
mod start;
mod trouble;
