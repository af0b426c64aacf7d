//! Memory that is asked for ahead of its use. What is asked for in vain, or not at all, costs time and changes no result.

use std::ops::Range;

use super::walk::UNROLL;
use crate::simd;

/// Runs of memory to ask for while the loop runs, late enough to be still in the first-level cache at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    streams: [*const f32; Self::STREAMS],
    used: usize,
    /// Whether something was asked for at once.
    pub(super) at_once: bool,
    pub(super) rows: usize,
    /// Columns of the strip.
    pub(super) width: usize,
    panel: usize,
    /// Whether rows may be as far apart as they like: see [`Ahead::push`].
    any: bool,
    /// Elements from row to row of a stream, and from one line that is asked for to the next.
    apart: usize,
    pub(super) step: usize,
    /// Where the last line of each stream ends.
    pub(super) end: usize,
}

impl Ahead {
    pub(super) const STREAMS: usize = 4;
    pub(crate) const LINE: usize = 64 / size_of::<f32>();
    /// Rounds of the loop, a line of each stream in a round, that a line has to arrive.
    const SLACK: usize = 16;
    /// Lines that can wait together without keeping the loop's own from coming.
    const AT_ONCE: usize = 8;
    /// Behind every tile, whatever is added in a loop.
    const NEVER: usize = usize::MAX / 2;

    /// Nothing yet, of panels of `panel` columns, for loops that take `any` strides or only that of a panel.
    pub(crate) fn new(panel: usize, any: bool) -> Self {
        let streams = [std::ptr::null(); Self::STREAMS];
        let (apart, step) = (panel, Self::LINE);
        Self { streams, used: 0, at_once: false, rows: 0, width: 0, panel, any, apart, step, end: 0 }
    }

    /// Nothing yet, for a tile of `rows` rows of a strip `width` wide. Streams that stay unused ask for `instead`, so that the
    /// loop need not look which are.
    #[inline(always)]
    pub(crate) fn start(&mut self, rows: usize, width: usize, instead: *const f32) {
        self.streams = [instead; Self::STREAMS];
        self.used = 0;
        self.at_once = false;
        (self.rows, self.width) = (rows, width);
        (self.apart, self.step) = (self.panel, Self::LINE);
        self.end = Self::end_of(rows, self.panel);
    }

    /// Columns of the strip that the tile is of.
    #[inline(always)]
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Cache lines that a strip has of each row of a panel, a power of two; 0 where that is all of them, so that rows follow
    /// one another without a gap.
    pub(super) const fn lines_of_row(width: usize, panel: usize) -> usize {
        let lines = width.div_ceil(Self::LINE).next_power_of_two();
        if lines * Self::LINE < panel { lines } else { 0 }
    }

    /// Where a tile's last line ends.
    pub(super) const fn end_of(rows: usize, panel: usize) -> usize {
        (rows * panel).next_multiple_of(Self::LINE)
    }

    /// Where the line begins that is asked for after the one at `line`, the first being at 0, of strips that have `lines` of
    /// each row. Below zero as well: these are rounds in which none is asked for.
    #[inline(always)]
    pub(super) const fn after(line: usize, lines: usize, panel: usize) -> usize {
        line.wrapping_add(match lines {
            0 => Self::LINE,
            1 => panel,
            lines => {
                // The row's last line is followed by the next row's first.
                let last = line / Self::LINE % lines / (lines - 1);
                Self::LINE + last * (panel - lines * Self::LINE)
            }
        })
    }

    /// What [`Ahead::after`] makes 0 in time, for the lines to be asked for in the last of `rounds` rounds, but for some that
    /// they have to arrive.
    #[inline(always)]
    pub(super) fn before(&self, rounds: usize, lines: usize, panel: usize) -> usize {
        if self.used == 0 {
            return Self::NEVER;
        }
        let (of_all, apart) = match lines {
            0 if self.step == Self::LINE => (self.end / Self::LINE, Self::LINE),
            // A line of each stream is a row.
            0 => return rounds.saturating_sub(self.rows + Self::SLACK).wrapping_mul(self.step).wrapping_neg(),
            lines => (self.rows * lines, panel / lines),
        };
        let before = rounds.saturating_sub(of_all + Self::SLACK) * apart;
        // A whole number of rows, so that it is a row's first line that is at 0.
        let row = if lines == 0 { Self::LINE } else { panel };
        before.next_multiple_of(row).wrapping_neg()
    }

    /// Adds the tile's rows of one panel, `stride` apart, from `at`. Those of a panel-major matrix become a stream. Of another one
    /// each line of a row becomes a stream, where the loop takes any stride and there is nothing else yet; or else they are asked
    /// for at once.
    #[inline(always)]
    pub(crate) fn push(&mut self, at: *const f32, stride: usize) {
        let lines = self.width.div_ceil(Self::LINE);
        if self.any && self.used == 0 && stride != self.panel && self.rows * lines > Self::AT_ONCE {
            // Those of fewer lines ask for some twice.
            for (number, stream) in self.streams.iter_mut().enumerate() {
                *stream = at.wrapping_add(number % lines * Self::LINE);
            }
            self.used = Self::STREAMS;
            (self.apart, self.step, self.end) = (stride, stride, self.rows.wrapping_mul(stride));
        } else if stride != self.panel {
            self.at_once = true;
            for row in 0..self.rows {
                for column in (0..self.width).step_by(Self::LINE) {
                    simd::prefetch(at.wrapping_add(row.wrapping_mul(stride).wrapping_add(column)));
                }
            }
        } else if self.used < Self::STREAMS {
            self.streams[self.used] = at;
            self.used += 1;
        }
    }

