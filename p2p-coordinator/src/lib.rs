//! Who hosts, who plays where, who may connect to whom.

pub mod domain;
pub mod store;
