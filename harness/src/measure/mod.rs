//! Speed: the operations on random data, timed beside the processor's peak, alone or against others in turn.

mod bandwidth;
mod distance;
mod operation;
mod phases;
mod processor;
mod timed;
mod timing;

pub use bandwidth::Triad;
pub use distance::round_trip_ns;
pub use operation::{Op, Operation, Sizes, TimedStep};
pub use phases::{PhaseRow, Phases, step_roof};
pub use processor::{family_and_model, processor};
pub use timed::Phase;
pub(crate) use timed::{Laps, Timed};
pub use timing::{Lap, Repeat, Timing, compare, interleaved, median, peak_gflops};
