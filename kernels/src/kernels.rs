//! The list of kernels: which there are in this build, and what shape they have.

use crate::gemm::tier::Tier;
use crate::isa::Isa;

/// The kernels of one instruction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// The instruction set.
    pub isa: Isa,
    /// f32 lanes of a vector.
    pub lanes: usize,
    /// Width of a panel, in elements.
    pub panel: usize,
    /// Whether multiply-adds round once, so that results are the same bits as those of every other such set.
    pub fused: bool,
    /// `(MR, NR)` of every register tile, the widest first, and the tallest first among equals.
    pub tiles: Vec<(usize, usize)>,
}

impl KernelInfo {
    /// `(MR, NR)` of the tile that most of a large product is computed in: the tallest of the widest.
    pub fn main_tile(&self) -> (usize, usize) {
        self.tiles.first().copied().unwrap_or((0, 0))
    }
}

/// The kernels that can run on this processor, best first. [`Isa::detect`] says which do.
///
/// ```
/// let kernels = sae_kernels::kernels();
/// assert!(kernels.iter().any(|k| k.isa == sae_kernels::Isa::Portable));
/// ```
pub fn kernels() -> Vec<KernelInfo> {
    Isa::available().into_iter().filter_map(Tier::of).map(describe).collect()
}

fn describe(tier: &Tier) -> KernelInfo {
    let widths = tier.tiles.iter().enumerate().rev();
    let tiles = widths.flat_map(|(i, kernels)| kernels.iter().map(move |kernel| (kernel.rows, (i + 1) * tier.lanes)));
    KernelInfo {
        isa: tier.isa,
        lanes: tier.lanes,
        panel: tier.panel,
        fused: tier.isa.is_fused(),
        tiles: tiles.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_set_is_listed_once_and_its_widest_tile_is_its_panel() {
        let kernels = kernels();
        assert_eq!(kernels.iter().map(|k| k.isa).collect::<Vec<_>>(), Isa::available());
        for kernel in kernels {
            assert_eq!(kernel.main_tile().1, kernel.panel, "{kernel:?}");
            assert_eq!(kernel.fused, kernel.isa.keeps_bits());
            assert!(kernel.tiles.iter().all(|&(rows, width)| rows > 0 && width % kernel.lanes == 0), "{kernel:?}");
            assert!(kernel.tiles.is_sorted_by(|a, b| (a.1, a.0) > (b.1, b.0)), "{kernel:?}");
        }
    }
}
