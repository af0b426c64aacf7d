//! What every rung has to compute.

use sae_kernels::ops::{Activation, Encode, Form, Gemm};
use sae_kernels::{Backend, Isa, MatMut, MatRef, Naive};

use super::{Computes, Problem, RUNGS};

/// m, k, n: tiles that are whole, that are not, and fewer rows than a tile has.
pub(crate) const SIZES: [[usize; 3]; 4] = [[48, 40, 128], [37, 129, 192], [5, 1, 64], [1, 300, 64]];

/// Every product has the same bits: those of three plain loops, one chain of fused multiply-adds an element, the definition
/// of correct.
///
/// # Errors
/// The first rung that has others.
pub(crate) fn products(problem: &Problem) -> Result<(), String> {
    let keeps_bits = Isa::detect().is_ok_and(Isa::keeps_bits);
    let expected = naive(problem, |a, b, c| {
        Naive.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: false }).expect("the operands have one shape");
    });
    let library = ["gemm", "panel_major"];
    for (name, found) in results(problem, Computes::Product) {
        // Where the library's multiply-adds round twice, a step: half a unit in the last place of a sum below 4 each, and one
        // on the other side.
        let bound = match keeps_bits || !library.contains(&name) {
            true => 0.0,
            false => 1.5 * problem.k as f32 * 4.0 * f32::EPSILON,
        };
        within(name, &found, &expected, bound)?;
    }
    Ok(())
}

/// What follows the product is the same in the tile and in passes of its own, and within the bound of the product above,
/// which a slope of at most ¼ takes to the result, and of what the sigmoids round: 2 units in the last place of 1 cover both.
///
/// # Errors
/// The first rung that is further off.
pub(crate) fn encodes(problem: &Problem) -> Result<(), String> {
    let expected = naive(problem, |x, w, h| {
        let (bias, activation) = (&problem.bias[..], Activation::Sigmoid);
        Naive
            .encode(Encode { x, w, bias, activation, threshold: None, h, col_sums: None })
            .expect("the operands have one shape");
    });
    let found = results(problem, Computes::Encode);
    let bound = (2.0 + 1.5 * problem.k as f32) * f32::EPSILON;
    for (name, result) in &found {
        within(name, result, &expected, bound)?;
        within(name, result, &found[0].1, 0.0)?;
    }
    Ok(())
}

/// The rungs that compute `what`, with their results.
fn results(problem: &Problem, what: Computes) -> Vec<(&'static str, Vec<f32>)> {
    let rungs = RUNGS.iter().filter(|rung| rung.computes == what);
    let result = rungs.map(|rung| {
        let mut run = (rung.start)(problem);
        // Nothing of a first run is left in a second.
        run.run();
        run.run();
        (rung.name, run.result())
    });
    result.collect()
}

fn naive(problem: &Problem, compute: impl Fn(MatRef<'_>, MatRef<'_>, MatMut<'_>)) -> Vec<f32> {
    const FITS: &str = "a matrix of this shape";
    let &Problem { m, k, n, ref a, ref b, .. } = problem;
    let mut c = vec![f32::NAN; m * n];
    let to = MatMut::row_major(&mut c, m, n).expect(FITS);
    compute(MatRef::row_major(a, m, k).expect(FITS), MatRef::row_major(b, k, n).expect(FITS), to);
    c
}

fn within(name: &str, found: &[f32], expected: &[f32], bound: f32) -> Result<(), String> {
    // A NaN is within no bound.
    let right = |(a, b): (&f32, &f32)| (a - b).abs() <= bound;
    let wrong = found.iter().zip(expected).position(|pair| !right(pair));
    match (wrong, found.len() == expected.len()) {
        (None, true) => Ok(()),
        (Some(i), true) => {
            Err(format!("{name}: element {i} is {}, expected {} within {bound:e}", found[i], expected[i]))
        }
        (_, false) => Err(format!("{name}: {} elements, expected {}", found.len(), expected.len())),
    }
}
