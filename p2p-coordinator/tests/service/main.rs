//! The service from outside: its contract over HTTP, joins, the door for peers, the program.

mod ask;
mod clock;
mod contract;
mod described;
mod fixture;
mod folder;
mod join;
mod lists;
mod monitoring;
mod openapi;
mod peer_door;
mod program;
mod pulse;
mod readiness;
mod security;
#[path = "../postgres/server.rs"]
mod server;
mod signaling;
mod upkeep;
