//! The colours of plots: for paper, and what stands for each of them on a dark ground.
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
pub(super) const GRID: &str = "#e4e4e4";
pub(super) const FAINT: &str = "#f2f2f2";
/// Training, step by step.
pub const STEP: &str = "#9cc8e6";
/// Training, epoch by epoch.
pub const EPOCH: &str = "#00446f";
/// Validation.
pub const VALIDATION: &str = "#d55e00";
/// Runs beside each other, with their dashes.
pub(super) const RUNS: [(&str, &str); 6] = [
    ("#0072b2", ""),
    ("#b34700", "7 4"),
    ("#007a5a", "2 3"),
    ("#a6377e", "9 3 2 3"),
    ("#8a6d00", "4 4"),
    ("#555555", "1 4"),
];

/// Each colour with the one that stands for it on a dark ground.
const ON_DARK: [(&str, &str); 14] = [
    (PAPER, "#16181d"),
    (TEXT, "#e4e6ea"),
    (FRAME, "#8b919b"),
    (GRID, "#2e323a"),
    (FAINT, "#23262d"),
    (STEP, "#2f5f85"),
    (EPOCH, "#7cc4f5"),
    (VALIDATION, "#ff9a55"),
    ("#0072b2", "#5db4ee"),
    ("#b34700", "#ff9a55"),
    ("#007a5a", "#3fcf9f"),
    ("#a6377e", "#f092cc"),
    ("#8a6d00", "#e2c044"),
    ("#555555", "#b0b5bd"),
];

/// Rules that recolour the plots inside `.plot` for a dark ground.
pub(super) fn dark_rules() -> String {
    ON_DARK
        .iter()
        .map(|(paper, dark)| {
            format!(".plot [fill=\"{paper}\"]{{fill:{dark}}}.plot [stroke=\"{paper}\"]{{stroke:{dark}}}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.2.
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let v = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    fn on_dark(color: &str) -> &'static str {
        ON_DARK.iter().find(|(paper, _)| *paper == color).unwrap_or_else(|| panic!("{color}")).1
    }

    #[test]
    fn letters_and_curves_stand_out_from_both_grounds() {
        // WCAG 2.2: 4.5 for text, 3 for graphics. The band of single steps is a ground for the others.
        for (color, least) in [(TEXT, 4.5), (FRAME, 3.0), (EPOCH, 3.0), (VALIDATION, 3.0)]
            .into_iter()
            .chain(RUNS.map(|(color, _)| (color, 3.0)))
        {
            assert!(contrast(color, PAPER) >= least, "{color} {}", contrast(color, PAPER));
            let dark = on_dark(color);
            assert!(contrast(dark, on_dark(PAPER)) >= least, "{color} {dark}");
        }
        assert!(contrast(EPOCH, STEP) >= 3.0 && contrast(on_dark(EPOCH), on_dark(STEP)) >= 3.0);
    }
}
