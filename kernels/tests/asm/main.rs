//! The k-loop of each hot kernel is what it is meant to be: no stack, and as many multiply-adds and loads as its tile
//! needs. And no intrinsic is a function that is called.
//!
//! `make asm-check` has the compiler write the library's assembly, for x86-64 and 64-bit Arm, and runs the ignored test on it. Hot
//! are the tallest kernels of each width: they do nearly all the work of any larger product. Those whose strides were fixed when they were
//! compiled touch no stack at all; those for any strides have more addresses than registers for them, and may read such a
//! number from it, but no vector. So may those that pack `b` on the way and those that take an optimiser's step on the tile
//! before, which have a second loop for both.

mod listing;
mod machine;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use listing::{Counts, Kernel, Kind, kernels, outlined};
use machine::{Isa, Machine};

/// `UNROLL` of `gemm/walk.rs`: steps of k in a round of the loop.
const UNROLL: usize = 4;
/// Names the folder with the assembly of each architecture: `x86_64.s`, `aarch64.s`.
const VARIABLE: &str = "SAE_ASM";

/// What one round of a kernel's loop has to do of which `found` was found. A round of one whose sums are pinned, because its
/// instruction set `pins` them or because it packs or has a tail, may be fewer steps: the compiler does not always write out four.
fn expected(kernel: Kernel, pins: bool, found: &Counts) -> Counts {
    let Kernel { mr, kind, .. } = kernel;
    let nv = kernel.nv + usize::from(kind.has_tail());
    let pinned = pins || kind == Kind::Packing || kind.has_tail();
    let steps = if pinned { (found.fmas / (mr * nv)).clamp(1, UNROLL) } else { UNROLL };
    // A whole round copies a vector.
    let copies = usize::from(kind == Kind::Packing && steps == UNROLL);
    Counts { fmas: mr * nv * steps, loads: nv * steps + copies, broadcasts: mr * steps, ..Counts::default() }
}

/// What one round of its loop has to do in which a step of Adam's on a vector goes with half as many steps of k. How Adam's
/// numbers are read is left to the compiler.
fn expected_deferring(kernel: Kernel) -> Counts {
    let Kernel { nv, mr, .. } = kernel;
    // The gradient with the decay, the first moment, the square and the second one, the divisor and the weights.
    let fmas = mr * nv * UNROLL / 2 + 6;
    // The gradient, both moments, and the weights twice.
    let loads = nv * UNROLL / 2 + 5;
    Counts { fmas, loads, roots: 1, ..Counts::default() }
}

/// The tallest kernel of each instruction set, width, form and kind.
fn hot(machine: Machine, listing: &str) -> Vec<(Kernel, Vec<Counts>)> {
    let mut tallest = BTreeMap::new();
    for (kernel, loops) in kernels(machine, listing) {
        match tallest.entry((kernel.isa, kernel.nv, kernel.tn, kernel.kind)) {
            Entry::Vacant(place) => _ = place.insert((kernel, loops)),
            Entry::Occupied(mut place) if kernel.mr > place.get().0.mr => _ = place.insert((kernel, loops)),
            Entry::Occupied(_) => {}
        }
    }
    tallest.into_values().collect()
}

