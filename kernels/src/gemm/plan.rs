//! How a product is cut into units for threads and runs for caches.

use super::Product;
use super::cache::CacheSizes;
use super::tier::Tier;
use crate::ops::check::Dims;
use crate::ops::{Form, REDUCE_ROWS};
use crate::pool;

/// How a product is cut: k into runs, rows into chunks, columns into panels. One unit of work is a chunk of rows of one
/// panel over one run of k.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Rows are cut at multiples of this only.
    pub(super) quantum: usize,
    /// Rows of a chunk.
    pub(super) rows: usize,
    pub(super) chunks: usize,
    /// Columns of a unit: a panel, or half of one.
    pub(super) strip: usize,
    pub(super) strips: usize,
    /// Columns behind the last strip's that are computed with it.
    pub(super) tail: usize,
    /// Steps of one run.
    pub(super) kc: usize,
    /// Whether `b` is copied into panels, run by run.
    pub(super) pack_b: bool,
    pub(super) slots: usize,
    /// Whether a thread goes through all rows before it takes another strip of `b`: where that is packed, and rows stay near.
    pub(super) down: bool,
    /// Whether the next rows of `a` are likely to be in no cache of this core: a thread's share of a problem's does not fit, and few
    /// panels of `b` bring them back.
    pub(super) far: bool,
}

/// Multiply-adds below which a product stays on the thread it is on: about ten microseconds of work.
const SPLIT_WORK: usize = 1 << 20;
/// The same inside a step, whose threads are there already.
const SPLIT_WORK_TOGETHER: usize = 1 << 18;
/// Multiply-adds of the smallest unit.
const UNIT_WORK: usize = 1 << 18;
/// Columns of the widest panel of any tier.
pub(super) const WIDEST_PANEL: usize = 64;
/// Panels a thread should find before they are cut.
const PANELS_PER_THREAD: usize = 2;
/// Blocks of rows a thread should find in an NN product before panels are cut.
const BLOCKS_PER_THREAD: usize = 16;
/// For each column of a panel of `b`, the rows of `a` from which on these stay near, however large `b` is.
const ROWS_PER_COLUMN: usize = 4;
/// Panels of `b` that have to read the same rows of `a` for these to count as near.
const PANELS_TO_STAY: usize = 4;
/// Groups of rows a thread should find in a TN product before they are cut.
const GROUPS_PER_THREAD: usize = 4;
/// Units a thread should find, so that the last ones fill the gaps.
const UNITS_PER_THREAD: usize = 16;

/// Threads for a product.
fn slots(Dims { batch, m, n, k }: Dims) -> usize {
    pool::threads_for([batch, m, n, k], if pool::is_together() { SPLIT_WORK_TOGETHER } else { SPLIT_WORK })
}

/// Columns of a unit. Threads share few panels evenly where they may share one, in tiles half as wide and twice as high; not where
/// there are enough rows to share.
fn strip(tier: &Tier, form: Form, dims: Dims, slots: usize) -> usize {
    let panels = dims.batch.saturating_mul(dims.n.div_ceil(tier.panel));
    let tall = form == Form::Nn && dims.m >= slots * BLOCKS_PER_THREAD * REDUCE_ROWS;
    let few = slots > 1 && !tall && panels < slots * PANELS_PER_THREAD;
    if few && tier.panel >= 4 * tier.lanes { tier.panel / 2 } else { tier.panel }
}

/// The columns behind the last whole panel that are computed together with it.
fn tail(product: &Product<'_>, strip: usize) -> usize {
    let &Product { tier, form, dims: Dims { n, .. }, a, b, start, epilogue, .. } = product;
    let tail = n % tier.panel;
    let is_one = strip == tier.panel && n > tail && tail <= tier.lanes / 2;
    let in_panels = b.is_padded() && [a, b].into_iter().all(|matrix| matrix.row_stride() == tier.panel);
    let has_kernels = form == Form::Nn && !tier.with_tail().is_empty();
    if is_one && in_panels && has_kernels && start.is_none() && epilogue.place(0, 0, 0).is_none() { tail } else { 0 }
}

/// Rows that a product hands to its epilogue together, on one thread: for NN those that are summed together, for TN those
/// that end up in one panel of a transposed copy, or fewer where there are few of them for the threads.
pub(crate) fn group(tier: &Tier, form: Form, dims: Dims) -> usize {
    /// The most lanes of any vector.
    const LANES: usize = 16;
    match form {
        Form::Nn => REDUCE_ROWS,
        Form::Tn => {
            let slots = slots(dims);
            let strips = dims.batch.saturating_mul(dims.n.div_ceil(strip(tier, form, dims, slots)));
            let few = slots > 1 && strips.saturating_mul(dims.m) < slots * GROUPS_PER_THREAD * tier.panel;
            if few { LANES.min(tier.panel) } else { tier.panel }
        }
    }
}

