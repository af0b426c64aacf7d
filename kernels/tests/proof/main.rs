//! The proof that the backends are right: against the f64 reference within derived bounds, bit for bit where the design
//! promises bits, and under hostile arguments and any use of threads.

mod bits;
mod correctness;
mod errors;
mod extremes;
mod hashes;
mod norm;
mod properties;
mod support;
mod threads;
