//! Many runs that differ in some settings: which they are, which are trained together, and what they came to.

mod group;
mod outcome;
mod space;
mod spec;
mod table;

pub use group::{groups, trains_together};
pub use outcome::{Outcome, Speed, Status};
pub use space::{Search, Space};
pub use spec::{Planned, SETTINGS_FILE, Sweep};
pub(crate) use table::speed;
pub use table::{csv, page};