    /// The tile of `rows` rows that is `down` rows below the last one.
    #[inline(always)]
    pub(super) fn go_on(&mut self, down: usize, rows: usize) {
        self.streams = self.below(down.wrapping_mul(self.apart));
        self.rows = rows;
        self.end = if self.step == Self::LINE { Self::end_of(rows, self.panel) } else { rows.wrapping_mul(self.step) };
    }

    /// As many streams.
    #[inline(always)]
    pub(super) fn first<const N: usize>(&self) -> [*const f32; N] {
        std::array::from_fn(|i| self.streams[i])
    }

    /// Whether no other stream finds a place.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.used == Self::STREAMS
    }

    /// Elements between rows of the streams.
    #[inline(always)]
    pub(super) fn apart(&self) -> usize {
        self.apart
    }

    /// The streams of a tile that is `elements` below this one.
    #[inline(always)]
    pub(super) fn below(&self, elements: usize) -> [*const f32; Self::STREAMS] {
        self.streams.map(|stream| stream.wrapping_add(elements))
    }

    /// Rounds that use one cache line of a row of `a`.
    pub(super) const ROUNDS: usize = Self::LINE / UNROLL;

    /// The rows of the next tile follow this one's in each panel of `a`. While this tile uses a cache line of each of its
    /// rows, that line of the next tile's: in each round some rows, so that after a line's last round it was all.
    #[inline(always)]
    pub(super) fn next_rows_in_round<const MR: usize, const P: usize, const FAR: bool>(run: *const f32, round: usize) {
        let share = const { MR.div_ceil(Self::ROUNDS) };
        let first = round % Self::ROUNDS * share;
        Self::next_rows::<MR, P, FAR>(run, round / Self::ROUNDS, first..first + share);
    }

    /// The rows that are left where the last line of a panel is not used for all its rounds.
    #[inline(always)]
    pub(super) fn next_rows_after<const MR: usize, const P: usize, const FAR: bool>(run: *const f32, steps: usize) {
        if !steps.is_multiple_of(Self::LINE) {
            let share = const { MR.div_ceil(Self::ROUNDS) };
            let first = steps % Self::LINE / UNROLL * share;
            Self::next_rows::<MR, P, FAR>(run, steps / Self::LINE, first..MR);
        }
    }

    /// Rows that come from far are asked for in the first-level cache: in the second-level one alone, Zen 4 has lines that are no
    /// neighbours as late as if nobody had asked. What is near would only take the place of what is needed sooner.
    #[inline(always)]
    fn next_rows<const MR: usize, const P: usize, const FAR: bool>(run: *const f32, line: usize, rows: Range<usize>) {
        // A panel of one line has no second one.
        let line = if P > Self::LINE { line * Self::LINE } else { 0 };
        let line = run.wrapping_add(MR * P + line);
        for i in rows {
            let row = line.wrapping_add(i * P);
            if FAR { simd::prefetch(row) } else { simd::prefetch_l2(row) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_line_of_a_strip_is_asked_for_once_and_no_other() {
        for (rows, width, panel) in
            [(6, 64, 64), (6, 48, 64), (12, 32, 64), (24, 16, 64), (8, 8, 64), (6, 16, 16), (8, 8, 16), (3, 4, 8)]
        {
            let mut ahead = Ahead::new(panel, false);
            ahead.start(rows, width, std::ptr::null());
            let of_row = Ahead::lines_of_row(width, panel);
            let asked = |ahead: &Ahead, rounds: usize| {
                let mut line = ahead.before(rounds, of_row, panel);
                let mut lines = Vec::new();
                for _ in 0..rounds {
                    if line < ahead.end {
                        lines.push(line);
                    }
                    line = Ahead::after(line, of_row, panel);
                }
                lines
            };
            assert_eq!(asked(&ahead, 1000), [], "nothing was pushed");
            ahead.push(std::ptr::null(), panel);
            // Whole panels where three of four lines would be skipped between.
            let columns = if width.div_ceil(Ahead::LINE) > 2 { panel } else { width };
            let elements = (0..rows).flat_map(|r| (0..columns).map(move |c| r * panel + c));
            let lines: BTreeSet<usize> = elements.map(|element| element / Ahead::LINE * Ahead::LINE).collect();
            for rounds in [100, 101, 102, 103] {
                assert_eq!(asked(&ahead, rounds), Vec::from_iter(lines.iter().copied()), "{rows} x {width} of {panel}");
            }
            // A short loop begins at once.
            assert_eq!(asked(&ahead, 5), Vec::from_iter(lines.into_iter().take(5)));
        }
    }

    #[test]
    fn what_is_ahead_of_a_tile_below_is_below() {
        let matrix = [0.0f32; 512];
        let mut ahead = Ahead::new(16, false);
        ahead.start(6, 16, matrix.as_ptr());
        ahead.push(&matrix[32], 16);
        assert_eq!(ahead.below(6 * 16)[0], &raw const matrix[32 + 6 * 16]);
        ahead.go_on(12, 4);
        assert_eq!(ahead.streams[0], &raw const matrix[32 + 12 * 16]);
        assert_eq!((ahead.rows, ahead.end, ahead.at_once), (4, 4 * 16, false));
        // Rows that are no stream are asked for at once, and again for every tile.
        ahead.push(matrix.as_ptr(), 17);
        assert!(ahead.at_once);
        ahead.start(6, 16, matrix.as_ptr());
        assert!(!ahead.at_once);
    }
}
