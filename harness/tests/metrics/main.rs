//! Metrics and probes against scikit-learn's and scikit-image's, from `fixtures.json`, which scripts/metrics-fixtures makes.

use sae_harness::eval::baseline::Pca;
use sae_harness::eval::metrics::{explained_variance, mse, psnr};
use sae_harness::eval::probe::{RidgeOptions, RidgeProbe, SoftmaxOptions, SoftmaxProbe, r2};
use sae_harness::eval::ranking::{Ranking, quantile};
use sae_harness::eval::ssim::{Ssim, Window};
use serde_json::Value;

fn cases(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("fixtures.json")).unwrap();
    all[name].as_array().unwrap().clone()
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("{key}"))
}

fn size(case: &Value, key: &str) -> usize {
    case[key].as_u64().unwrap_or_else(|| panic!("{key}")) as usize
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().unwrap_or_else(|| panic!("{key}")).iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Samples are exact in f32.
fn samples(case: &Value, key: &str) -> Vec<f32> {
    numbers(case, key).into_iter().map(|v| v as f32).collect()
}

fn whole(case: &Value, key: &str) -> Vec<i64> {
    case[key].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, bound: f64) {
    assert!((found - expected).abs() <= bound, "{found} {expected}");
}

#[track_caller]
fn all_close(found: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(&f, &e)| close(f, e, bound));
}

#[test]
fn similarity_and_noise_ratio_are_scikit_images() {
    for case in cases("images") {
        let image = (size(&case, "height"), size(&case, "width"));
        let (x, y, range) = (samples(&case, "x"), samples(&case, "y"), number(&case, "range"));
        for window in [Window::Gaussian, Window::Uniform] {
            let key = if window == Window::Gaussian { "gaussian" } else { "uniform" };
            if case.get(key).is_none() {
                assert!(Ssim::new(window, image, range).is_err());
                continue;
            }
            let found = Ssim::new(window, image, range).unwrap().mean(&x, &y).unwrap();
            // Variances are differences of sums of 121 squares below L²: off by at most 2·121·2⁻⁵³·L² = 2.7e-14·L², in a quotient over
            // at least c₂ = 9e-4·L²; three of them in each place.
            close(found, number(&case, key), 1e-10);
        }
        // A mean of squares of n differences, and a logarithm whose derivative is 10/ln 10 = 4.4.
        close(psnr(mse(&x, &y).unwrap(), range).unwrap(), number(&case, "psnr"), 1e-11);
    }
}

