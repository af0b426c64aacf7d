//! The model: what it is made of and how it is kept.

pub mod file;
