//! Speed: the operations on random data, timed beside the processor's peak, alone or against others in turn.

mod operation;
mod processor;
mod timed;
mod timing;

pub(crate) use operation::TimedStep;
pub use operation::{Op, Operation, Sizes};
pub use processor::processor;
pub(crate) use timed::{Laps, Phase, Timed};
pub(crate) use timing::median;
pub use timing::{Call, Timing, compare, interleaved, peak_gflops};
