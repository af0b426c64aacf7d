//! The colours of plots.
//!
//! Blue and vermilion, and the colours of runs, are after M. Okabe and K. Ito, "Color universal design" (2008), set apart in
//! lightness; what differs in colour differs in dashes or marks as well.

/// The ground.
pub const PAPER: &str = "#ffffff";
/// Letters.
pub const TEXT: &str = "#222222";
/// Borders and ticks.
pub const FRAME: &str = "#666666";
/// Lines at labelled numbers, and between them.
pub const GRID: &str = "#e4e4e4";
pub(super) const FAINT: &str = "#f2f2f2";
/// Training, step by step.
pub const STEP: &str = "#9cc8e6";
/// Training, epoch by epoch.
pub const EPOCH: &str = "#00446f";
/// Validation.
pub const VALIDATION: &str = "#d55e00";