/// What is not as it should be, each with its number.
fn differences<const N: usize>(counts: [(&str, usize, usize); N]) -> Option<String> {
    let wrong = counts.into_iter().filter(|(_, found, expected)| found != expected);
    let lines: Vec<_> =
        wrong.map(|(what, found, expected)| format!("{found} {what} a round, expected {expected}")).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// A table of the hot kernels, and a line for everything that is not as it should be.
fn check(machine: Machine, listing: &str) -> (String, Vec<String>) {
    let hot = hot(machine, listing);
    let mut table = format!(
        "{:<8}{:>6}{:>6}{:>10}{:>8}{:>8}{:>12}{:>8}{:>14}\n",
        "isa", "tile", "form", "strides", "FMAs", "loads", "broadcasts", "stack", "instructions"
    );
    let mut wrong = Vec::new();
    for &Isa { name: isa, width, defers, tails, pins } in machine.isas() {
        let all = (1..=width).flat_map(|nv| [(nv, false), (nv, true)]);
        let all = all.flat_map(|(nv, tn)| Kind::ALL.map(|kind| (nv, tn, kind)));
        let there = |&(nv, tn, kind): &(_, _, _)| match kind {
            Kind::Deferring => tn && defers,
            Kind::Tail | Kind::FarTail => !tn && nv == width && tails,
            Kind::Far => !tn,
            _ => true,
        };
        for (nv, tn, kind) in all.filter(there) {
            let form = if tn { "TN" } else { "NN" };
            let strides = kind.name();
            let wanted = |k: &Kernel| (k.isa, k.nv, k.tn, k.kind) == (isa, nv, tn, kind);
            let Some((kernel, loops)) = hot.iter().find(|(kernel, _)| wanted(kernel)) else {
                wrong.push(format!(
                    "{isa}, {nv} vectors wide, {form}, strides {strides}: no such kernel in the assembly"
                ));
                continue;
            };
            let name = format!("{}x{nv}", kernel.mr);
            let mut add = |found: Option<&Counts>, differences: &dyn Fn(&Counts) -> Option<String>| {
                let kernel = format!("{isa} {name} {form}, strides {strides}");
                let Some(found) = found else { return wrong.push(format!("{kernel}: no loop with multiply-adds")) };
                let Counts { fmas, loads, broadcasts, stack, instructions, .. } = found;
                table += &format!(
                    "{isa:<8}{name:>6}{form:>6}{strides:>10}{fmas:>8}{loads:>8}{broadcasts:>12}{stack:>8}{instructions:>14}\n"
                );
                wrong.extend(differences(found).map(|different| format!("{kernel}: {different}")));
            };
            let check_loop = |found: &Counts| {
                let expected = expected(*kernel, pins, found);
                // A vector that found no register is among the loads.
                let may = matches!(kind, Kind::Any | Kind::Packing | Kind::Deferring);
                let allowed = if may { found.stack } else { expected.stack };
                differences([
                    ("multiply-adds", found.fmas, expected.fmas),
                    ("vector loads", found.loads, expected.loads),
                    ("broadcasts", found.broadcasts, expected.broadcasts),
                    ("accesses to the stack", found.stack, allowed),
                ])
            };
            // Short runs have a loop of their own.
            let plain: Vec<_> = loops.iter().filter(|counts| counts.roots == 0).collect();
            add(plain.first().copied(), &check_loop);
            for found in plain.iter().skip(1).take_while(|found| found.fmas == plain[0].fmas) {
                add(Some(found), &check_loop);
            }
            if kind == Kind::Deferring {
                let expected = expected_deferring(*kernel);
                // A smaller loop takes the vectors for which this one was too short.
                add(loops.iter().find(|counts| counts.roots > 0), &|found| {
                    differences([
                        ("multiply-adds", found.fmas, expected.fmas),
                        ("vector loads", found.loads, expected.loads),
                        ("roots", found.roots, expected.roots),
                    ])
                });
            }
        }
    }
    wrong.extend(
        outlined(machine, listing).into_iter().map(|name| format!("{name} is called, and should be an instruction")),
    );
    (table, wrong)
}

#[test]
#[ignore = "needs the library's assembly: run `make asm-check`"]
fn the_k_loop_of_each_hot_kernel_touches_no_stack_and_does_what_its_tile_needs() {
    let folder = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set: run `make asm-check`"));
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{VARIABLE}={folder}: {e}"));
    let mut listings: Vec<_> =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "s")).collect();
    assert!(!listings.is_empty(), "{VARIABLE}={folder}: no file with the ending .s");
    listings.sort();
    let mut all = Vec::new();
    for path in listings {
        let machine = path.file_stem().and_then(|name| Machine::named(name.to_str()?));
        let machine = machine.unwrap_or_else(|| panic!("{}: expected x86_64.s or aarch64.s", path.display()));
        let listing = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (table, wrong) = check(machine, &listing);
        println!("{table}");
        all.extend(wrong);
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn an_intrinsic_that_is_called_is_seen() {
    let listing = "_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps:\n\tvaddps\n\
                   _RNvNtNtNtCs1_4core9core_arch3x865xsave7__xgetbv:\n\txgetbv\n\
                   _RNvCs1_11sae_kernels3add:\n\tcallq\t_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps\n";
    assert_eq!(outlined(Machine::X86, listing), ["_RNvNtNtNtCs1_4core9core_arch3x863avx13__mm256_add_ps"]);
}

#[test]
fn what_is_wrong_with_a_kernel_is_one_line() {
    // Three of the four 1x1 kernels of a set that has no others: right but for the broadcasts, without its loop, and right but
    // for a vector that comes from the stack.
    let name =
        |tn: u8, panel: &str| format!("_R_4Avx2_9vectorize5inner_6kernel4TileKj1_Kj1_Kb{tn}_Kj{panel}_Kj0_Kb0_E:\n");
    let round = "\tvmovups\t(%rsi), %ymm1\n\tvfmadd231ps\t%ymm1, %ymm2, %ymm0\n".repeat(UNROLL);
    let spilt =
        "\tmovq\t8(%rsp), %rax\n\tvmovups\t32(%rsp), %ymm0\n\tvbroadcastss\t(%rax), %ymm2\n".to_owned() + &round;
    let spilt =
        spilt.replacen("\tvmovups\t(%rsi), %ymm1\n", "\tvbroadcastss\t(%rax), %ymm2\n\tvmovups\t(%rsi), %ymm1\n", 3);
    let listing = format!(
        "{}.L1:\n{round}\tjne\t.L1\n{}\tretq\n{}.L2:\n{spilt}\tjne\t.L2\n",
        name(0, "10"),
        name(1, "10"),
        name(0, "0")
    );
    let (table, wrong) = check(Machine::X86, &listing);
    assert_eq!(table.lines().count(), 3, "{table}");
    let avx2: Vec<_> = wrong.iter().filter(|line| line.starts_with("Avx2")).collect();
    assert_eq!(
        avx2,
        [
            "Avx2 1x1 NN, strides fixed: 0 broadcasts a round, expected 4",
            "Avx2 1x1 NN, strides any: 5 vector loads a round, expected 4",
            "Avx2, 1 vectors wide, NN, strides packing: no such kernel in the assembly",
            "Avx2, 1 vectors wide, NN, strides far: no such kernel in the assembly",
            "Avx2 1x1 TN, strides fixed: no loop with multiply-adds",
            "Avx2, 1 vectors wide, TN, strides any: no such kernel in the assembly",
            "Avx2, 1 vectors wide, TN, strides packing: no such kernel in the assembly",
            "Avx2, 2 vectors wide, NN, strides fixed: no such kernel in the assembly",
            "Avx2, 2 vectors wide, NN, strides any: no such kernel in the assembly",
            "Avx2, 2 vectors wide, NN, strides packing: no such kernel in the assembly",
            "Avx2, 2 vectors wide, NN, strides far: no such kernel in the assembly",
            "Avx2, 2 vectors wide, TN, strides fixed: no such kernel in the assembly",
            "Avx2, 2 vectors wide, TN, strides any: no such kernel in the assembly",
            "Avx2, 2 vectors wide, TN, strides packing: no such kernel in the assembly",
        ]
    );
    assert_eq!(wrong.len() - avx2.len(), 34, "{wrong:?}");
}
