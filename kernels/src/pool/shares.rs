//! Who does which units.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Units in rows and columns. A thread's share is a block of whole columns where there are enough of them, else whole
/// rows, or else neighbours. The same grid is shared out in the same way every time, so that what a thread has written
/// in one product is near it when the next one reads it, and its weights stay near it from step to step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// The work of a unit of the last column, that of the others being 1.
    pub(crate) last: f64,
    /// Whether a share is taken column by column, not row by row.
    pub(crate) down: bool,
}

/// A unit, and where it is in the share it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) slot: usize,
    pub(crate) row: usize,
    pub(crate) col: usize,
    first_row: usize,
    first_col: usize,
    rows: usize,
    cols: usize,
    down: bool,
}

impl Turn {
    /// Row and column of the unit that is likely to be this thread's next one, while there is one in the share.
    pub(crate) fn next(&self) -> Option<(usize, usize)> {
        let across = (self.col + 1 < self.first_col + self.cols).then_some(self.col + 1);
        let below = (self.row + 1 < self.first_row + self.rows).then_some(self.row + 1);
        if self.down {
            below.map(|row| (row, self.col)).or(across.map(|col| (self.first_row, col)))
        } else {
            across.map(|col| (self.row, col)).or(below.map(|row| (row, self.first_col)))
        }
    }

    /// Row and column of the share's first unit.
    pub(crate) fn first(&self) -> (usize, usize) {
        (self.first_row, self.first_col)
    }

    /// The number of the unit in its row of the share, and how many there are.
    pub(crate) fn of_row(&self) -> (usize, usize) {
        (self.col - self.first_col, self.cols)
    }
}

/// Units still to be done. Small, because products can nest on a thread's stack: who waits for others takes up work of
/// other callers.
pub(super) struct Shares {
    grid: Grid,
    by_cols: bool,
    used: usize,
    /// As far from one another as there is room: a thread counts before each unit, and would wait for a cache line in which
    /// another one counts as often.
    shares: Room,
}

/// How many units of a block of the grid have been taken, in its order.
struct Share(AtomicUsize);

/// Cache lines in which nothing else is.
#[repr(align(64))]
struct Room([Share; Shares::ROOM]);

impl Shares {
    /// More threads than this share shares.
    const MOST: usize = 32;
    /// Up to 16 are in cache lines of their own.
    const ROOM: usize = 16 * Self::LINE;
    const LINE: usize = 64 / size_of::<Share>();

    pub(super) fn new(slots: usize, grid: Grid) -> Self {
        let used = slots.clamp(1, Self::MOST);
        let by_rows = grid.rows >= 4 * used && grid.cols < 2 * used;
        let by_cols = !by_rows && grid.cols >= used;
        Self { grid, by_cols, used, shares: Room([const { Share(AtomicUsize::new(0)) }; Self::ROOM]) }
    }

    /// Where share `i` begins: its first column or its first row.
    fn cut(&self, i: usize) -> usize {
        let Self { grid: Grid { rows, cols, last, .. }, by_cols, used, .. } = *self;
        match by_cols {
            true if i == used => cols,
            true => ((((cols - 1) as f64 + last) * i as f64 / used as f64).round() as usize).min(cols),
            false => rows * i / used,
        }
    }

    /// The next unit of the slot's own share, or of another one. Both take them in the same order: the last rows may be fewer
    /// than the others, and small units, left for last, even out what threads have to wait for one another.
    pub(super) fn take(&self, slot: usize) -> Option<Turn> {
        let own = slot % self.used;
        (0..self.used).map(|i| (own + i) % self.used).find_map(|share| {
            let from = self.cut(share);
            let (first_row, first_col, rows, cols) = match self.by_cols {
                true => (0, from, self.grid.rows, self.cut(share + 1) - from),
                false => (from, 0, self.cut(share + 1) - from, self.grid.cols),
            };
            let index = self.shares.0[Self::ROOM / self.used * share].next(rows * cols)?;
            let down = self.grid.down;
            let (row, col) = if down { (index % rows, index / rows) } else { (index / cols, index % cols) };
            let (row, col) = (first_row + row, first_col + col);
            Some(Turn { slot, row, col, first_row, first_col, rows, cols, down })
        })
    }
}

