//! Speed: the operations on random data, timed beside the processor's peak, alone or against others in turn.

mod operation;
mod timing;

pub use crate::cli::processor;
pub use operation::{Op, Operation, Sizes};
pub use timing::{Call, Timing, compare, interleaved};
