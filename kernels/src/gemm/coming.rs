//! What a thread will read next.

use super::Product;
use super::ahead::Ahead;
use super::plan::Plan;
use super::strips::{OnTheWay, Strip, Strips, copies, pace};
use super::unit::Unit;
use super::walk::UNROLL;
use crate::ops::Form;

/// Memory to be asked for, piece by piece.
pub(super) struct Coming {
    pub(super) at: *const f32,
    pub(super) left: usize,
}

impl Coming {
    pub(super) const NONE: Self = Self { at: std::ptr::null(), left: 0 };

    /// The piece that goes with `tiles` tiles of `steps` steps.
    #[inline]
    pub(super) fn take(&mut self, tiles: usize, steps: usize) -> Option<*const f32> {
        if self.left == 0 {
            return None;
        }
        let piece = tiles * (steps / UNROLL) * Ahead::LINE;
        let at = self.at;
        self.at = at.wrapping_add(piece);
        self.left = self.left.saturating_sub(piece);
        Some(at)
    }
}

impl Product<'_> {
    /// The strip of `b` that this thread will probably want next: another one, or the first one's next run of k.
    fn coming(&self, plan: &Plan, unit: &Unit<'_>) -> Option<Strip> {
        let (k0, (row, strip)) = match unit.turn.next() {
            Some(next) => (unit.k0, next),
            None => (unit.k0 + unit.steps, unit.turn.first()),
        };
        let coming = Strip { problem: row / plan.chunks, k0, col: strip * plan.strip };
        let here = Strip { problem: unit.problem, k0: unit.k0, col: unit.strip * plan.strip };
        (k0 < self.dims.k && coming != here).then_some(coming)
    }

    /// That strip, where it is in one piece.
    pub(super) fn next_b(&self, plan: &Plan, unit: &Unit<'_>) -> Coming {
        let width = self.tier.panel;
        match self.coming(plan, unit) {
            Some(Strip { problem, k0, col }) if self.b.row_stride() == width => {
                Coming { at: self.b.at(problem, k0, col), left: plan.kc.min(self.dims.k - k0) * width }
            }
            _ => Coming::NONE,
        }
    }

    /// The same of a row-major `b`, to be packed, where it is as wide.
    pub(super) fn next_strip(
        &self,
        plan: &Plan,
        unit: &Unit<'_>,
        width: usize,
        strips: &mut Strips,
    ) -> Option<OnTheWay> {
        let next =
            self.coming(plan, unit).filter(|next| plan.pack_b && plan.strip.min(self.dims.n - next.col) == width)?;
        let run = if self.form == Form::Nn { self.a.run() } else { unit.steps };
        let each = self.tier.lanes.min(width) * copies(unit.steps, run, pace(width));
        Some(strips.begin(self.b, next, [plan.kc.min(self.dims.k - next.k0), width], each))
    }

    /// This unit's share of the next chunk of `a` in a TN product, where that is in one piece. (In an NN product the
    /// kernel itself asks for the next rows.)
    pub(super) fn next_a(&self, plan: &Plan, unit: &Unit<'_>) -> Coming {
        let width = self.tier.panel;
        if self.form == Form::Nn || unit.chunk + 1 == plan.chunks || self.a.row_stride() != width {
            return Coming::NONE;
        }
        let row = (unit.chunk + 1) * plan.rows;
        let whole = plan.rows.min(self.dims.m - row) * self.dims.k;
        let (number, panels) = unit.turn.of_row();
        let share = whole.div_ceil(panels);
        let from = share * number;
        let at = self.a.at(unit.problem, 0, row).cast_const().wrapping_add(from);
        Coming { at, left: share.min(whole.saturating_sub(from)) }
    }
}
