//! Every rung of the ladder computes the same product, and the ladder is the one that docs/KERNELS.md walks.

mod rungs;

use rungs::{Computes, Problem, RUNGS, check};

#[test]
fn every_rung_computes_the_same_product_to_the_last_bit() {
    for sizes in check::SIZES {
        check::products(&Problem::new(sizes)).unwrap_or_else(|wrong| panic!("at {sizes:?}: {wrong}"));
    }
}

#[test]
fn what_follows_the_product_is_the_same_in_the_tile_and_in_passes_of_its_own() {
    for sizes in check::SIZES {
        check::encodes(&Problem::new(sizes)).unwrap_or_else(|wrong| panic!("at {sizes:?}: {wrong}"));
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
        let row = format!("| {number} `{name}` | {what} | ");
        let (_, after) = rest.split_once(&row).unwrap_or_else(|| panic!("no row {row:?}, or not in this order"));
        assert_eq!(after.starts_with("1 |"), !rung.threads, "the threads of {name}");
        rest = after;
        assert!(text.contains(&format!("### {number}. `{name}`")), "no section about {name}");
    }
}
