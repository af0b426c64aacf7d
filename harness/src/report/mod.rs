//! The pictures of a run: what the filters look like, and how the losses went.

pub mod curves;
pub mod filters;
pub mod palette;
pub mod svg;

mod axis;
