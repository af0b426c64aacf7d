//! The `sae` command, as a person runs it.

mod commands;
mod common;
mod errors;
mod learning;
