//! A run loses nothing, whatever stops it: the `sae` command, killed, starved and lied to.

#[path = "../cli/common.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which use the rest")]
mod common;

mod damage;
mod faults;
mod kills;
mod run;
mod stops;