impl Share {
    /// The number of a unit that nobody has had, of `units`.
    fn next(&self, units: usize) -> Option<usize> {
        let less = |taken: usize| (taken < units).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_unit_has_one_turn_whoever_asks_first() {
        for (rows, cols) in [(0, 3), (1, 1), (2, 4), (7, 13), (40, 1), (3, 100), (40, 3)] {
            for slots in [1, 2, 3, 5, 31, 32, 40] {
                for (first, down) in (0..slots).flat_map(|first| [(first, false), (first, true)]) {
                    let shares = Shares::new(slots, Grid { rows, cols, last: 0.25, down });
                    let mut seen = BTreeSet::new();
                    // One that takes two turns at once, then the others, one each.
                    for slot in (0..usize::MAX).map(|i| if i < 2 { first } else { (first + i) % slots }) {
                        let Some(turn) = shares.take(slot) else { break };
                        assert!(turn.row < rows && turn.col < cols, "{turn:?}");
                        assert!(seen.insert((turn.row, turn.col)), "{turn:?} twice");
                        let (number, of) = turn.of_row();
                        assert!(number < of && turn.first() <= (turn.row, turn.col));
                        assert!(turn.next().is_none_or(|(row, col)| row < rows && col < cols));
                    }
                    assert_eq!(seen.len(), rows * cols, "{rows} {cols} {slots}");
                }
            }
        }
    }

    #[test]
    fn what_was_said_to_be_next_is_next() {
        for down in [false, true] {
            for (rows, cols) in [(3, 4), (9, 2), (1, 5), (5, 1)] {
                let shares = Shares::new(2, Grid { rows, cols, last: 1.0, down });
                let mut turn = shares.take(0).unwrap();
                while let Some(next) = turn.next() {
                    let (row, col) = (turn.row, turn.col);
                    turn = shares.take(0).unwrap();
                    assert_eq!((turn.row, turn.col), next, "after {row}, {col} of {rows} x {cols}");
                    assert!(turn.first() != next, "a share is over when its first unit comes again");
                }
            }
        }
    }

    #[test]
    fn whoever_helps_leaves_the_last_rows_for_last() {
        let shares = Shares::new(2, Grid { rows: 3, cols: 4, last: 1.0, down: false });
        let all: Vec<_> = std::iter::from_fn(|| shares.take(1)).map(|turn| (turn.row, turn.col)).collect();
        let of = |cols: [usize; 2]| (0..3).flat_map(move |row| cols.map(|col| (row, col)));
        assert_eq!(all, of([2, 3]).chain(of([0, 1])).collect::<Vec<_>>());
    }

    #[test]
    fn a_turn_knows_what_its_share_begins_and_goes_on_with() {
        for (rows, cols, slots) in [(3, 4, 2), (9, 1, 2), (16, 3, 2), (2, 2, 1)] {
            let shares = Shares::new(slots, Grid { rows, cols, last: 1.0, down: false });
            let turns: Vec<_> = std::iter::from_fn(|| shares.take(0)).collect();
            for (turn, after) in turns.iter().zip(&turns[1..]) {
                match turn.next() {
                    Some(next) => assert_eq!(next, (after.row, after.col)),
                    // The other share's.
                    None => assert_eq!(after.first(), (after.row, after.col)),
                }
            }
            assert_eq!(turns.iter().filter(|turn| turn.next().is_none()).count(), slots);
        }
    }

    #[test]
    fn shares_are_columns_where_there_are_enough_of_them_and_else_rows() {
        let first = |slots, rows, cols| {
            let shares = Shares::new(slots, Grid { rows, cols, last: 1.0, down: false });
            (0..slots).map(|slot| shares.take(slot).map(|turn| (turn.row, turn.col))).collect::<Vec<_>>()
        };
        assert_eq!(first(2, 3, 12), [Some((0, 0)), Some((0, 6))]);
        assert_eq!(first(2, 16, 2), [Some((0, 0)), Some((8, 0))]);
        assert_eq!(first(4, 8, 1), [Some((0, 0)), Some((2, 0)), Some((4, 0)), Some((6, 0))]);
        // The same ones every time.
        assert_eq!(first(3, 5, 7), first(3, 5, 7));
    }
}
