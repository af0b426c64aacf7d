//! What an instruction does, and where kernels and their loops are, in the assembly of each architecture.

use crate::listing::Counts;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// In AT&T's syntax.
    X86,
    Arm,
}

/// An instruction set, and what there is of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Isa {
    pub(crate) name: &'static str,
    /// Vectors of the widest tile; there is one of each width up to it.
    pub(crate) width: usize,
    /// Whether kernels of a weight gradient take an optimiser's step on the tile before.
    pub(crate) defers: bool,
    /// Whether kernels of the widest tile take half a vector's columns behind it.
    pub(crate) tails: bool,
    /// Whether each sum is pinned after its multiply-add.
    pub(crate) pins: bool,
}

impl Machine {
    /// Of an architecture by the compiler's name for it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86),
            "aarch64" => Some(Self::Arm),
            _ => None,
        }
    }

    pub(crate) fn isas(self) -> &'static [Isa] {
        match self {
            Self::X86 => &[
                Isa { name: "Avx512", width: 4, defers: true, tails: true, pins: false },
                Isa { name: "Avx2", width: 2, defers: false, tails: false, pins: false },
            ],
            Self::Arm => &[Isa { name: "Neon", width: 4, defers: false, tails: false, pins: true }],
        }
    }

    /// The instruction set of the kernel that a function is, and where in its name the kernel's constants begin. Where its set
    /// has to be enabled, a kernel is `gemm::kernel::Tile` inside the token's `Simd::vectorize::inner`, else `gemm::kernel::tile`
    /// itself.
    pub(crate) fn kernel(self, name: &str) -> Option<(&'static str, usize)> {
        const TASK: &str = "6kernel4Tile";
        let isas = self.isas().iter().map(|isa| (isa.name, format!("{}{}", isa.name.len(), isa.name)));
        let (isa, at, token) = isas.filter_map(|(isa, token)| Some((isa, name.find(&token)?, token))).next()?;
        match self {
            Self::X86 if name.contains("9vectorize5inner") => Some((isa, name.find(TASK)? + TASK.len())),
            Self::Arm if name.contains("6kernel4tile") => Some((isa, at + token.len())),
            _ => None,
        }
    }

    /// What the names of its intrinsics for vectors of f32 contain.
    pub(crate) fn intrinsics(self) -> &'static str {
        match self {
            Self::X86 => "_mm",
            Self::Arm => "4neon",
        }
    }

    /// The label that a line jumps to.
    pub(crate) fn target(self, line: &str) -> Option<&str> {
        let mut words = line.split_whitespace();
        let code = words.next()?;
        let jumps = match self {
            Self::X86 => code.starts_with('j'),
            Self::Arm => code == "b" || code.starts_with("b.") || ["cbz", "cbnz", "tbz", "tbnz"].contains(&code),
        };
        if jumps { words.next_back() } else { None }
    }

    /// Whether a function keeps the address of its frame in the register for that; else it is one like the others.
    pub(crate) fn frames(self, body: &[&str]) -> bool {
        match self {
            Self::X86 => body.contains(&"movq\t%rsp, %rbp"),
            Self::Arm => body.iter().any(|line| line.starts_with("mov\tx29, sp") || line.starts_with("add\tx29, sp")),
        }
    }

    pub(crate) fn count(self, counts: &mut Counts, code: &str, operands: &str, framed: bool) {
        match self {
            Self::X86 => count_x86(counts, code, operands, framed),
            Self::Arm => count_arm(counts, code, operands, framed),
        }
    }
}

fn count_x86(counts: &mut Counts, code: &str, operands: &str, framed: bool) {
    let source = operands.split(", %").next().unwrap_or_default();
    let (memory, every_lane) = (source.contains('('), source.contains("{1to"));
    let fma = code.starts_with("vfm") || code.starts_with("vfnm");
    let moves = code.starts_with("vmov") && memory && !operands.ends_with(')');
    let broadcasts = code.starts_with("vbroadcast") && memory;
    counts.roots += usize::from(code.starts_with("vsqrt"));
    counts.fmas += usize::from(fma);
    counts.loads += usize::from(moves || fma && memory && !every_lane);
    counts.broadcasts += usize::from(broadcasts || fma && every_lane);
    let frame = framed && operands.contains("(%rbp");
    let stacked = operands.contains("%rsp") || frame || ["push", "pop", "call"].iter().any(|c| code.starts_with(c));
    counts.stack += usize::from(stacked);
}

