//! Every rung of the ladder computes the same product, and the ladder is the one that docs/KERNELS.md walks.

mod rungs;

use rungs::{Computes, Problem, RUNGS};
use sae_kernels::ops::{Activation, Encode, Form, Gemm};
use sae_kernels::{Backend, Isa, MatMut, MatRef, Naive};

/// Tiles that are whole, that are not, and fewer rows than a tile has.
const SIZES: [[usize; 3]; 4] = [[48, 40, 128], [37, 129, 192], [5, 1, 64], [1, 300, 64]];

/// Three plain loops, one chain of fused multiply-adds an element: the definition of correct.
fn expected(p: &Problem) -> Vec<f32> {
    let mut c = vec![f32::NAN; p.m * p.n];
    let a = MatRef::row_major(&p.a, p.m, p.k).unwrap();
    let b = MatRef::row_major(&p.b, p.k, p.n).unwrap();
    let to = MatMut::row_major(&mut c, p.m, p.n).unwrap();
    Naive.gemm(Gemm { form: Form::Nn, a, b, c: to, accumulate: false }).unwrap();
    c
}

#[test]
fn every_rung_computes_the_same_product_to_the_last_bit() {
    let keeps_bits = Isa::detect().unwrap().keeps_bits();
    for sizes in SIZES {
        let problem = Problem::new(sizes);
        let expected = expected(&problem);
        let library = ["gemm", "panel_major"];
        for rung in RUNGS.iter().filter(|rung| rung.computes == Computes::Product) {
            let mut run = (rung.start)(&problem);
            // Nothing of a first run is left in a second.
            run.run();
            run.run();
            let found = run.result();
            if keeps_bits || !library.contains(&rung.name) {
                assert!(found == expected, "{} at {sizes:?}", rung.name);
                continue;
            }
            // Two roundings a step on one side and one on the other, each half a unit in the last place of a sum below 4.
            let bound = 1.5 * problem.k as f32 * 4.0 * f32::EPSILON;
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= bound), "{} at {sizes:?}", rung.name);
        }
    }
}

/// Against the definition within the bound of the product above, which a slope of at most ¼ takes to the result, and what
/// the sigmoids round: 2 units in the last place of 1 cover both.
#[test]
fn what_follows_the_product_is_the_same_in_the_tile_and_in_passes_of_its_own() {
    for sizes in SIZES {
        let problem = Problem::new(sizes);
        let Problem { m, k, n, ref a, ref b, ref bias } = problem;
        let mut expected = vec![f32::NAN; m * n];
        let op = Encode {
            x: MatRef::row_major(a, m, k).unwrap(),
            w: MatRef::row_major(b, k, n).unwrap(),
            bias,
            activation: Activation::Sigmoid,
            h: MatMut::row_major(&mut expected, m, n).unwrap(),
            col_sums: None,
        };
        Naive.encode(op).unwrap();
        let rungs = RUNGS.iter().filter(|rung| rung.computes == Computes::Encode);
        let found: Vec<_> = rungs
            .map(|rung| {
                let mut run = (rung.start)(&problem);
                run.run();
                run.result()
            })
            .collect();
        assert!(found.len() == 2 && found[0] == found[1], "at {sizes:?}");
        let bound = (2.0 + 1.5 * k as f32) * f32::EPSILON;
        assert!(found[0].iter().zip(&expected).all(|(a, b)| (a - b).abs() <= bound), "at {sizes:?}");
    }
}

#[test]
fn the_step_goes_down() {
    let problem = Problem::new([48, 40, 64]);
    let rung = RUNGS.iter().find(|rung| rung.computes == Computes::Step).unwrap();
    let mut run = (rung.start)(&problem);
    run.run();
    let first = run.result()[0];
    for _ in 0..50 {
        run.run();
    }
    assert!(run.result()[0] < first, "{first} {}", run.result()[0]);
}

#[test]
fn the_documentation_walks_every_rung() {
    let text = include_str!("../../docs/KERNELS.md");
    let mut rest = text;
    for (number, rung) in (1..).zip(&RUNGS) {
        let (name, what) = (rung.name, rung.what);
        let row = format!("| {number} `{name}` | {what} |");
        let (_, after) = rest.split_once(&row).unwrap_or_else(|| panic!("no row {row:?}, or not in this order"));
        rest = after;
        assert!(text.contains(&format!("### {number}. `{name}`")), "no section about {name}");
    }
}
