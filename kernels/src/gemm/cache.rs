//! Sizes of the data caches of the machine that runs.

use std::sync::OnceLock;

/// Bytes of the data caches that one core sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSizes {
    /// First level.
    pub l1: usize,
    /// Second level.
    pub l2: usize,
    /// Last level, shared by several cores.
    pub l3: usize,
}

impl CacheSizes {
    /// Where the machine does not say.
    const DEFAULT: Self = Self { l1: 32 << 10, l2: 512 << 10, l3: 8 << 20 };

    /// This machine's, asked once: from the processor itself on x86-64, 32 KiB, 512 KiB and 8 MiB elsewhere.
    pub fn detect() -> Self {
        static SIZES: OnceLock<CacheSizes> = OnceLock::new();
        *SIZES.get_or_init(|| Self::ask().unwrap_or(Self::DEFAULT))
    }

    /// Nor in an interpreter, which has no processor to ask.
    #[cfg(any(not(target_arch = "x86_64"), miri))]
    fn ask() -> Option<Self> {
        None
    }

    /// Walks the deterministic cache parameters: leaf 4 (Intel), leaf 0x8000001d (AMD); both have one layout.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    fn ask() -> Option<Self> {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        const AMD: u32 = 0x8000_001d;
        let leaf = if __cpuid(0x8000_0000).eax >= AMD && __cpuid_count(AMD, 0).eax & 0x1f != 0 {
            AMD
        } else if __cpuid(0).eax >= 4 {
            4
        } else {
            return None;
        };
        let mut levels = [0; 4];
        for index in 0..16 {
            let r = __cpuid_count(leaf, index);
            let (kind, level) = (r.eax & 0x1f, (r.eax >> 5) & 7);
            if kind == 0 {
                break;
            }
            let field = |shift: u32, bits: u32| (((r.ebx >> shift) & ((1 << bits) - 1)) + 1) as usize;
            let bytes = field(0, 12) * field(12, 10) * field(22, 10) * (r.ecx as usize + 1);
            // Kind 1 holds data, kind 3 both data and instructions.
            if matches!(kind, 1 | 3) && (1..=3).contains(&level) {
                levels[level as usize] = bytes;
            }
        }
        let [_, l1, l2, l3] = levels;
        (l1 > 0 && l2 > 0).then_some(Self { l1, l2, l3: l3.max(l2) })
    }
}
