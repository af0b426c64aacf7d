//! What an instruction set brings: one table of tile kernels, and the width they like panels to have.

use super::kernel::TileKernel;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Portable, Simd};

/// The kernels of one instruction set. One exists only where detection has found it.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) isa: Isa,
    /// f32 lanes of a vector.
    pub(crate) lanes: usize,
    /// Width of a panel, and of the widest tile.
    pub(crate) panel: usize,
    /// By vectors a tile is wide, less one: the heights there are, tallest first, down to 1.
    pub(crate) tiles: &'static [&'static [TileKernel]],
    /// The same for strips that half a vector holds, where vectors have a half.
    pub(crate) half: &'static [TileKernel],
}

/// `tiles![S, panel; 4 deferring: 6 5 4; 3: 8]` lists kernels as width in vectors: heights. Deferring are those that have enough
/// registers for it.
macro_rules! tiles {
    ($s:ty, $p:literal; $($nv:literal $($defers:ident)?: $($mr:literal)*);*) => {
        &[$(tiles![@ $s, $p, $nv, $($defers)?: $($mr)*]),*]
    };
    (@ $s:ty, $p:literal, $nv:literal, deferring: $($mr:literal)*) => {
        &[$(TileKernel::new::<$s, $mr, $nv, $p, true>()),*]
    };
    (@ $s:ty, $p:literal, $nv:literal, : $($mr:literal)*) => {
        &[$(TileKernel::new::<$s, $mr, $nv, $p, false>()),*]
    };
}

#[cfg(target_arch = "x86_64")]
static AVX512: Tier = Tier {
    isa: Avx512::ISA,
    lanes: Avx512::LANES,
    panel: 64,
    tiles: tiles![Avx512, 64;
        1 deferring: 24 16 8 4 2 1;
        2 deferring: 12 8 4 2 1;
        3 deferring: 6 4 2 1;
        4 deferring: 6 5 4 3 2 1],
    // A processor with AVX-512 has AVX2.
    half: tiles![Avx2, 64; 1: 8 4 2 1][0],
};

#[cfg(target_arch = "x86_64")]
static AVX2: Tier = Tier {
    isa: Avx2::ISA,
    lanes: Avx2::LANES,
    panel: 16,
    tiles: tiles![Avx2, 16;
        1: 8 4 2 1;
        2: 6 5 4 3 2 1],
    half: &[],
};

#[cfg(target_arch = "aarch64")]
static NEON: Tier = Tier {
    isa: crate::simd::Neon::ISA,
    lanes: crate::simd::Neon::LANES,
    panel: 16,
    tiles: tiles![crate::simd::Neon, 16;
        1: 24 16 8 4 2 1;
        2: 12 8 4 2 1;
        3: 6 4 2 1;
        4: 6 5 4 3 2 1],
    half: &[],
};

static PORTABLE: Tier = Tier {
    isa: Portable::ISA,
    lanes: Portable::LANES,
    panel: 8,
    tiles: tiles![Portable, 8;
        1: 8 4 3 2 1;
        2: 4 3 2 1],
    half: &[],
};

impl Tier {
    /// The tier of an instruction set, where the processor has it.
    pub(crate) fn of(isa: Isa) -> Option<&'static Self> {
        if !isa.is_available() {
            return None;
        }
        let tier = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &AVX2,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &NEON,
            _ => &PORTABLE,
        };
        debug_assert_eq!(tier.isa, isa);
        Some(tier)
    }

    /// Whether a strip of `cols` columns of a TN product of `k` steps is computed across: up to half a vector's, or six where half
    /// vectors have tiles of their own, and where what its tiles would compute in vain is more than it costs to transpose the
    /// result. Columns that fill their tiles are not.
    pub(crate) fn goes_across(&self, cols: usize, k: usize) -> bool {
        /// Multiply-adds that an element's way from one order to the other is worth.
        const TRANSPOSITION: usize = 64;
        let vain = self.strip(cols).1 - cols;
        cols <= (self.lanes / 2).min(6) || k.saturating_mul(vain) > TRANSPOSITION * cols
    }

    /// The kernels for a panel and a tail behind it, tallest first, where there are any.
    pub(crate) fn with_tail(&self) -> &'static [TileKernel] {
        let panel = self.tiles[self.tiles.len() - 1];
        &panel[panel.iter().take_while(|kernel| kernel.with_tail(false).is_none()).count()..]
    }

    /// The kernels for a strip of `width` columns, tallest first, and the width in elements they compute.
    pub(crate) fn strip(&self, width: usize) -> (&'static [TileKernel], usize) {
        debug_assert!(0 < width && width <= self.panel);
        if width <= self.lanes / 2 && !self.half.is_empty() {
            return (self.half, self.lanes / 2);
        }
        let vectors = width.div_ceil(self.lanes);
        (self.tiles[vectors - 1], vectors * self.lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_its_vectors_does_not_go_across_and_what_leaves_most_of_one_empty_does() {
        for tier in Isa::available().into_iter().filter_map(Tier::of) {
            let lanes = tier.lanes;
            for cols in (1..=tier.panel).filter(|&cols| tier.strip(cols).1 == cols) {
                assert!(!tier.goes_across(cols, 1 << 20), "{}: {cols}", tier.isa);
            }
            assert!(tier.goes_across(1, 1));
            let one_more = lanes + 1;
            assert!(!tier.goes_across(one_more, 64), "{}: too short for a transposition", tier.isa);
            assert!(tier.goes_across(one_more, 4096), "{}", tier.isa);
        }
    }
}
