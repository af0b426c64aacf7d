//! What a run leaves to be looked at: plots, pictures, and one page with all of it.

pub mod baselines;
pub mod board;
pub mod canvas;
pub mod curves;
pub mod examine;
pub mod figure;
pub mod filters;
pub mod ink;
pub mod lines;
pub mod number;
pub mod page;
pub mod palette;
pub mod pictures;
pub mod record;
pub mod rho_hat;
pub mod run;
pub mod svg;
pub mod sweep;

mod axis;
mod overlay;
mod plot;
