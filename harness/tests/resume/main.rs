//! A run loses nothing, whatever stops it: the `sae` command, killed, starved and lied to.

#[path = "../cli/common.rs"]
mod common;

mod damage;
mod faults;
mod kills;
mod run;
mod stops;
mod streamed;
