//! The elementary functions against f64: a strided sweep on every run, and on request all 2³² inputs:
//!
//! ```text
//! cargo test --release -p sae-kernels --test ulp -- --ignored --nocapture --test-threads 1
//! ```

mod measure;
mod slices;
mod sweep;
mod table;

use sae_kernels::Isa;

use measure::error;
use sweep::{Sweep, fused};
use table::{Row, TABLE};

/// The value at one input.
fn at(row: &Row, isa: Isa, x: f32) -> f32 {
    let mut y = [0.0];
    (row.apply)(isa, &[x], &mut y).unwrap();
    y[0]
}

/// The table holds errors to four places: half of the last one, and the reference's own error, 2⁻²⁶ of a unit.
const TABLE_PRECISION: f64 = 0.5e-4 + 1.5e-8;

fn check(row: &Row, sweep: &Sweep) {
    assert_eq!(sweep.different, None, "{}: bits differ between instruction sets", row.name);
    for (isa, worst) in &sweep.worst {
        let claimed = if fused(*isa) { row.fused } else { row.unfused };
        let x = f32::from_bits(worst.input);
        let asked = if fused(*isa) { row.bound } else { f64::INFINITY };
        assert!(worst.error <= asked, "{} {isa}: {worst:x?} ({x:e}) is above {asked}", row.name);
        assert!(worst.error <= claimed.error + TABLE_PRECISION, "{} {isa}: {worst:x?} is above {claimed:x?}", row.name);
    }
    assert_eq!(sweep.turn, None, "{}: falls", row.name);
}

#[test]
fn errors_are_within_the_table_over_strided_inputs() {
    // A prime, so that every exponent and all low bits are met.
    const STRIDE: usize = 1021;
    let bits: Vec<u32> = (0..=u32::MAX).step_by(STRIDE).collect();
    for row in &TABLE {
        check(row, &Sweep::of(row, &bits));
    }
}

#[test]
fn errors_are_within_the_table_around_thresholds() {
    for row in &TABLE {
        let special = [0.0, 1.0, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN, 1.0 - f32::EPSILON];
        for x in row.thresholds.iter().copied().chain(special).flat_map(|x| [x, -x]) {
            let around = x.to_bits();
            let bits: Vec<u32> = (around.saturating_sub(4096)..around.saturating_add(4096)).collect();
            check(row, &Sweep::of(row, &bits));
        }
    }
}

#[test]
fn the_error_at_the_worst_input_is_the_tables() {
    for row in &TABLE {
        for isa in Isa::available() {
            let claimed = if fused(isa) { row.fused } else { row.unfused };
            let x = f32::from_bits(claimed.input);
            let found = error(at(row, isa, x), (row.exact)(f64::from(x)));
            assert!((found - claimed.error).abs() <= TABLE_PRECISION, "{} {isa} at {x:e}: {found}", row.name);
        }
    }
}

/// The number a text has behind `before` and up to `after`, of the last place where it has them.
fn stated(text: &str, before: &str, after: &str) -> f64 {
    let (_, rest) = text.rsplit_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    let (number, _) = rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} behind {before:?}"));
    number.trim().parse().unwrap_or_else(|_| panic!("{number:?} behind {before:?} is no number"))
}

/// What the documentation says is the table's, rounded up to three places.
#[test]
fn the_documentation_states_the_errors_of_the_table() {
    let (module, slices) = (include_str!("../../src/math/mod.rs"), include_str!("../../src/math/slice.rs"));
    let agrees = |stated: f64, worst: f64| stated >= worst && stated - worst < 1.1e-3;
    for Row { name, fused, unfused, .. } in &TABLE {
        let line = module.lines().find(|line| line.starts_with(&format!("//! | [`{name}`]"))).expect(name);
        let mut columns = line.rsplit('|').skip(1).map(|column| column.trim().parse::<f64>().expect("a number"));
        let (of_unfused, of_fused) = (columns.next().expect(name), columns.next().expect(name));
        assert!(agrees(of_fused, fused.error) && agrees(of_unfused, unfused.error), "{name}: {line}");
        let (before, _) = slices.split_once(&format!("with FMA.\n    {name}\n")).expect(name);
        let within = stated(&format!("{before}with FMA."), "/// Within ", "units in the last place");
        assert!(agrees(within, fused.error), "{name}: within {within}");
    }
}

/// Every input on every instruction set. Prints the table's rows.
fn all_inputs(name: &str) {
    let row = TABLE.iter().find(|row| row.name == name).expect("a name of the table");
    let sweep = Sweep::all(row);
    for (isa, worst) in &sweep.worst {
        let x = f32::from_bits(worst.input);
        println!("{name:<9} {isa:<9} {:.6} at {:#010x} ({x:e})", worst.error, worst.input);
    }
    println!("{name:<9} falls at {:x?}", sweep.turn);
    check(row, &sweep);
    for (isa, worst) in &sweep.worst {
        let claimed = if fused(*isa) { row.fused } else { row.unfused };
        assert!((worst.error - claimed.error).abs() <= TABLE_PRECISION, "{name} {isa}: the table says {claimed:x?}");
    }
    // The line that `make soak` records.
    let errors: Vec<_> = sweep.worst.iter().map(|(isa, worst)| format!("{isa}={:.4}", worst.error)).collect();
    println!("soak: cases={} faults=0 {name}: {}", sweep.worst.len() << 32, errors.join(" "));
}

macro_rules! all_inputs {
    ($($test:ident $name:literal)*) => {
        $(
            #[test]
            #[ignore = "minutes: all 2^32 inputs"]
            fn $test() {
                all_inputs($name);
            }
        )*
    };
}

all_inputs! {
    the_errors_of_exp_over_all_inputs_are_the_tables "exp"
    the_errors_of_log_over_all_inputs_are_the_tables "log"
    the_errors_of_sigmoid_over_all_inputs_are_the_tables "sigmoid"
    the_errors_of_tanh_over_all_inputs_are_the_tables "tanh"
    the_errors_of_log1p_over_all_inputs_are_the_tables "log1p"
    the_errors_of_softplus_over_all_inputs_are_the_tables "softplus"
}

#[test]
fn special_arguments_have_their_results() {
    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const TINY: f32 = 1e-45;
    let cases: [(&str, &[(f32, f32)]); 6] = [
        (
            "exp",
            &[(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (TINY, 1.0), (89.0, INF), (-103.97, TINY)],
        ),
        (
            "log",
            &[(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, NAN), (-TINY, NAN), (NAN, NAN)],
        ),
        ("sigmoid", &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN), (17.1, 1.0), (-103.97, TINY)]),
        ("tanh", &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (TINY, TINY), (-TINY, -TINY)]),
        (
            "log1p",
            &[(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN), (INF, INF), (-INF, NAN), (NAN, NAN), (-TINY, -TINY)],
        ),
        (
            "softplus",
            &[(INF, INF), (-INF, 0.0), (NAN, NAN), (100.0, 100.0), (-103.97, TINY), (0.0, std::f32::consts::LN_2)],
        ),
    ];
    for (row, (name, pairs)) in TABLE.iter().zip(cases) {
        assert_eq!(row.name, name);
        for isa in Isa::available() {
            for &(x, expected) in pairs {
                let y = at(row, isa, x);
                let same = y.to_bits() == expected.to_bits() || (y.is_nan() && expected.is_nan());
                assert!(same, "{name} {isa} at {x:e}: {y:e}, expected {expected:e}");
            }
        }
    }
}
