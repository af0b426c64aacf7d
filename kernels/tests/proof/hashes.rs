//! The bits themselves: a table of hashes of results, the same on every machine whose instruction set keeps them.
//!
//! Every operation at a few shapes, from numbers that are drawn without floating-point functions, and the training runs
//! of `support::training`. A row changes where an operation's arithmetic does, and only there. To print the table:
//!
//! ```text
//! cargo test -p sae-kernels --test proof -- --ignored --nocapture print_the_table
//! ```

mod table;

use sae_kernels::ops::{Rule, TopK, UpdateVector};
use sae_kernels::step::Selection;
use sae_kernels::{Backend, Error, Fused, Isa, Layout, Matrix, math};

use crate::support::{Case, Data, Op, Places, Storage, run, training};

/// FNV-1a over the bytes of words (Fowler, Noll, Vo).
fn fnv(words: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = words.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Each row's name and hash on one instruction set.
fn rows(isa: Isa) -> Vec<(String, u64)> {
    let mut fused = Fused::with_isa(isa).unwrap();
    let panel = fused.panel().unwrap();
    let mut rows = Vec::new();
    for op in Op::all() {
        let mut words = Vec::new();
        for (seed, shape) in [[1, 1, 1], [7, 19, 5], [53, 70, 33], [17, 9, 2500]].into_iter().enumerate() {
            let case = Case { batch: 2, ..Case::new(op, shape) };
            let data = Data::random(&case, seed as u64);
            for (_, bits) in run(&mut fused, &case, &data, &Places::all(Storage::Panel(panel))).bits() {
                words.extend(bits);
            }
        }
        rows.push((format!("{op:?}"), fnv(words)));
    }
    rows.extend(Rule::all().map(|rule| (format!("UpdateVector {{ rule: {rule:?} }}"), fnv(vector(&mut fused, rule)))));
    let mut sum = [0.0];
    fused.sum_of_squares(numbers(7, 101, 131).view(), &mut sum).unwrap();
    rows.push(("sum_of_squares".to_owned(), fnv(sum.map(f64::to_bits))));
    rows.push(("top_k".to_owned(), fnv(largest(&mut fused))));
    for (name, function) in SLICES {
        // Every 60,013th pattern of bits: all exponents, both signs. Which NaN a NaN gives is the processor's choice.
        let x: Vec<f32> = (0..=u32::MAX).step_by(60_013).map(f32::from_bits).collect();
        let mut y = vec![0.0; x.len()];
        function(isa, &x, &mut y).unwrap();
        rows.push((name.to_owned(), fnv(y.iter().map(|y| if y.is_nan() { u64::MAX } else { u64::from(y.to_bits()) }))));
    }
    for setup in training::setups() {
        let mut name = format!("30 steps: {:?}, {:?}, {}", setup.hidden, setup.loss, setup.rule.name());
        if setup.selection != Selection::All || setup.dropout.is_some() {
            name += &format!(", {}", setup.selection.name());
        }
        rows.push((name, fnv(training::run(&mut fused, Some(panel), &setup))));
    }
    rows
}

type Slice = fn(Isa, &[f32], &mut [f32]) -> Result<(), Error>;
const SLICES: [(&str, Slice); 6] = [
    ("exp", math::exp),
    ("log", math::log),
    ("sigmoid", math::sigmoid),
    ("tanh", math::tanh),
    ("log1p", math::log1p),
    ("softplus", math::softplus),
];

/// The words of an update's results, of a length that is no multiple of any vector.
fn vector(fused: &mut Fused, rule: Rule) -> Vec<u64> {
    let case = Case::new(Op::Store, [1, 1009, 1]);
    let mut data = Data::random(&case, 5);
    let hyper = &[data.hyper(rule)];
    let (w, grad) = (&mut data.third, &data.vector);
    let (m, v) = (Some(data.first_moment.as_mut_slice()), Some(data.second_moment.as_mut_slice()));
    fused.update_vector(UpdateVector { hyper, w, grad, m, v }).unwrap();
    let all = [data.third, data.first_moment, data.second_moment];
    all.iter().flatten().map(|x| u64::from(x.to_bits())).collect()
}

/// The words of what stays of random rows, and of its sums.
fn largest(fused: &mut Fused) -> Vec<u64> {
    let (mut h, mut sums) = (numbers(8, 101, 131), vec![0.0; 131]);
    fused.top_k(TopK { k: &[17], h: h.view_mut(), col_sums: Some(&mut sums) }).unwrap();
    h.to_row_major().iter().chain(&sums).map(|x| u64::from(x.to_bits())).collect()
}

/// A matrix of random numbers.
fn numbers(seed: u64, rows: usize, cols: usize) -> Matrix {
    let data = Data::random(&Case::new(Op::Store, [rows, cols, 1]), seed);
    Matrix::from_row_major(&data.third, Layout::row_major(rows, cols)).unwrap()
}

#[test]
fn results_have_the_bits_of_the_table_on_every_instruction_set_that_keeps_them() {
    for isa in Isa::available().into_iter().filter(|isa| isa.keeps_bits()) {
        let found = rows(isa);
        assert_eq!(found.len(), table::TABLE.len(), "{isa}: one row for each operation and each training run");
        for ((name, found), (row, expected)) in found.iter().zip(table::TABLE) {
            assert_eq!((name.as_str(), *found), (row, expected), "{isa}");
        }
    }
}

/// As the table has it: groups of four digits.
fn separated(hash: u64) -> String {
    let [a, b, c, d] = [48, 32, 16, 0].map(|shift| hash >> shift & 0xffff);
    format!("0x{a:04x}_{b:04x}_{c:04x}_{d:04x}")
}

#[test]
#[ignore = "prints the table that another test asserts"]
fn print_the_table() {
    let isa = Isa::available().into_iter().find(|isa| isa.keeps_bits()).expect("an instruction set that keeps bits");
    for (name, hash) in rows(isa) {
        println!("    ({name:?}, {}),", separated(hash));
    }
}
