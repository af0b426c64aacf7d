//! What filters look like, in numbers: how localised they are, and how well a Gabor function fits them.

use std::f64::consts::PI;

/// The largest share of the filter's energy `Σw²` in a square window of half the height and width. Energy that is spread evenly
/// has 0.25; a filter that is 0 outside a quarter of its area has 1.
pub fn localisation(filter: &[f32], (height, width): (usize, usize)) -> f64 {
    let energy = |row: usize, col: usize| f64::from(filter[row * width + col]).powi(2);
    let total: f64 = filter.iter().map(|&w| f64::from(w).powi(2)).sum();
    let (tall, wide) = (height.div_ceil(2), width.div_ceil(2));
    let mut best: f64 = 0.0;
    for top in 0..=height - tall {
        for left in 0..=width - wide {
            let rows = top..top + tall;
            best = best.max(
                rows.flat_map(|row| (left..left + wide).map(move |col| (row, col))).map(|(r, c)| energy(r, c)).sum(),
            );
        }
    }
    if total > 0.0 { best / total } else { 0.0 }
}

/// R² of the best Gabor function that is found for a filter: `1 − Σ(w − g)²/Σ(w − mean w)²`, with
///
/// ```text
/// g(x, y) = (a·cos(2πf·u) + b·sin(2πf·u))·exp(−u²/2σ_u² − v²/2σ_v²)
/// u = (x − x₀)·cos θ + (y − y₀)·sin θ,   v = (y − y₀)·cos θ − (x − x₀)·sin θ
/// ```
///
/// The two amplitudes follow from the other six by linear least squares; those are looked for by Nelder and Mead's simplex from
/// a grid of orientations and frequencies around the filter's centre of energy. A better one may exist: R² is a lower bound.
pub fn gabor_r2(filter: &[f32], (height, width): (usize, usize)) -> f64 {
    let w: Vec<f64> = filter.iter().map(|&v| f64::from(v)).collect();
    let mean = w.iter().sum::<f64>() / w.len() as f64;
    let spread: f64 = w.iter().map(|v| (v - mean).powi(2)).sum();
    if spread == 0.0 {
        return 0.0;
    }
    let total: f64 = w.iter().map(|v| v * v).sum();
    let centre = |along: &dyn Fn(usize) -> usize| {
        w.iter().enumerate().map(|(i, v)| v * v * along(i) as f64).sum::<f64>() / total
    };
    let (x0, y0) = (centre(&|i| i % width), centre(&|i| i / width));
    let side = height.min(width) as f64;
    let sse = |p: &[f64; 6]| residual(&w, width, p);
    let mut best = f64::INFINITY;
    let mut starts: Vec<(f64, [f64; 6])> = Vec::new();
    for turn in 0..8 {
        for f in [0.05, 0.1, 0.18, 0.28] {
            for sigma in [side / 8.0, side / 4.0] {
                let start = [x0, y0, PI * f64::from(turn) / 8.0, f, sigma.ln(), sigma.ln()];
                starts.push((sse(&start), start));
            }
        }
    }
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, start) in starts.iter().take(6) {
        best = best.min(simplex(&sse, *start, [side / 8.0, side / 8.0, 0.3, 0.04, 0.3, 0.3]));
    }
    1.0 - best / spread
}

/// Σ(w − g)² with the best amplitudes, for `[x₀, y₀, θ, f, ln σ_u, ln σ_v]`. Frequencies beyond half a cycle a pixel, and
/// envelopes narrower than half a pixel or wider than the filter, are none.
fn residual(w: &[f64], width: usize, &[x0, y0, theta, f, log_u, log_v]: &[f64; 6]) -> f64 {
    let side = (w.len() / width).max(width) as f64;
    let within = |log: f64| (0.5f64.ln()..=side.ln()).contains(&log);
    if !(0.0..=0.5).contains(&f) || !within(log_u) || !within(log_v) {
        return f64::INFINITY;
    }
    let (sin, cos) = theta.sin_cos();
    let (su, sv) = (2.0 * (2.0 * log_u).exp(), 2.0 * (2.0 * log_v).exp());
    let (mut cc, mut cs, mut ss, mut wc, mut ws, mut ww) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, &value) in w.iter().enumerate() {
        let (x, y) = ((i % width) as f64 - x0, (i / width) as f64 - y0);
        let (u, v) = (x * cos + y * sin, y * cos - x * sin);
        let envelope = (-u * u / su - v * v / sv).exp();
        let (s, c) = (2.0 * PI * f * u).sin_cos();
        let (s, c) = (s * envelope, c * envelope);
        cc += c * c;
        cs += c * s;
        ss += s * s;
        wc += value * c;
        ws += value * s;
        ww += value * value;
    }
    let det = cc * ss - cs * cs;
    let explained = if det > 1e-9 * cc * ss.max(1e-12) {
        let (a, b) = ((wc * ss - ws * cs) / det, (ws * cc - wc * cs) / det);
        a * wc + b * ws
    } else if cc > 0.0 {
        wc * wc / cc
    } else {
        0.0
    };
    ww - explained
}

