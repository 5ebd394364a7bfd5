//! The contract, over TCP: each claim on a store in memory and on one in a file.

mod hosts;
mod life;
mod players;
mod races;
mod router;
mod selection;
mod texts;
mod validation;
mod zones;
