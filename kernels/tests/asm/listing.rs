//! Micro-kernels and their loops in an assembly listing (v0 symbol names), by text alone.

use std::collections::HashMap;

use crate::machine::Machine;

/// Which kernel a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kernel {
    pub(crate) isa: &'static str,
    /// Vectors a tile is wide.
    pub(crate) nv: usize,
    /// Rows of a tile.
    pub(crate) mr: usize,
    pub(crate) tn: bool,
    pub(crate) kind: Kind,
}

/// What a kernel was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Strides of the tier's panel.
    Fixed,
    /// Any strides.
    Any,
    /// Any stride of `a`, and to copy what is next of `b` on the way.
    Packing,
    /// Fixed strides, and an optimiser's step on the tile before.
    Deferring,
    /// Fixed strides, and half a vector's columns behind the tile's.
    Tail,
    /// Fixed strides, and what is asked for ahead comes from far.
    Far,
    /// As both.
    FarTail,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Fixed, Self::Any, Self::Packing, Self::Deferring, Self::Tail, Self::Far, Self::FarTail];

    /// Whether half a vector's columns go with the tile's.
    pub(crate) fn has_tail(self) -> bool {
        matches!(self, Self::Tail | Self::FarTail)
    }

    /// Of the constants of `Tile`: the fixed stride or 0, what is done beside the product, and whether `a` is far.
    fn of(panel: usize, beside: usize, far: usize) -> Option<Self> {
        match (panel, beside, far) {
            (0, 0, 0) => Some(Self::Any),
            (0, 2, 0) => Some(Self::Packing),
            (1.., 0, 0) => Some(Self::Fixed),
            (1.., 1, 0) => Some(Self::Deferring),
            (1.., 3, 0) => Some(Self::Tail),
            (1.., 0, 1) => Some(Self::Far),
            (1.., 3, 1) => Some(Self::FarTail),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Any => "any",
            Self::Packing => "packing",
            Self::Deferring => "deferring",
            Self::Tail => "tail",
            Self::Far => "far",
            Self::FarTail => "far, tail",
        }
    }
}

/// What a loop does in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) fmas: usize,
    /// Whole vectors read, by moves or as operands of multiply-adds.
    pub(crate) loads: usize,
    /// Scalars read into every lane, likewise.
    pub(crate) broadcasts: usize,
    /// Square roots.
    pub(crate) roots: usize,
    /// Instructions that read or write the stack.
    pub(crate) stack: usize,
    pub(crate) instructions: usize,
}

/// The kernels of a listing with their innermost loops that have multiply-adds, the one with the most first.
pub(crate) fn kernels(machine: Machine, listing: &str) -> Vec<(Kernel, Vec<Counts>)> {
    let mut found = Vec::new();
    let mut lines = listing.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(kernel) = line.strip_suffix(':').and_then(|name| kernel(machine, name)) else { continue };
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| !is_function(line)) {
            body.push(line.trim());
        }
        found.push((kernel, loops(machine, &body)));
    }
    found
}

/// The intrinsics that are functions of their own, to be called, where they should be instructions.
pub(crate) fn outlined(machine: Machine, listing: &str) -> Vec<&str> {
    let functions = listing.lines().filter(|line| is_function(line));
    functions
        .filter(|line| line.contains("core_arch") && line.contains(machine.intrinsics()))
        .map(|line| line.trim_end_matches(':'))
        .collect()
}

fn is_function(line: &str) -> bool {
    line.starts_with("_R") && line.ends_with(':')
}

/// The kernel a v0 symbol name names, by the constants MR, NV, TN, P, BESIDE and FAR.
fn kernel(machine: Machine, name: &str) -> Option<Kernel> {
    let (isa, mut at) = machine.kernel(name)?;
    let mut numbers = [0; 6];
    for number in &mut numbers {
        (*number, at) = constant(name, at)?;
    }
    let [mr, nv, tn, panel, beside, far] = numbers;
    Some(Kernel { isa, nv, mr, tn: tn == 1, kind: Kind::of(panel, beside, far)? })
}

/// A constant argument and where it ends: `K`, then a type (`j`: usize, `b`: bool) and hexadecimal digits up to `_`, or
/// `B` and the place in the name where the same one stood before.
fn constant(name: &str, at: usize) -> Option<(usize, usize)> {
    let value = name.get(at..)?.strip_prefix('K')?;
    let end = at + 2 + value.find('_')?;
    if let Some(place) = value.strip_prefix('B') {
        // Places count from behind the `_R`; they name the type, behind the `K`.
        let place = base_62(place.split_once('_')?.0)? + "_R".len();
        let (number, _) = digits(name.get(place..)?)?;
        return Some((number, end));
    }
    Some((digits(value)?.0, end))
}