impl Plan {
    pub(super) fn new(product: &Product<'_>) -> Self {
        let Dims { batch, m, n, k } = product.dims;
        let tier = product.tier;
        let quantum = product.group;
        let slots = slots(product.dims);
        let strip = strip(tier, product.form, product.dims, slots);
        let tail = tail(product, strip);
        let strips = (n - tail).div_ceil(strip);
        // A row-major b is read with its own stride where each row is used a few times only.
        let in_panels = product.b.is_padded() && product.b.row_stride() == tier.panel;
        let pack_b = product.b.is_row_major() && !in_panels && (m > 4 * REDUCE_ROWS || n % tier.lanes != 0);

        // A run of one panel of b, be it of the widest, fills a quarter of the second-level cache.
        let cache = CacheSizes::detect();
        let (l2, l3) = (cache.l2 / size_of::<f32>(), cache.l3 / size_of::<f32>());
        let kc_max = (l2 / 4 / WIDEST_PANEL).max(256);
        let runs = k.div_ceil(kc_max).max(1);
        let run = if product.form == Form::Nn { product.a.run() } else { 1 };
        let kc = match k.div_ceil(runs) {
            even if run == usize::MAX => even,
            even => even.next_multiple_of(run),
        };

        // Either a chunk of a stays in the second-level cache while b passes by from the third, or, where b is too
        // large for that, a panel of b stays there and a larger chunk of a passes by: once for each panel, which is too often
        // where panels are narrow for the rows that could stay.
        let rows_in = |resident: usize| (resident / kc.max(1)).max(quantum);
        let short = l2 / 3;
        let b_passes = !pack_b && (kc.saturating_mul(n) <= l3 / 4 || rows_in(short) >= ROWS_PER_COLUMN * tier.panel);
        let resident_rows = rows_in(if b_passes { short } else { l3 / 8 });
        let all = strips.saturating_mul(batch).max(1);
        let wanted = if slots == 1 { 1 } else { (slots * UNITS_PER_THREAD).div_ceil(all) };
        let affordable = (m.saturating_mul(strip).saturating_mul(kc) / UNIT_WORK).max(1);
        let groups = m.div_ceil(quantum).max(1);
        let chunks = wanted.min(affordable).max(m.div_ceil(resident_rows)).clamp(1, groups);
        let rows = groups.div_ceil(chunks) * quantum;
        let down = pack_b && batch.saturating_mul(m) <= resident_rows;
        let far = m.saturating_mul(k) / slots > l2 / 2 && strips < PANELS_TO_STAY;
        Self { quantum, rows, chunks: m.div_ceil(rows).max(1), strip, strips, tail, kc, pack_b, slots, down, far }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    fn dims(batch: usize, m: usize, n: usize, k: usize) -> Dims {
        Dims { batch, m, n, k }
    }

    fn tiers() -> Vec<&'static Tier> {
        Isa::available().into_iter().filter_map(Tier::of).collect()
    }

    #[test]
    fn threads_that_are_together_share_smaller_products() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let threads = || [63, 64, 256].map(|m| slots(dims(1, m, 64, 64)));
        assert_eq!(pool.install(threads), [1, 1, 2]);
        assert_eq!(pool.install(|| pool::together(threads)), [1, 2, 2]);
        assert_eq!(pool.install(threads), [1, 1, 2]);
    }

    #[test]
    fn a_product_with_few_panels_is_cut_so_that_all_threads_have_work() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            for tier in tiers() {
                // One panel, and one block of rows.
                let (one, form) = (dims(1, tier.panel, tier.panel, 1 << 20), Form::Tn);
                let (group, strip) = (group(tier, form, one), strip(tier, form, one, slots(one)));
                let units = one.m.div_ceil(group) * one.n.div_ceil(strip);
                assert!(units >= 2 || tier.panel < 4 * tier.lanes, "{}: {units} units", tier.isa);
                let halved = matches!(tier.isa, Isa::Avx512 | Isa::Neon);
                assert_eq!(strip, if halved { tier.panel / 2 } else { tier.panel }, "{}", tier.isa);
                // Enough of them.
                let many = dims(1, 64 * tier.panel, 64 * tier.panel, 64);
                assert_eq!(super::group(tier, form, many), tier.panel);
                assert_eq!(super::strip(tier, form, many, slots(many)), tier.panel);
                // Enough rows to share instead.
                let tall = dims(1, 2 * BLOCKS_PER_THREAD * REDUCE_ROWS, tier.panel, 1 << 10);
                assert_eq!(super::strip(tier, Form::Nn, tall, slots(tall)), tier.panel);
            }
        });
    }

    #[test]
    fn blocks_of_rows_and_strips_are_what_epilogues_and_tiles_can_take() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(7).build().unwrap();
        pool.install(|| {
            for tier in tiers() {
                for n in [1, 3, tier.panel - 1, tier.panel, 5 * tier.panel + 1] {
                    for m in [1, 25, 64, 1000] {
                        let dims = dims(1, m, n, 5000);
                        assert_eq!(group(tier, Form::Nn, dims), REDUCE_ROWS);
                        // Whole blocks are transposed, and lie in one panel of the copy.
                        let group = group(tier, Form::Tn, dims);
                        assert!(group.is_multiple_of(tier.lanes) && tier.panel.is_multiple_of(group), "{group}");
                        let strip = strip(tier, Form::Tn, dims, slots(dims));
                        assert!(strip.is_multiple_of(tier.lanes) && tier.panel.is_multiple_of(strip), "{strip}");
                    }
                }
            }
        });
    }
}
