//! The proof that the backends are right: against the f64 reference within derived bounds, bit for bit where the design
//! promises bits, and under hostile arguments and any use of threads.

mod bits;
mod correctness;
mod derivatives;
mod door;
mod edges;
mod errors;
mod exact;
mod extremes;
mod hashes;
#[cfg(all(unix, not(miri)))]
mod memory;
mod norm;
mod properties;
mod same_chain;
mod soak;
mod support;
mod threads;