fn digits(value: &str) -> Option<(usize, usize)> {
    let (text, _) = value.strip_prefix(['j', 'b'])?.split_once('_')?;
    Some((usize::from_str_radix(text, 16).ok()?, text.len()))
}

/// Nothing is 0, `0` is 1, and so on through digits, lower-case and upper-case letters.
fn base_62(text: &str) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'z' => Some(c - b'a' + 10),
        b'A'..=b'Z' => Some(c - b'A' + 36),
        _ => None,
    };
    text.bytes().try_fold(0usize, |sum, c| Some(sum * 62 + usize::from(digit(c)?))).map(|sum| sum + 1)
}

/// The loops with multiply-adds that hold no other loop with any, the one with the most first.
///
/// A loop reaches from a label to the last jump back to it.
fn loops(machine: Machine, body: &[&str]) -> Vec<Counts> {
    let mut labels = HashMap::new();
    let mut loops: HashMap<usize, usize> = HashMap::new();
    for (at, line) in body.iter().enumerate() {
        if let Some(label) = line.strip_suffix(':') {
            labels.insert(label, at);
        } else if let Some(&from) = machine.target(line).and_then(|label| labels.get(label)) {
            loops.insert(from, at);
        }
    }
    let counted: Vec<_> = loops
        .into_iter()
        .map(|(from, to)| (from, to, count(machine, body, from, to)))
        .filter(|(_, _, counts)| counts.fmas > 0)
        .collect();
    // No other begins inside it. It may end behind its outer one's jump back, which then lies in its middle.
    let innermost = counted.iter().filter(|(from, to, _)| !counted.iter().any(|(f, ..)| from < f && f <= to));
    let mut innermost: Vec<_> = innermost.map(|(_, _, counts)| *counts).collect();
    innermost.sort_by_key(|counts| std::cmp::Reverse(counts.fmas));
    innermost
}

