//! One training step of the classic sparse autoencoder, over any backend.
//!
//! ```text
//! forward    h     = select(f(x·w_enc + b_enc))               x [n, d_in], h [n, d_hid]
//!            x_hat = g(h·w_dec + b_dec)                       x_hat [n, d_in]
//!            J     = scale·Σℓ(x_hat, x) + penalty(h) + decay·(‖w_enc‖² + ‖w_dec‖²)
//!
//! backward   delta_out = scale·dΣℓ/dz_out                     [n, d_in]
//!            delta_hid = (delta_out·w_decᵀ + dpenalty/dh) ⊙ f'(h)   [n, d_hid]
//!            dw_dec = hᵀ·delta_out + rate·w_dec               db_dec = Σ_i delta_out_ij
//!            dw_enc = xᵀ·delta_hid + rate·w_enc               db_enc = Σ_i delta_hid_ij
//! ```
//!
//! Five products of two forms, each with all that follows it in one operation of [`ops`](crate::ops). The scales are in
//! [`Convention`], the penalties in [`Penalty`], the optimisers in [`Rule`](crate::ops::Rule).
//!
//! What is encoded and what is to be reconstructed may differ: [`Input`]. [`Selection`] and [`Dropout`] leave some activations
//! out, and their gradients. With tied weights `w_dec = w_encᵀ`, and `dw_dec = hᵀ·delta_out + delta_hidᵀ·x`.
//!
//! [`Step`] is one model. [`BatchedStep`] is several of one shape, each operation of which is one call for all of them.

mod access;
mod batched;
mod config;
mod dropout;
mod encoder;
mod forward;
mod gradient;
mod input;
mod optimizer;
mod parameters;
mod penalty;
mod report;
mod selection;
mod single;

pub use batched::BatchedStep;
pub use config::{Convention, StepConfig};
pub use dropout::Dropout;
pub use input::Input;
pub use optimizer::State;
pub use parameters::Parameters;
pub use penalty::{Divergence, Penalty, RHO_HAT_MARGIN, RhoHat, divergence};
pub use report::{EvalReport, StepReport};
pub use selection::Selection;
pub use single::Step;