/// The smallest value that Nelder and Mead's simplex finds ("A simplex method for function minimization", 1965).
fn simplex(f: &impl Fn(&[f64; 6]) -> f64, start: [f64; 6], scale: [f64; 6]) -> f64 {
    const STEPS: usize = 400;
    let mut points: Vec<([f64; 6], f64)> = vec![(start, f(&start))];
    for i in 0..6 {
        let mut point = start;
        point[i] += scale[i];
        points.push((point, f(&point)));
    }
    for _ in 0..STEPS {
        points.sort_by(|a, b| a.1.total_cmp(&b.1));
        let worst = points[6];
        let mut centre = [0.0; 6];
        for (point, _) in &points[..6] {
            centre.iter_mut().zip(point).for_each(|(c, p)| *c += p / 6.0);
        }
        let at = |by: f64| {
            let mut point = centre;
            point.iter_mut().zip(&worst.0).for_each(|(p, w)| *p += by * (*p - w));
            (point, f(&point))
        };
        let reflected = at(1.0);
        let new = if reflected.1 < points[0].1 {
            let further = at(2.0);
            if further.1 < reflected.1 { further } else { reflected }
        } else if reflected.1 < points[5].1 {
            reflected
        } else {
            let nearer = if reflected.1 < worst.1 { at(0.5) } else { at(-0.5) };
            if nearer.1 < worst.1.min(reflected.1) {
                nearer
            } else {
                let best = points[0].0;
                for (point, value) in &mut points[1..] {
                    point.iter_mut().zip(&best).for_each(|(p, b)| *p = b + 0.5 * (*p - b));
                    *value = f(point);
                }
                continue;
            }
        };
        points[6] = new;
    }
    points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min)
}

/// The middle one of `values`, or the mean of the two in the middle; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Stream, rng, uniform};

    /// A Gabor function and noise of so many times its amplitude.
    fn gabor(theta: f64, f: f64, phase: f64, noise: f64) -> Vec<f32> {
        let mut rng = rng(1, Stream::Noise);
        let (sin, cos) = theta.sin_cos();
        let value = |i: usize| {
            let (x, y) = ((i % 8) as f64 - 3.2, (i / 8) as f64 - 4.1);
            let (u, v) = (x * cos + y * sin, y * cos - x * sin);
            (-u * u / 6.0 - v * v / 12.0).exp() * (2.0 * PI * f * u + phase).cos()
        };
        (0..64).map(|i| (value(i) + noise * (2.0 * uniform(&mut rng) - 1.0)) as f32).collect()
    }

    #[test]
    fn gabor_functions_are_fitted_and_noise_is_not() {
        for theta in [0.1, 0.9, 2.0, 3.0] {
            for f in [0.08, 0.15, 0.25] {
                for phase in [0.0, 1.0, 2.5] {
                    let r2 = gabor_r2(&gabor(theta, f, phase, 0.0), (8, 8));
                    assert!(r2 > 0.99, "{theta} {f} {phase}: {r2}");
                }
            }
        }
        let noise: Vec<f64> = (0..10)
            .map(|i| {
                let mut rng = rng(i, Stream::Samples);
                let filter: Vec<f32> = (0..64).map(|_| (uniform(&mut rng) - 0.5) as f32).collect();
                gabor_r2(&filter, (8, 8))
            })
            .collect();
        // Eight numbers fitted to 64 of noise explain an eighth of it by chance, and the search takes the best of many.
        assert!(noise.iter().all(|r2| *r2 < 0.6), "{noise:?}");
        assert!(gabor_r2(&gabor(0.5, 0.15, 0.0, 0.5), (8, 8)) < gabor_r2(&gabor(0.5, 0.15, 0.0, 0.1), (8, 8)));
        assert_eq!(gabor_r2(&[1.0; 64], (8, 8)), 0.0);
    }

    #[test]
    fn localisation_is_a_quarter_for_even_energy_and_1_for_a_corner() {
        assert_eq!(localisation(&[2.0; 64], (8, 8)), 0.25);
        let mut corner = [0.0; 64];
        corner[..4].fill(1.0);
        assert_eq!(localisation(&corner, (8, 8)), 1.0);
        corner[63] = 2.0;
        assert_eq!(localisation(&corner, (8, 8)), 0.5);
        assert_eq!(localisation(&[0.0; 6], (2, 3)), 0.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0])), (2.0, 2.5));
        assert!(median(&[]).is_nan());
    }
}
