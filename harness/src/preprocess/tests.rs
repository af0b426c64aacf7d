use proptest::prelude::*;

use super::*;
use crate::data::digits;

const DATA: [f32; 6] = [1.0, 10.0, 3.0, 30.0, 5.0, 20.0];
/// Maps of each value by itself.
const SCALES: [Preprocess; 4] = [Preprocess::None, Preprocess::Range, Preprocess::MinMax, Preprocess::ZScore];

fn fit(kind: Preprocess, data: &[f32], cols: usize) -> Fitted {
    kind.fit(data, data.len() / cols, cols, &Options::default()).unwrap()
}

fn applied(kind: Preprocess) -> Vec<f32> {
    fit(kind, &DATA, 2).apply(DATA.to_vec(), 2).unwrap()
}

#[test]
fn each_map_gives_the_values_of_its_formula() {
    assert_eq!(applied(Preprocess::None), DATA);
    assert_eq!(applied(Preprocess::Range), DATA.map(|v| ((f64::from(v) - 1.0) / 29.0) as f32));
    assert_eq!(applied(Preprocess::MinMax), [0.0, 0.0, 0.5, 1.0, 1.0, 0.5]);
    // Column 0: mean 3, variance 8/3; column 1: mean 20, variance 200/3.
    let (a, b) = ((2.0 / (8.0f64 / 3.0).sqrt()) as f32, (10.0 / (200.0f64 / 3.0).sqrt()) as f32);
    assert_eq!(applied(Preprocess::ZScore), [-a, -b, 0.0, b, a, 0.0]);
}

#[test]
fn held_out_rows_are_mapped_by_the_training_rows_and_not_clamped() {
    let fitted = fit(Preprocess::MinMax, &DATA, 2);
    assert_eq!(fitted.apply(vec![9.0, -10.0], 2).unwrap(), [2.0, -1.0]);
}

#[test]
fn features_without_spread_become_0_and_come_back() {
    // 0.1f32 three times: the f64 mean of the sum is not that number.
    let data = [0.1, 5.0, 0.1, 6.0, 0.1, 7.0];
    for kind in [Preprocess::MinMax, Preprocess::ZScore] {
        let fitted = fit(kind, &data, 2);
        let mapped = fitted.apply(data.to_vec(), 2).unwrap();
        assert_eq!([mapped[0], mapped[2], mapped[4]], [0.0; 3], "{kind:?}");
        assert_eq!(fitted.invert(mapped, 2).unwrap()[0], 0.1, "{kind:?}");
    }
    let constant = vec![4.0; 6];
    assert_eq!(fit(Preprocess::Range, &constant, 2).apply(constant, 2).unwrap(), [0.0; 6]);
}

#[test]
fn extremes_of_f32_do_not_overflow() {
    let data = vec![f32::MIN, f32::MAX];
    assert_eq!(fit(Preprocess::Range, &data, 1).apply(data, 1).unwrap(), [0.0, 1.0]);
}

