//! Who hosts, who plays where, who may connect to whom.

pub mod domain;
pub mod door;
pub mod service;
pub mod store;
pub mod world;
