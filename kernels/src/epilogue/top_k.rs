//! The `k` largest elements of each row, the others 0, and the column sums of what stays.
//!
//! The k-th largest element of a row is found by bisection over the bits of f32s in their order: one pass over a copy of the row
//! for each bit that matters, about twenty until exactly k elements are not below the middle. Every pass counts whole
//! vectors at once. All decisions are comparisons, so that results are the same on every instruction set.

use super::{Sums, column_sums, load_n, store_n, vectorize_on};
use crate::gemm::raw::Raw;
use crate::isa::Isa;
use crate::matrix::AlignedVec;
use crate::ops::TopK;
use crate::ops::check::Dims;
use crate::pool;
use crate::simd::{Simd, Task};

/// Rows a thread takes at a time.
const ROWS: usize = 4;
/// Elements below which everything stays on the thread it is on.
const SPLIT_WORK: usize = 1 << 14;
/// Copies of rows are padded to a multiple of this, at least as wide as any vector.
const ROUND: usize = 64;

/// Carries out a [`TopK`] that passed the door. `rows` grows to a row a thread.
pub(crate) fn top_k(isa: Isa, mut op: TopK<'_>, dims: Dims, rows: &mut AlignedVec<f32>, sums: &mut Sums) {
    let Dims { batch, m, n, .. } = dims;
    // Of no element one side may be as long as an address.
    if batch == 0 || m == 0 || n == 0 {
        op.col_sums.into_iter().for_each(|out| out.fill(0.0));
        return;
    }
    let h = Raw::write(&mut op.h);
    let slots = pool::threads_for([batch, m, n], SPLIT_WORK);
    let padded = n.next_multiple_of(ROUND);
    if rows.len() < slots * padded {
        *rows = AlignedVec::zeros(slots * padded);
    }
    let copies = Copies { first: rows.as_mut_ptr(), len: rows.len(), padded };
    let chunks = m.div_ceil(ROWS);
    pool::for_each(slots, batch * chunks, &|slot, unit| {
        let (problem, first) = (unit / chunks, unit % chunks * ROWS);
        // All stay.
        if op.k[problem] >= n {
            return;
        }
        for row in first..m.min(first + ROWS) {
            let keep = Keep { k: op.k[problem], n, problem, row, h, copy: copies.of(slot), padded };
            vectorize_on(isa, keep);
        }
    });
    if let Some(out) = op.col_sums {
        column_sums(isa, h, dims, sums, out);
    }
}

/// A row for each slot.
struct Copies {
    first: *mut f32,
    len: usize,
    padded: usize,
}

// SAFETY: an address; a slot has one thread at a time, and a row of its own.
unsafe impl Sync for Copies {}

impl Copies {
    fn of(&self, slot: usize) -> *mut f32 {
        assert!((slot + 1) * self.padded <= self.len, "no row for thread {slot}");
        self.first.wrapping_add(slot * self.padded)
    }
}

/// One row.
struct Keep {
    k: usize,
    n: usize,
    problem: usize,
    row: usize,
    h: Raw,
    copy: *mut f32,
    padded: usize,
}

impl Task for Keep {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { k, n, problem, row, h, copy, padded } = self;
        let step = h.run().min(n);
        // SAFETY: a run of columns of one row is inside `h`, and `copy` has `padded` elements, at least n, which no other
        // thread touches.
        let copy = unsafe {
            for c in (0..n).step_by(step) {
                std::ptr::copy_nonoverlapping(h.at(problem, row, c).cast_const(), copy.add(c), step.min(n - c));
            }
            std::slice::from_raw_parts_mut(copy, padded)
        };
        // Below every bound that is tried.
        copy[n..].fill(f32::NEG_INFINITY);

        // At least k elements are not below `low`, and at most as many not below what follows `high`.
        let (mut low, mut high) = (key(f32::NEG_INFINITY), key(f32::INFINITY));
        let mut surplus = n - k;
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match count(simd, copy, value(middle)) {
                found if found >= k => {
                    (low, surplus) = (middle, found - k);
                    if surplus == 0 {
                        break;
                    }
                }
                _ => high = middle - 1,
            }
        }
        let bound = value(low);
        // Of elements equal to the bound, then of NaNs, the last go.
        for last in [|v: f32, bound: f32| v == bound, |v: f32, _| v.is_nan()] {
            for v in copy[..n].iter_mut().rev() {
                if surplus == 0 {
                    break;
                }
                if last(*v, bound) {
                    *v = 0.0;
                    surplus -= 1;
                }
            }
        }
        let (bound, zero) = (simd.splat(bound), simd.splat(0.0));
        for c in (0..n).step_by(step) {
            let (width, to) = (step.min(n - c), h.at(problem, row, c));
            for i in (0..width).step_by(S::LANES) {
                let lanes = S::LANES.min(width - i);
                // SAFETY: inside the copy, and inside this run of the row.
                unsafe {
                    let v = load_n(simd, copy.as_ptr().add(c + i), lanes);
                    store_n(simd, to.add(i), simd.select(simd.lt(v, bound), zero, v), lanes);
                }
            }
        }
    }
}

/// f32s as whole numbers in the same order, but for NaN.
fn key(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The f32 of a key.
fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// How many elements are not below `bound`, which is above −∞; NaN is not. The length of `row` is a multiple of
/// [`ROUND`].
#[inline(always)]
fn count<S: Simd>(simd: S, row: &[f32], bound: f32) -> usize {
    /// Chains of counts, and elements after which they are taken: f32 counts to 2²⁴.
    const CHAINS: usize = 4;
    const LONG: usize = 1 << 20;
    let (bound, zero, one) = (simd.splat(bound), simd.splat(0.0), simd.splat(1.0));
    let mut total = 0;
    for part in row.chunks(LONG) {
        let mut counts = [zero; CHAINS];
        for (i, c) in (0..part.len()).step_by(S::LANES).enumerate() {
            // SAFETY: the length is a multiple of the vector's.
            let v = unsafe { simd.load(part.as_ptr().add(c)) };
            let here = &mut counts[i % CHAINS];
            *here = simd.add(*here, simd.select(simd.lt(v, bound), zero, one));
        }
        let [a, b, c, d] = counts;
        let sum = simd.add(simd.add(a, b), simd.add(c, d));
        let mut lanes = [0.0f32; ROUND];
        // SAFETY: no vector is wider.
        unsafe { simd.store(lanes.as_mut_ptr(), sum) };
        total += lanes.iter().map(|&lane| lane as usize).sum::<usize>();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        let numbers = [
            f32::NEG_INFINITY,
            f32::MIN,
            -1.0,
            -1e-45,
            -0.0,
            0.0,
            1e-45,
            f32::MIN_POSITIVE,
            1.0,
            f32::MAX,
            f32::INFINITY,
        ];
        for (a, b) in numbers.iter().zip(&numbers[1..]) {
            assert!(key(*a) < key(*b), "{a} {b}");
        }
        for x in numbers {
            assert_eq!(value(key(x)).to_bits(), x.to_bits());
        }
    }
}
