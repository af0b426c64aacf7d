//! The `sae` command, as a person runs it.

mod bench;
mod commands;
mod common;
mod errors;
mod eval;
mod found;
mod models;
mod report;
mod sweep;
mod tensorboard;