fn count(machine: Machine, body: &[&str], from: usize, to: usize) -> Counts {
    let framed = machine.frames(body);
    let mut counts = Counts::default();
    for line in &body[from..=to] {
        if line.is_empty() || line.starts_with(['.', '#', '/']) || line.ends_with(':') {
            continue;
        }
        let (code, operands) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        counts.instructions += 1;
        machine.count(&mut counts, code, operands, framed);
    }
    counts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use Machine::X86;

    const NAME: &str = "_RINvNvXNtNtCs1_11sae_kernels4simd4avx2NtB5_4Avx2NtB7_4Simd9vectorize5innerINtNtNtB9_4gemm6kernel\
                        4TileKj2_KB1C_Kb1_Kj10_Kj0_Kb0_EEB9_";

    /// Two rows of two vectors, one step a round, and what a listing has around it.
    fn listing(inner: &str) -> String {
        format!(
            "_RNvCs1_5other4main:\n\tvfmadd231ps\t%ymm0, %ymm1, %ymm2\n{NAME}:\n\t.cfi_startproc\n\
             \tmovq\t%rdi, -8(%rsp)\n\
             .LBB0_1:\n\
             \tmovq\t-8(%rsp), %rcx\n\
             \tjmp\t.LBB0_3\n\
             .LBB0_2:\n\
             \tvmovups\t(%rsi), %ymm4\n\
             \tvmovups\t32(%rsi), %ymm5\n\
             \tvbroadcastss\t(%rdx), %ymm6\n\
             \tvfmadd231ps\t%ymm4, %ymm6, %ymm0\n\
             {inner}\
             \tvbroadcastss\t4(%rdx), %ymm6\n\
             \tvfmadd231ps\t%ymm4, %ymm6, %ymm2\n\
             \tvfmadd231ps\t%ymm5, %ymm6, %ymm3\n\
             \tdecq\t%rcx\n\
             \tje\t.LBB0_4\n\
             .LBB0_3:\n\
             \tprefetcht1\t(%r8)\n\
             \tjmp\t.LBB0_2\n\
             .LBB0_4:\n\
             \tvfmadd231ps\t%ymm4, %ymm6, %ymm2\n\
             \tdecq\t%rax\n\
             \tjne\t.LBB0_1\n\
             \tvmovups\t%ymm0, -64(%rsp)\n\
             \tretq\n\
             _RNvCs1_5other5after:\n\tretq\n"
        )
    }

    const WHOLE: &str = "\tvfmadd231ps\t%ymm5, %ymm6, %ymm1\n";

    /// The only loop of a listing whose only kernel is a TN product's of two rows of two vectors, with fixed strides.
    pub(crate) fn only_loop(machine: Machine, isa: &'static str, listing: &str) -> Counts {
        let found = kernels(machine, listing);
        let [(kernel, loops)] = &found[..] else { panic!("{found:?}") };
        let &[counts] = &loops[..] else { panic!("{found:?}") };
        assert_eq!(*kernel, Kernel { isa, nv: 2, mr: 2, tn: true, kind: Kind::Fixed });
        counts
    }

    fn only(inner: &str) -> Counts {
        only_loop(X86, "Avx2", &listing(inner))
    }

    #[test]
    fn the_innermost_loop_is_counted_and_nothing_around_it() {
        let expected = Counts { fmas: 4, loads: 2, broadcasts: 2, roots: 0, stack: 0, instructions: 12 };
        assert_eq!(only(WHOLE), expected);
    }

    #[test]
    fn a_spill_a_reload_and_a_call_are_seen() {
        for line in [
            "\tvmovups\t%ymm5, 32(%rsp)\n",
            "\tvmovaps\t(%rsp), %ymm1\n",
            "\tcmpq\t%r9, -8(%rsp)\n",
            "\tvfmadd231ps\t64(%rsp), %ymm6, %ymm1\n",
            "\tcallq\tmemcpy\n",
        ] {
            assert_eq!(only(line).stack, 1, "{line}");
        }
        // A frame pointer reaches the stack; a register that happens to be %rbp does not.
        let line = "\tvmovups\t-64(%rbp), %ymm7\n";
        assert_eq!(only(line).stack, 0);
        let framed = listing(line).replace("\t.cfi_startproc", "\tmovq\t%rsp, %rbp");
        assert_eq!(kernels(X86, &framed)[0].1[0].stack, 1);
    }

    #[test]
    fn a_missing_multiply_add_and_operands_in_memory_are_seen() {
        assert_eq!(only("").fmas, 3);
        assert_eq!(only("\tvfmadd231ps\t(%rsi), %ymm6, %ymm1\n").loads, 3);
        assert_eq!(only("\tvfmadd231ps\t(%rdx){1to8}, %ymm5, %ymm1\n").broadcasts, 3);
        // Stores are no loads.
        assert_eq!(only("\tvmovups\t%ymm5, (%rsi)\n").loads, 2);
    }

    #[test]
    fn every_innermost_loop_is_counted_the_largest_first() {
        let root = "\tvfmadd231ps\t%ymm5, %ymm6, %ymm1\n\tvsqrtps\t%ymm1, %ymm7\n";
        let listing = listing(WHOLE).replace("\tretq\n_R", &format!(".LBB0_7:\n{root}\tjne\t.LBB0_7\n\tretq\n_R"));
        let found = &kernels(X86, &listing)[0].1;
        let of = |counts: &Counts| (counts.fmas, counts.roots);
        assert_eq!(found.iter().map(of).collect::<Vec<_>>(), [(4, 0), (1, 1)]);
    }

    #[test]
    fn a_loop_in_whose_middle_the_outer_one_jumps_back_is_counted_alone() {
        let body = [
            ".LBB0_3:",
            "movq\t-8(%rsp), %rax",
            ".LBB0_4:",
            "vfmadd231ps\t%ymm5, %ymm6, %ymm1",
            "je\t.LBB0_3",
            "prefetcht0\t(%rsi)",
            "jmp\t.LBB0_4",
        ];
        let found = loops(X86, &body);
        assert_eq!(found, [Counts { fmas: 1, instructions: 4, ..Counts::default() }]);
    }

    #[test]
    fn a_kernel_without_a_loop_is_listed_without_counts() {
        let flat = listing(WHOLE).replace(".LBB0_2\n", ".LBB0_9\n").replace(".LBB0_1\n", ".LBB0_9\n");
        assert_eq!(kernels(X86, &flat).len(), 1);
        assert_eq!(kernels(X86, &flat)[0].1, []);
    }

    #[test]
    fn constants_are_read_in_place_and_from_where_they_stood_before() {
        assert_eq!(constant("_RKj18_", 2), Some((24, 7)));
        assert_eq!(constant("_RKj18_KB0_", 7), Some((24, 11)));
        assert_eq!(constant("_RKb1_", 2), Some((1, 6)));
        assert_eq!(constant("_RIj1_", 2), None);
        assert_eq!([base_62(""), base_62("0"), base_62("Z"), base_62("10")], [Some(0), Some(1), Some(62), Some(63)]);
    }
}
