//! What a run leaves to be looked at: plots, pictures, and one page with all of it.

pub mod board;
pub mod canvas;
pub mod curves;
pub mod figure;
pub mod filters;
pub mod ink;
pub mod palette;
pub mod rho_hat;
pub mod svg;

mod axis;
mod plot;
