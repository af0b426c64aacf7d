//! The k-loop of each hot kernel is what it is meant to be: no stack, and as many multiply-adds and loads as its tile
//! needs. And no intrinsic is a function that is called.
//!
//! `make asm-check` has the compiler write the library's assembly and runs the ignored test on it. Hot are the tallest
//! kernels of each width, with strides fixed when they were compiled: they do nearly all the work of any larger product.

mod listing;

use std::collections::BTreeMap;

use listing::{Counts, Kernel, kernels, outlined};

/// `UNROLL` of `gemm/kernel.rs`: steps of k in a round of the loop.
const UNROLL: usize = 4;
/// Names the file with the assembly.
const VARIABLE: &str = "SAE_ASM";
/// Tiles of 1 up to this many vectors there are, for an instruction set.
const WIDTHS: [(&str, usize); 2] = [("Avx512", 4), ("Avx2", 2)];

/// What one round of a kernel's loop has to do.
fn expected(kernel: Kernel) -> Counts {
    let Kernel { nv, mr, .. } = kernel;
    Counts { fmas: mr * nv * UNROLL, loads: nv * UNROLL, broadcasts: mr * UNROLL, stack: 0, ..Counts::default() }
}

/// The tallest kernel of each instruction set, width and form, of those with fixed strides.
fn hot(listing: &str) -> Vec<(Kernel, Option<Counts>)> {
    let mut tallest = BTreeMap::new();
    for (kernel, counts) in kernels(listing).into_iter().filter(|(kernel, _)| kernel.panel > 0) {
        let best = tallest.entry((kernel.isa, kernel.nv, kernel.tn)).or_insert((kernel, counts));
        if kernel.mr > best.0.mr {
            *best = (kernel, counts);
        }
    }
    tallest.into_values().collect()
}

/// A table of the hot kernels, and a line for everything that is not as it should be.
fn check(listing: &str) -> (String, Vec<String>) {
    let hot = hot(listing);
    let mut table = format!(
        "{:<8}{:>6}{:>6}{:>8}{:>8}{:>12}{:>8}{:>14}\n",
        "isa", "tile", "form", "FMAs", "loads", "broadcasts", "stack", "instructions"
    );
    let mut wrong = Vec::new();
    for (isa, width) in WIDTHS {
        for (nv, tn) in (1..=width).flat_map(|nv| [(nv, false), (nv, true)]) {
            let form = if tn { "TN" } else { "NN" };
            let Some(&(kernel, counts)) = hot.iter().find(|(k, _)| (k.isa, k.nv, k.tn) == (isa, nv, tn)) else {
                wrong.push(format!("{isa}, {nv} vectors wide, {form}: no such kernel in the assembly"));
                continue;
            };
            let name = format!("{}x{nv}", kernel.mr);
            let Some(found) = counts else {
                wrong.push(format!("{isa} {name} {form}: no loop with multiply-adds"));
                continue;
            };
            let Counts { fmas, loads, broadcasts, stack, instructions } = found;
            table +=
                &format!("{isa:<8}{name:>6}{form:>6}{fmas:>8}{loads:>8}{broadcasts:>12}{stack:>8}{instructions:>14}\n");
            let expected = expected(kernel);
            let differences: Vec<String> = [
                ("multiply-adds", fmas, expected.fmas),
                ("vector loads", loads, expected.loads),
                ("broadcasts", broadcasts, expected.broadcasts),
                ("accesses to the stack", stack, expected.stack),
            ]
            .into_iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(what, found, expected)| format!("{found} {what} a round, expected {expected}"))
            .collect();
            if !differences.is_empty() {
                wrong.push(format!("{isa} {name} {form}: {}", differences.join("; ")));
            }
        }
    }
    wrong.extend(outlined(listing).into_iter().map(|name| format!("{name} is called, and should be an instruction")));
    (table, wrong)
}

#[test]
#[ignore = "needs the library's assembly: run `make asm-check`"]
fn the_k_loop_of_each_hot_kernel_touches_no_stack_and_does_what_its_tile_needs() {
    let path = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `make asm-check`"));
    let listing = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{VARIABLE}={path}: {e}"));
    let (table, wrong) = check(&listing);
    println!("{table}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn an_intrinsic_that_is_called_is_seen() {
    let listing = "_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps:\n\tvaddps\n\
                   _RNvNtNtNtCs1_4core9core_arch3x865xsave7__xgetbv:\n\txgetbv\n\
                   _RNvCs1_11sae_kernels3add:\n\tcallq\t_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps\n";
    assert_eq!(outlined(listing), ["_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps"]);
}

#[test]
fn what_is_wrong_with_a_kernel_is_one_line() {
    // Both 1x1 kernels of a set that has no others: right but for the broadcasts, and without its loop.
    let name = |tn: u8| format!("_R_4Avx2_9vectorize5inner_6kernel4TileKj1_Kj1_Kb{tn}_Kj10_E:\n");
    let round = "\tvmovups\t(%rsi), %ymm1\n\tvfmadd231ps\t%ymm1, %ymm2, %ymm0\n".repeat(UNROLL);
    let listing = format!("{}.L1:\n{round}\tjne\t.L1\n{}\tretq\n", name(0), name(1));
    let (table, wrong) = check(&listing);
    assert_eq!(table.lines().count(), 2, "{table}");
    let avx2: Vec<_> = wrong.iter().filter(|line| line.starts_with("Avx2")).collect();
    assert_eq!(
        avx2,
        [
            "Avx2 1x1 NN: 0 broadcasts a round, expected 4",
            "Avx2 1x1 TN: no loop with multiply-adds",
            "Avx2, 2 vectors wide, NN: no such kernel in the assembly",
            "Avx2, 2 vectors wide, TN: no such kernel in the assembly",
        ]
    );
    assert_eq!(wrong.len() - avx2.len(), 8, "{wrong:?}");
}
