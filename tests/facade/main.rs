//! What holds across crates: the house's rules, backends chosen at run time, and the programs as
//! their users run them.

mod chosen;
mod house;
mod programs;
