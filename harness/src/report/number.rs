//! Numbers in words.

/// Four significant digits.
pub fn short(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    if !(1e-3..1e6).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - magnitude.log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1.000"),
            (12.3456, "12.35"),
            (123_456.7, "123457"),
            (0.00123456, "0.001235"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(short(1.5e-9), "1.500e-9");
        assert_eq!(short(f64::INFINITY), "inf");
    }
}
