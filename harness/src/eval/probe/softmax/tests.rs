use super::*;

/// Values in [0, 1), unalike.
fn data(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0).collect()
}

/// The class is that of the largest of the first three of `d` features, with every `wrong`th another.
fn labelled(n: usize, d: usize, wrong: usize) -> (Vec<f32>, Vec<i64>) {
    let x = data(n * d);
    let rows = x.chunks_exact(d).enumerate();
    let of = |row: &[f32]| (1..3).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    let labels = rows.map(|(i, row)| [-5, 7, 40][(of(row) + usize::from(i % wrong == 0)) % 3]).collect();
    (x, labels)
}

#[test]
fn gradient_and_curvature_are_the_derivatives_of_the_value() {
    let (x, labels) = labelled(200, 5, 4);
    let scale = Scale::fit(&x, 5, true).unwrap();
    let truth = numbers(&[-5, 7, 40], &labels);
    let mut objective = Objective::new(scale.of(&x).unwrap(), &truth, 3, 0.1, None);
    let at: Vec<f64> = (0..18).map(|i| ((i * 5) % 7) as f64 / 7.0 - 0.4).collect();
    let along: Vec<f64> = (0..18).map(|i| ((i * 3) % 5) as f64 / 5.0 - 0.3).collect();
    let moved = |by: f64| at.iter().zip(&along).map(|(a, v)| a + by * v).collect::<Vec<_>>();
    let (mut g, mut before, mut after, mut product) = (vec![0.0; 18], vec![0.0; 18], vec![0.0; 18], vec![0.0; 18]);
    let h = 1e-5;
    let low = objective.value(&moved(-h), &mut before);
    let high = objective.value(&moved(h), &mut after);
    objective.value(&at, &mut g);
    objective.curvature(&along, &mut product);
    // Central differences: h²/6 times the third derivative along a direction of length about 1 (below 1 for a softmax of scaled features),
    // and the rounding of values near 1 over 2h: 1e-11 and 2e-11.
    let slope: f64 = g.iter().zip(&along).map(|(g, v)| g * v).sum();
    assert!(((high - low) / (2.0 * h) - slope).abs() <= 1e-9, "{slope}");
    for ((after, before), product) in after.iter().zip(&before).zip(&product) {
        assert!(((after - before) / (2.0 * h) - product).abs() <= 1e-9, "{product}");
    }
}

#[test]
fn a_fitted_probe_is_where_the_gradient_vanishes_and_tells_classes_it_has_not_seen_rows_of() {
    let (x, labels) = labelled(600, 5, 7);
    let options = SoftmaxOptions { l2: vec![1e-3], tolerance: 1e-10, ..SoftmaxOptions::default() };
    let probe = SoftmaxProbe::fit(&x[..2000], 5, &labels[..400], &options).unwrap();
    assert!(probe.converged() && probe.classes() == [-5, 7, 40]);
    let p = probe.probabilities(&x).unwrap();
    assert!(p.chunks_exact(3).all(|row| (row.iter().sum::<f64>() - 1.0).abs() <= 4.0 * f64::EPSILON));
    let score = probe.score(&x[2000..], &labels[400..]).unwrap();
    // A seventh of the labels is another's.
    assert!(score.accuracy > 0.8 && score.accuracy < 6.0 / 7.0 + 0.02, "{score:?}");
    // What it has learned is the rule behind them: rows without a wrong label are missed only where two features are nearly equal.
    let clean = labelled(600, 5, usize::MAX).1;
    let score = probe.score(&x[2000..], &clean[400..]).unwrap();
    assert!(score.accuracy > 0.9 && score.macro_f1 > 0.9 && score.auc.unwrap() > 0.98, "{score:?}");
    let unseen = probe.score(&x[..10], &[99, 98]).unwrap();
    assert_eq!((unseen.accuracy, unseen.confusion.rows().count(), unseen.auc), (0.0, 5, None));
}

#[test]
fn the_minimum_is_where_it_is_without_the_features_spectrum() {
    // Features that depend on each other: each row of five, and their sums with the next.
    let (x, labels) = labelled(400, 5, 5);
    let both =
        |row: &[f32]| (0..5).map(|i| row[i]).chain((0..5).map(|i| row[i] + row[(i + 1) % 5])).collect::<Vec<_>>();
    let x: Vec<f32> = x.chunks_exact(5).flat_map(both).collect();
    let scale = Scale::fit(&x, 10, true).unwrap();
    let (design, truth) = (scale.of(&x).unwrap(), numbers(&[-5, 7, 40], &labels));
    let spectrum = Spectrum::of(design).unwrap();
    let minimum = |spectrum| {
        let mut w = vec![0.0; 33];
        let stop = Stop { tolerance: 1e-11, steps: 100 };
        assert!(minimise(&mut Objective::new(design, &truth, 3, 1e-2, spectrum), &mut w, stop));
        w
    };
    let (with, without) = (minimum(Some(&spectrum)), minimum(None));
    // The gradients are below 1e-11 in 30 weights, whose curvature is at least λ; biases are free up to what all have in common.
    assert!(with[..30].iter().zip(&without).all(|(a, b)| (a - b).abs() <= 1e-11 * 60f64.sqrt() / 1e-2));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, labels) = labelled(3000, 5, 5);
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| SoftmaxProbe::fit(&x, 5, &labels, &SoftmaxOptions::default()).unwrap())
    };
    let (one, four) = (fit(1), fit(4));
    assert_eq!((one.w, one.l2), (four.w, four.l2));
}

#[test]
fn the_strength_is_chosen_by_rows_held_out() {
    // Forty features that say nothing, for eighty rows: without regularisation the probe learns the rows by heart.
    let (x, labels) = labelled(80, 40, 1000);
    let options = SoftmaxOptions { l2: vec![1e-6, 1e-1, 1e3], ..SoftmaxOptions::default() };
    let probe = SoftmaxProbe::fit(&x, 40, &labels, &options).unwrap();
    let (fit, judge) = held_out(80, 0).unwrap();
    let right = |l2: f64| {
        let options = SoftmaxOptions { l2: vec![l2], ..SoftmaxOptions::default() };
        let probe = SoftmaxProbe::fit(&gather(&x, 40, &fit), 40, &gather(&labels, 1, &fit), &options).unwrap();
        probe.score(&gather(&x, 40, &judge), &gather(&labels, 1, &judge)).unwrap().accuracy
    };
    let best = options.l2.iter().map(|&l2| right(l2)).fold(0.0, f64::max);
    assert_eq!(right(probe.l2()), best);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let options = SoftmaxOptions::default();
    let fit = |x: &[f32], labels: &[i64]| SoftmaxProbe::fit(x, 2, labels, &options).unwrap_err().to_string();
    assert_eq!(fit(&[1.0; 4], &[1, 2, 3]), "labels: length is 3, expected one a row, 2");
    assert_eq!(fit(&[1.0; 4], &[3, 3]), "classes is 1, expected at least 2");
    assert!(fit(&[1.0, f32::NAN, 0.0, 0.0], &[1, 2]).contains("NaN"));
    assert!(fit(&[1.0; 3], &[1]).contains("multiple of 2"));
    let none = SoftmaxOptions { l2: vec![], ..options.clone() };
    assert!(SoftmaxProbe::fit(&[1.0; 4], 2, &[1, 2], &none).is_err());
    let negative = SoftmaxOptions { l2: vec![-1.0], ..options };
    assert!(SoftmaxProbe::fit(&[1.0; 4], 2, &[1, 2], &negative).is_err());
}