#[test]
fn areas_under_curves_and_thresholds_are_scikit_learns() {
    for case in cases("rankings") {
        let scores = numbers(&case, "scores");
        let truth: Vec<bool> = case["truth"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
        let ranking = Ranking::new(&scores, &truth).unwrap();
        // Sums of at most 200 numbers below 1, each with a few roundings.
        const BOUND: f64 = 200.0 * 4.0 * f64::EPSILON;
        close(ranking.auroc(), number(&case, "auroc"), BOUND);
        close(ranking.average_precision(), number(&case, "average_precision"), BOUND);
        let found = ranking.at(number(&case, "threshold"));
        close(found.precision(), number(&case, "precision"), BOUND);
        close(found.recall(), number(&case, "recall"), BOUND);
        close(found.f1(), number(&case, "f1"), BOUND);
        close(ranking.best_f1().f1(), number(&case, "best_f1"), BOUND);
        let quantiles = [0.0, 0.3, 0.95, 1.0].map(|q| quantile(&scores, q).unwrap());
        all_close(&quantiles, &numbers(&case, "quantiles"), 1e-14);
    }
}

#[test]
fn softmax_regression_is_scikit_learns() {
    for case in cases("probes").iter().filter(|case| case["kind"] == "softmax") {
        let (d, fit, l2) = (size(case, "d"), size(case, "fit"), number(case, "l2"));
        let (x, labels) = (samples(case, "x"), whole(case, "labels"));
        let options = SoftmaxOptions { l2: vec![l2], tolerance: 1e-12, ..SoftmaxOptions::default() };
        let probe = SoftmaxProbe::fit(&x[..fit * d], d, &labels[..fit], &options).unwrap();
        assert!(probe.converged());
        assert_eq!(probe.classes(), whole(case, "classes"));
        let expected = numbers(case, "weights");
        // Both stop where the gradient is about 1e-12; a weight's curvature is at least λ.
        let bound = 1e-12 * (expected.len() as f64).sqrt() / l2.min(0.1);
        let (weights, biases) = probe.weights();
        all_close(weights, &expected, bound);
        // Biases are free up to what is added to all of them.
        let mean = biases.iter().sum::<f64>() / biases.len() as f64;
        // A class that seldom occurs, p, has the curvature p·(1 − p); the least here is above 0.01.
        let free: Vec<f64> = biases.iter().map(|b| b - mean).collect();
        all_close(&free, &numbers(case, "biases"), bound.max(1e-9));
        let (x, labels) = (&x[fit * d..], &labels[fit..]);
        all_close(&probe.probabilities(x).unwrap(), &numbers(case, "probabilities"), 1e-8);
        let score = probe.score(x, labels).unwrap();
        close(score.accuracy, number(case, "accuracy"), 4.0 * f64::EPSILON);
        close(score.macro_f1, number(case, "macro_f1"), 16.0 * f64::EPSILON);
        close(score.auc.unwrap(), number(case, "auc"), 1e-12);
        assert_eq!(serde_json::to_value(&score).unwrap()["confusion"], case["confusion"]);
    }
}

#[test]
fn ridge_regression_is_scikit_learns() {
    for case in cases("probes").iter().filter(|case| case["kind"] == "ridge") {
        let (d, fit, targets) = (size(case, "d"), size(case, "fit"), size(case, "targets"));
        let (x, y) = (samples(case, "x"), numbers(case, "y"));
        let options = RidgeOptions { l2: vec![number(case, "l2")], ..RidgeOptions::default() };
        let probe = RidgeProbe::fit(&x[..fit * d], d, &y[..fit * targets], targets, &options).unwrap();
        let found = probe.predict(&x[fit * d..]).unwrap();
        // Both solve the normal equations; their condition is at most (the features' variance, d)/λ = 8e4, and rounding 120·2⁻⁵².
        all_close(&found, &numbers(case, "predictions"), 1e-8);
        close(r2(&y[fit * targets..], &found, targets).unwrap(), number(case, "r2"), 1e-8);
    }
}

#[test]
fn principal_components_are_scikit_learns() {
    for case in cases("components") {
        let (d, fit, k) = (size(&case, "d"), size(&case, "fit"), size(&case, "components"));
        let x = samples(&case, "x");
        let pca = Pca::fit(&x[..fit * d], d).unwrap();
        let x = &x[fit * d..];
        let energy = x.iter().map(|v| f64::from(v * v)).sum::<f64>();
        // Eigenvectors turn by rounding over the gap of their eigenvalues: 50·2⁻⁵² over at least 1e-3 of the largest; f32 features.
        let features: Vec<f64> = pca.features(x, k).unwrap().iter().map(|v| f64::from(v.abs())).collect();
        let bound = energy.sqrt() * 2f64.powi(-22);
        all_close(&features, &numbers(&case, "magnitudes"), bound);
        let back: Vec<f64> = pca.reconstruct(x, k).unwrap().into_iter().map(f64::from).collect();
        all_close(&back, &numbers(&case, "reconstruction"), bound);
        let error = pca.mse(x, k).unwrap();
        close(error, number(&case, "mse"), 1e-10 * energy);
        let variance = sae_harness::eval::baseline::mean_mse(x, x, d).unwrap();
        close(explained_variance(error, variance), number(&case, "explained_variance"), 1e-9);
    }
}
