//! Colours: for signed numbers, and for curves.

/// An sRGB colour.
pub type Rgb = [u8; 3];

/// A map from [−1, 1] to colours, in which 0 is the middle. Lightness rises all the way, so that a greyscale print keeps the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Black, grey, white.
    #[default]
    Grey,
    /// Dark blue, grey, light yellow: opposite hues, told apart by every common form of colour blindness.
    BlueYellow,
}

/// What stands for a number that is not finite: magenta, in neither palette.
pub const NOT_FINITE: Rgb = [204, 0, 153];

/// Ends and middle of [`Palette::BlueYellow`] in OKLab: lightness, green to red, blue to yellow.
const BLUE_YELLOW: [[f64; 3]; 3] = [[0.28, -0.02, -0.13], [0.66, 0.0, 0.0], [0.95, -0.01, 0.13]];

impl Palette {
    /// The colour of `t`, which is clamped to [−1, 1]; [`NOT_FINITE`] for NaN.
    pub fn color(self, t: f32) -> Rgb {
        if t.is_nan() {
            return NOT_FINITE;
        }
        let t = f64::from(t.clamp(-1.0, 1.0));
        match self {
            Self::Grey => [(127.5 + 127.5 * t).round() as u8; 3],
            Self::BlueYellow => {
                let [blue, grey, yellow] = BLUE_YELLOW;
                let end = if t < 0.0 { blue } else { yellow };
                oklab(std::array::from_fn(|i| grey[i] + t.abs() * (end[i] - grey[i])))
            }
        }
    }

    /// The colours of a bar upwards and of a bar downwards, on a light ground.
    pub fn bars(self) -> (Rgb, Rgb) {
        match self {
            Self::Grey => ([32; 3], [128; 3]),
            Self::BlueYellow => ([201, 138, 0], [20, 50, 110]),
        }
    }
}

/// OKLab to sRGB, clipped to its gamut. Matrices: B. Ottosson, "A perceptual color space for image processing" (2020); transfer
/// curve: IEC 61966-2-1.
fn oklab([lightness, a, b]: [f64; 3]) -> Rgb {
    const TO_LMS: [[f64; 2]; 3] = [
        [0.396_337_777_4, 0.215_803_757_3],
        [-0.105_561_345_8, -0.063_854_172_8],
        [-0.089_484_177_5, -1.291_485_548_0],
    ];
    const TO_RGB: [[f64; 3]; 3] = [
        [4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2],
        [-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5],
        [-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0],
    ];
    let lms = TO_LMS.map(|[u, v]| (lightness + u * a + v * b).powi(3));
    TO_RGB.map(|row| {
        let linear: f64 = row.iter().zip(lms).map(|(r, c)| r * c).sum();
        let encoded = if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (encoded.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rec. 709 luma: what a greyscale print shows.
    fn luma([r, g, b]: Rgb) -> f64 {
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    }

    #[test]
    fn every_palette_rises_in_greyscale_and_is_grey_in_the_middle() {
        for palette in [Palette::Grey, Palette::BlueYellow] {
            let shades: Vec<f64> = (-32..=32).map(|i| luma(palette.color(i as f32 / 32.0))).collect();
            assert!(shades.is_sorted_by(|a, b| a < b), "{palette:?} {shades:?}");
            assert!(shades[64] - shades[0] > 180.0, "{palette:?} {shades:?}");
            let [r, g, b] = palette.color(0.0);
            assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1, "{palette:?}");
        }
    }

    #[test]
    fn grey_is_black_middle_white_and_clamps() {
        let grey = |t| Palette::Grey.color(t)[0];
        assert_eq!([grey(-1.0), grey(0.0), grey(1.0)], [0, 128, 255]);
        assert_eq!([grey(-9.0), grey(f32::INFINITY)], [0, 255]);
        assert_eq!(Palette::BlueYellow.color(f32::NAN), NOT_FINITE);
    }

    #[test]
    fn oklab_knows_white_black_and_red() {
        assert_eq!(oklab([1.0, 0.0, 0.0]), [255; 3]);
        assert_eq!(oklab([0.0, 0.0, 0.0]), [0; 3]);
        assert_eq!(oklab([0.627_955, 0.224_863, 0.125_846]), [255, 0, 0]);
    }
}