/// A scalar becomes every lane of a vector, or stays in a register of its own and a multiply-add names its lane.
fn count_arm(counts: &mut Counts, code: &str, operands: &str, framed: bool) {
    let whole = operands.split(", ").filter(|o| o.starts_with('q')).count();
    let single = operands.split(", ").filter(|o| o.starts_with('s') && *o != "sp").count();
    let moves = ["ldr", "ldp", "ldur", "ldnp"].contains(&code);
    counts.roots += usize::from(code == "fsqrt");
    counts.fmas += usize::from(["fmla", "fmls"].contains(&code));
    counts.loads += if moves { whole } else { usize::from(code == "ld1" && !operands.contains("}[")) };
    counts.broadcasts += if moves { single } else { usize::from(code == "ld1r") };
    let frame = framed && operands.contains("[x29");
    counts.stack += usize::from(operands.contains("[sp") || frame || code == "bl" || code == "blr");
}

#[cfg(test)]
mod tests {
    use super::Machine::Arm;
    use super::*;
    use crate::listing::outlined;
    use crate::listing::tests::only_loop;

    const NAME: &str =
        "_RINvNtNtCs1_11sae_kernels4gemm6kernel4tileNtNtNtB6_4simd4neon4NeonKj2_Kj2_Kb1_Kj10_Kj0_Kb0_EB6_";

    /// Two rows of two vectors, one step a round.
    fn only(inner: &str) -> Counts {
        let listing = format!(
            "{NAME}:\n\t.cfi_startproc\n\tstr\tq9, [sp, #16]\n\
             .LBB1_2:\n\
             \tldp\tq9, q10, [x1]\n\
             \tld1r\t{{ v12.4s }}, [x2], #4\n\
             \tfmla\tv0.4s, v9.4s, v12.4s\n\
             //APP\n// v0\n//NO_APP\n\
             {inner}\
             \tldr\ts12, [x2]\n\
             \tfmla\tv2.4s, v9.4s, v12.s[0]\n\
             \tfmla\tv3.4s, v10.4s, v12.s[0]\n\
             \tsubs\tx3, x3, #1\n\
             \tb.ne\t.LBB1_2\n\
             \tldr\tq9, [sp, #16]\n\tret\n\
             _RNvCs1_5other5after:\n\tret\n"
        );
        only_loop(Arm, "Neon", &listing)
    }

    #[test]
    fn a_loop_of_arms_is_counted() {
        let whole = "\tfmla\tv1.4s, v10.4s, v12.4s\n";
        assert_eq!(only(whole), Counts { fmas: 4, loads: 2, broadcasts: 2, roots: 0, stack: 0, instructions: 9 });
        assert_eq!(only("").fmas, 3);
        assert_eq!(only("\tldp\ts4, s5, [x2, #64]\n").broadcasts, 4);
        assert_eq!(only("\tld1\t{ v4.4s }, [x2]\n").loads, 3);
        assert_eq!(only("\tfsqrt\tv4.4s, v5.4s\n").roots, 1);
        // Neither a store nor a number is a load of a vector.
        assert_eq!(only("\tstp\tq9, q10, [x2]\n\tldp\tx4, x5, [x2]\n").loads, 2);
    }

    #[test]
    fn an_access_of_arms_to_the_stack_is_seen() {
        for (line, loads) in [
            ("\tldr\tq27, [sp, #224]\n", 3),
            ("\tldp\tq31, q30, [sp]\n", 4),
            ("\tstr\tx4, [sp, #8]\n", 2),
            ("\tbl\tmemcpy\n", 2),
        ] {
            let found = only(line);
            assert_eq!((found.stack, found.loads), (1, loads), "{line}");
        }
    }

    #[test]
    fn every_jump_of_arms_is_seen() {
        for line in ["b\t.L1", "b.ne\t.L1", "cbnz\tx3, .L1", "tbz\tw3, #2, .L1"] {
            assert_eq!(Arm.target(line), Some(".L1"), "{line}");
        }
        assert_eq!(Arm.target("bl\t.L1"), None);
        assert_eq!(Arm.target("add\tx1, x2, x3"), None);
    }

    #[test]
    fn an_intrinsic_of_arms_that_is_called_is_seen() {
        let name = "_RNvNtNtNtNtCs1_4core9core_arch10arm_shared4neon9generated9vfmaq_f32";
        assert_eq!(outlined(Arm, &format!("{name}:\n\tret\n")), [name]);
    }
}
