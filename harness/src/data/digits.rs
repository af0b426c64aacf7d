//! The built-in set: handwritten digits, 8×8.

use super::source::Source;
use super::{Dataset, idx};
use crate::error::Result;

/// 1,797 handwritten digits of 8×8 pixels, values 0 to 16, with labels 0 to 9.
///
/// The test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak; UCI Machine Learning
/// Repository; CC BY 4.0), contained in the program.
///
/// # Errors
/// None, unless the program itself is damaged.
pub fn digits() -> Result<Dataset> {
    let images = include_bytes!("digits/digits-images-idx3-ubyte.gz");
    let labels = include_bytes!("digits/digits-labels-idx1-ubyte.gz");
    let mut images = Source::of_bytes("digits", images);
    let mut labels = Source::of_bytes("digits (labels)", labels);
    let mut set = idx::samples(&mut images, "digits".to_owned())?;
    set.labels = Some(idx::labels(&mut labels, set.rows, "digits")?);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_their_published_shape_range_and_class_counts() {
        let set = digits().unwrap();
        assert_eq!((set.rows, set.cols, set.image), (1797, 64, Some((8, 8))));
        assert_eq!(set.range(), (0.0, 16.0));
        let mut counts = [0; 10];
        for &label in set.labels.as_ref().unwrap() {
            counts[label as usize] += 1;
        }
        // The class counts UCI lists for the test part.
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }
}