#[test]
fn what_a_map_makes_infinite_is_refused_with_its_place() {
    // A spread of a subnormal number, and a value 2¹⁰⁰ of them away.
    let tiny = f32::from_bits(1);
    for kind in [Preprocess::Range, Preprocess::MinMax, Preprocess::ZScore] {
        let error = fit(kind, &[0.0, tiny], 1).apply(vec![tiny, 0.0, 1.0], 1).unwrap_err();
        let told = format!("data.preprocess {}: row 2, column 0 (counted from 0) becomes inf", kind.name());
        assert!(error.to_string().contains(&told) && error.exit_code() == 2, "{error}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let options = Options::default();
    for kind in Preprocess::ALL {
        assert!(kind.fit(&[], 0, 2, &options).is_err());
        assert!(kind.fit(&DATA, 4, 2, &options).is_err());
        assert!(fit(kind, &DATA, 2).apply(DATA[..5].to_vec(), 2).is_err());
        assert!(fit(kind, &DATA, 2).invert(DATA[..5].to_vec(), 2).is_err());
    }
    for kind in [Preprocess::MinMax, Preprocess::ZScore, Preprocess::Pca, Preprocess::Zca] {
        let error = fit(kind, &DATA, 2).apply(DATA.to_vec(), 3).unwrap_err().to_string();
        assert!(error.contains("rows of 3 columns, expected 2"), "{error}");
    }
    let uneven = Fitted::MinMax { min: vec![0.0; 2], max: vec![1.0] };
    assert!(uneven.apply(DATA.to_vec(), 2).is_err());
    let error = Preprocess::Zca.fit(&DATA, 3, 2, &Options { components: 3, ..options }).unwrap_err();
    assert_eq!(error.to_string(), "data.components: 3, expected at most the 2 columns");
}

/// `[rows, cols]` of correlated values around different means.
fn correlated(rows: usize, cols: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 100.0;
    (0..rows * cols).map(|i| value(i) + 3.0 * value(i / cols * 31) + (i % cols) as f32).collect()
}

/// Means, and the covariance `[cols, cols]` over n, in f64.
fn moments(data: &[f32], cols: usize) -> (Vec<f64>, Vec<f64>) {
    let n = (data.len() / cols) as f64;
    let mean: Vec<f64> =
        (0..cols).map(|c| data.iter().skip(c).step_by(cols).map(|&v| f64::from(v)).sum::<f64>() / n).collect();
    let covariance = (0..cols * cols).map(|i| {
        let (a, b) = (i / cols, i % cols);
        data.chunks_exact(cols).map(|r| (f64::from(r[a]) - mean[a]) * (f64::from(r[b]) - mean[b])).sum::<f64>() / n
    });
    (mean.clone(), covariance.collect())
}

#[test]
fn one_pass_finds_the_mean_and_the_spread_that_two_find() {
    let data: Vec<f32> =
        (0..3000).map(|i| 1e4 + ((i * 7919) % 1013) as f32 * if i % 3 == 0 { 1.0 } else { 0.01 }).collect();
    let Fitted::ZScore { mean, std } = fit(Preprocess::ZScore, &data, 3) else { panic!("another map") };
    let (means, covariance) = moments(&data, 3);
    for i in 0..3 {
        // A sum of 1000 values near 10⁴ has 1000 roundings of at most 2⁻⁵⁴·1.1·10⁷, its mean is off by 6.2e-10, and a mean that
        // is updated 1000 times by as much. The sum of squares is then off by 2·Σ|x − mean| times that, and its root, as the
        // mean of |x − mean| is at most std, by as much as the mean.
        assert!((mean[i] - means[i]).abs() <= 1.3e-9, "{} {}", mean[i], means[i]);
        assert!((std[i] - covariance[4 * i].sqrt()).abs() <= 1.3e-9, "{} {}", std[i], covariance[4 * i].sqrt());
    }
}

#[test]
fn no_row_and_patches_cannot_be_fitted_row_by_row() {
    let error = Fitter::new(Preprocess::Range, 3, Options::default()).unwrap().finish().unwrap_err();
    assert!(error.to_string().contains("no row"), "{error}");
    let error = Fitter::new(Preprocess::Patches, 64, Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("data.preprocess: patches, expected another map where data are streamed"), "{error}");
}

#[test]
fn whitened_data_have_mean_0_and_the_identity_for_a_covariance() {
    let data = correlated(300, 5);
    for (kind, components, width) in [(Preprocess::Zca, 0, 5), (Preprocess::Pca, 0, 5), (Preprocess::Pca, 3, 3)] {
        let options = Options { epsilon: 0.0, components, ..Options::default() };
        let fitted = kind.fit(&data, 300, 5, &options).unwrap();
        assert_eq!(fitted.width(5).unwrap(), width);
        let mapped = fitted.apply(data.clone(), 5).unwrap();
        let (mean, covariance) = moments(&mapped, width);
        // Values of a few are rounded to f32: each moment is off by at most about 2⁻²³ times their size, 16.
        let small = 2e-6;
        assert!(mean.iter().all(|m| m.abs() < small), "{kind:?} {mean:?}");
        for (i, v) in covariance.iter().enumerate() {
            let expected = f64::from(u8::from(i / width == i % width));
            assert!((v - expected).abs() < small, "{kind:?} {covariance:?}");
        }
    }
}

#[test]
fn zca_stays_nearer_to_the_data_than_any_other_whitening() {
    // Of all whitenings W, the symmetric one has the largest trace of W·C, the correlation of each feature with its image.
    let data = correlated(300, 5);
    let options = Options { epsilon: 0.0, ..Options::default() };
    let (mean, _) = moments(&data, 5);
    let agreement = |kind: Preprocess| {
        let mapped = kind.fit(&data, 300, 5, &options).unwrap().apply(data.clone(), 5).unwrap();
        let products = data.iter().zip(&mapped).enumerate();
        products.map(|(i, (x, y))| (f64::from(*x) - mean[i % 5]) * f64::from(*y)).sum::<f64>()
    };
    assert!(agreement(Preprocess::Zca) > 1.01 * agreement(Preprocess::Pca).abs());
}

#[test]
fn epsilon_is_added_to_every_variance() {
    // Variances 4 and 1 along the axes.
    let data = vec![7.0, -2.0, 7.0, -4.0, 3.0, -2.0, 3.0, -4.0];
    let options = Options { epsilon: 5.0, ..Options::default() };
    let mapped = Preprocess::Zca.fit(&data, 4, 2, &options).unwrap().apply(data, 2).unwrap();
    let (a, b) = (2.0 / 3.0, 1.0 / 6f32.sqrt());
    for (v, expected) in mapped.iter().zip([a, b, a, -b, -a, b, -a, -b]) {
        assert!((v - expected).abs() < 1e-6, "{mapped:?}");
    }
}

#[test]
fn whitening_undone_is_the_data_or_their_nearest_point_in_the_kept_span() {
    let set = digits().unwrap();
    let cols = set.cols;
    for (kind, components) in [(Preprocess::Zca, 0), (Preprocess::Pca, 0), (Preprocess::Zca, 20), (Preprocess::Pca, 20)]
    {
        let options = Options { components, ..Options::default() };
        let fitted = kind.fit(&set.data, set.rows, cols, &options).unwrap();
        let back = fitted.invert(fitted.apply(set.data.clone(), cols).unwrap(), cols).unwrap();
        let squares = set.data.iter().zip(&back).map(|(a, b)| f64::from(a - b).powi(2));
        let mse = squares.sum::<f64>() / set.data.len() as f64;
        let pca = crate::eval::baseline::Pca::fit(&set.data, cols).unwrap();
        let expected = pca.mse(&set.data, if components == 0 { cols } else { components }).unwrap();
        // Values up to 16, rounded to f32 on both ways, through factors of √(λ + ε)/√ε ≤ 45 at most.
        assert!((mse - expected).abs() < 1e-8 + 1e-6 * expected, "{kind:?} {components}: {mse} {expected}");
    }
}

#[test]
fn a_direction_without_spread_becomes_0_without_an_epsilon() {
    let data = vec![1.0, 2.0, 2.0, 4.0, 3.0, 6.0];
    let options = Options { epsilon: 0.0, ..Options::default() };
    let fitted = Preprocess::Pca.fit(&data, 3, 2, &options).unwrap();
    let mapped = fitted.apply(vec![2.0, 4.0, 4.0, 3.0], 2).unwrap();
    assert_eq!((mapped[1], mapped[3]), (0.0, 0.0), "{mapped:?}");
}

#[test]
fn a_set_of_images_is_prepared_patch_by_patch_and_components_are_no_image() {
    let raw = digits().unwrap();
    let options = Options { patches: PatchOptions { side: 4, count: 50, whiten: false }, ..Options::default() };
    let samples = Preprocess::Patches.samples(raw.clone(), &options, 0).unwrap();
    assert_eq!((samples.rows, samples.cols, samples.image), (50, 16, Some((4, 4))));
    let fitted = Preprocess::Patches.fit(&samples.data, 50, 16, &options).unwrap();
    let mut set = raw.clone();
    fitted.prepare(&mut set).unwrap();
    assert_eq!((set.rows, set.cols, set.image), (4 * raw.rows, 16, Some((4, 4))));
    assert!(set.data.iter().all(|v| (0.1..=0.9).contains(v)));
    let options = Options { components: 10, ..Options::default() };
    let fitted = Preprocess::Pca.fit(&raw.data, raw.rows, raw.cols, &options).unwrap();
    let mut set = raw.clone();
    fitted.prepare(&mut set).unwrap();
    assert_eq!((set.rows, set.cols, set.image, set.data.len()), (raw.rows, 10, None, 10 * raw.rows));
}

proptest! {
    #[test]
    fn json_keeps_every_bit(
        data in prop::collection::vec(-1e6f32..1e6, 12), kind in prop::sample::select(&Preprocess::ALL[..]),
    ) {
        let fitted = fit(kind, &data, 3);
        let json = serde_json::to_string(&fitted).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Fitted>(&json).unwrap(), &fitted);
    }

    #[test]
    fn invert_undoes_scaling(
        data in prop::collection::vec(-1e6f32..1e6, 12), kind in prop::sample::select(&SCALES[..]),
    ) {
        let fitted = fit(kind, &data, 3);
        let back = fitted.invert(fitted.apply(data.clone(), 3).unwrap(), 3).unwrap();
        // y is rounded to f32, off by at most 2⁻²⁴·|y|, and |y|·spread ≤ 2·10⁶ (|y|·std is |x − mean|); the result
        // is rounded once more, off by at most 2⁻²⁴·10⁶. The f64 operations add a 2⁻²⁸th of that.
        let bound = 3.1 * 2f32.powi(-24) * 1e6;
        for (x, back) in data.iter().zip(&back) {
            prop_assert!((x - back).abs() <= bound, "{} {}", x, back);
        }
    }
}
