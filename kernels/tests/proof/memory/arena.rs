//! Rooms: readable memory with an unreadable page on both sides, and operands that touch the wall.
//!
//! ```text
//!   ░░░░│ room        │░░░░│ room        │░░░░      ░ unreadable
//!       └ left edge    └ right edge
//! ```
//!
//! What is not an element of an operand holds a canary: a signalling NaN that depends on its place. A canary that is
//! read shows in the result, one that is written has changed, and beyond the room the processor stops the process.

use std::ffi::c_void;
use std::ops::Range;

use sae_kernels::{Layout, MatMut, MatRef};

/// How an operand lies in its rooms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spot {
    pub(super) store: Store,
    pub(super) edge: Edge,
    /// Whether each problem of a batch has a room of its own.
    pub(super) apart: bool,
}

/// The layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Store {
    /// Row-major, rows this many elements farther apart than they are long.
    RowMajor(usize),
    /// Row-major, each row in a room of its own.
    Rows,
    /// Panels of this width.
    Panels(usize),
}

/// Where in its room it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Edge {
    Left,
    Right,
    /// So many elements from the left edge.
    Inside(usize),
}

/// The canary at a word of a room.
fn canary(word: usize) -> u32 {
    let scattered = (word as u32).wrapping_mul(0x9e37_79b1) >> 11;
    // Exponent all ones, quiet bit clear, the lowest bit set: a signalling NaN.
    0x7f80_0001 | (scattered << 1 & 0x003f_fffe)
}

/// Equal rooms in a row.
struct Rooms {
    mapping: *mut u32,
    /// Words of a page, of a room, and from one room to the next.
    page: usize,
    room: usize,
    stride: usize,
    count: usize,
}

impl Rooms {
    fn new(page: usize, pages: usize, count: usize, canaries: &[u32]) -> Self {
        let rooms = Self { mapping: std::ptr::null_mut(), page, room: pages * page, stride: (pages + 1) * page, count };
        // SAFETY: an anonymous mapping at an address of the system's choice.
        let mapping = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), rooms.bytes(), libc::PROT_NONE, flags, -1, 0)
        };
        assert_ne!(mapping, libc::MAP_FAILED, "no memory for {count} rooms of {pages} pages");
        let rooms = Self { mapping: mapping.cast(), ..rooms };
        for i in 0..count {
            let start = rooms.at(i);
            // SAFETY: whole pages inside the mapping.
            let opened = unsafe { libc::mprotect(start.cast(), rooms.room * 4, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(opened, 0, "the room cannot be opened: are there more mappings than the system allows?");
            // SAFETY: the room was just opened and nobody knows of it.
            unsafe { std::ptr::copy_nonoverlapping(canaries.as_ptr(), start, rooms.room) };
        }
        rooms
    }

    fn bytes(&self) -> usize {
        (self.page + self.count * self.stride) * 4
    }

    /// The first word of a room.
    fn at(&self, i: usize) -> *mut u32 {
        self.mapping.wrapping_add(self.page + i * self.stride)
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and operands do not outlive their arena.
        unsafe { libc::munmap(self.mapping.cast::<c_void>(), self.bytes()) };
    }
}

/// The memory of one operand: rooms of several sizes.
pub(super) struct Arena {
    sizes: Vec<Rooms>,
}

/// Words of a page.
pub(super) fn page() -> usize {
    // SAFETY: asks for a constant.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("the system knows its page size") / 4
}

/// Canaries for a whole room of any size.
pub(super) fn canaries() -> Vec<u32> {
    (0..LARGEST * page()).map(canary).collect()
}

/// Pages of the largest room.
const LARGEST: usize = 800;

impl Arena {
    /// With `rooms` of one page and, where `large`, a room for the longest operands.
    pub(super) fn new(rooms: usize, large: bool, canaries: &[u32]) -> Self {
        let mut sizes = vec![(1, rooms), (8, 4), (128, 3)];
        sizes.extend(large.then_some((LARGEST, 1)));
        Self { sizes: sizes.into_iter().map(|(pages, count)| Rooms::new(page(), pages, count, canaries)).collect() }
    }

    /// A place for `shape` matrices (one of them for all of `batch`, where there is but one). None where none is large
    /// enough.
    pub(super) fn place(&self, [matrices, rows, cols]: [usize; 3], batch: usize, spot: Spot) -> Option<Operand<'_>> {
        let layout = match spot.store {
            Store::RowMajor(gap) => Layout::row_major_ld(rows, cols, cols + gap).ok()?,
            Store::Rows => Layout::row_major_ld(rows, cols, self.sizes[0].stride.max(cols)).ok()?,
            Store::Panels(panel) => Layout::panel_major(rows, cols, panel).ok()?,
        };
        let one = layout.problem_len().ok()?;
        // What one room has to hold, and how many it takes.
        let (layout, whole, count) = match spot.store {
            Store::Rows => (layout.batched(matrices, rows * layout.row_stride()), cols, matrices * rows),
            _ if spot.apart && matrices > 1 => (layout, one, matrices),
            _ => {
                let layout = layout.batched(matrices, one);
                (layout, layout.len().ok()?, 1)
            }
        };
        let inside = match spot.edge {
            Edge::Inside(by) => by,
            _ => 0,
        };
        let fits = |rooms: &&Rooms| whole + inside <= rooms.room && count <= rooms.count;
        let candidates = if spot.store == Store::Rows { &self.sizes[..1] } else { &self.sizes[..] };
        let rooms = candidates.iter().find(fits)?;
        let layout = if spot.store != Store::Rows && count > 1 { layout.batched(count, rooms.stride) } else { layout };
        let from = match spot.edge {
            Edge::Right => rooms.room - whole,
            _ => inside,
        };
        let layout = if matrices == batch { layout } else { layout.batched(batch, 0) };
        let start = rooms.at(0).wrapping_add(from);
        let of_elements = layout.batched(matrices, layout.batch_stride());
        Some(Operand { rooms, used: 0..count.max(1), start, layout, of_elements })
    }

    /// The rooms whose canaries have changed.
    pub(super) fn damage(&self, canaries: &[u32]) -> Option<String> {
        self.sizes.iter().find_map(|rooms| damage(rooms, 0..rooms.count, 0..rooms.room, canaries))
    }
}

/// The first word of some rooms that is no canary.
fn damage(rooms: &Rooms, used: Range<usize>, part: Range<usize>, canaries: &[u32]) -> Option<String> {
    used.into_iter().find_map(|i| {
        // SAFETY: an open room, and no operand in it is borrowed.
        let words = &unsafe { std::slice::from_raw_parts(rooms.at(i), rooms.room) }[part.clone()];
        let expected = &canaries[part.clone()];
        if words == expected {
            return None;
        }
        let at = words.iter().zip(expected).position(|(found, canary)| found != canary)?;
        let (found, canary, word) = (words[at], expected[at], part.start + at);
        Some(format!("room {i} of {} words, word {word}: {found:#010x}, not {canary:#010x}", rooms.room))
    })
}

/// An operand in its place.
pub(super) struct Operand<'a> {
    rooms: &'a Rooms,
    used: Range<usize>,
    start: *mut u32,
    layout: Layout,
    /// The same, with as many problems as have storage of their own.
    of_elements: Layout,
}

// SAFETY: addresses in a mapping that outlives the operand; a call borrows each operand once, from whatever thread.
unsafe impl Sync for Operand<'_> {}

impl Operand<'_> {
    fn len(&self) -> usize {
        self.layout.len().expect("the operand has a place")
    }

    pub(super) fn read(&self) -> MatRef<'_> {
        MatRef::new(self.slice(), self.layout).expect("the slice has the layout's length")
    }

    pub(super) fn write(&self) -> MatMut<'_> {
        MatMut::new(self.slice_mut(), self.layout).expect("the slice has the layout's length")
    }

    /// All that its layout reaches, which may have unreadable pages in it: only what the layout names is to be touched.
    pub(super) fn slice(&self) -> &[f32] {
        // SAFETY: no reference to a single element out of the layout is ever made, and the whole is inside one mapping. That
        // parts of it cannot be read is what this is for.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.len()) }
    }

    /// As [`Operand::slice`], to write.
    #[allow(clippy::mut_from_ref, reason = "each operand of a call is borrowed once")]
    pub(super) fn slice_mut(&self) -> &mut [f32] {
        // SAFETY: as in `slice`; each operand of a call is borrowed once, by that call.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len()) }
    }

    /// Half as many doubles.
    #[allow(clippy::mut_from_ref, reason = "each operand of a call is borrowed once")]
    pub(super) fn doubles(&self) -> &mut [f64] {
        assert!(self.start.cast::<f64>().is_aligned(), "doubles lie at even words");
        // SAFETY: as in `slice_mut`; aligned as just checked.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len() / 2) }
    }

    /// Address of the first element, and of the one behind the last: for tests of the arena itself.
    pub(super) fn ends(&self) -> [*mut f32; 2] {
        let start = self.start.cast::<f32>();
        [start, start.wrapping_add(self.len())]
    }

    /// The elements, run by run.
    fn runs(&self, mut each: impl FnMut(&mut [u32])) {
        let layout = self.of_elements;
        if layout.is_empty() {
            return;
        }
        let width = if layout.is_row_major() { layout.cols() } else { layout.panel() };
        for b in 0..layout.batch() {
            for r in 0..layout.rows() {
                for c in (0..layout.cols()).step_by(width) {
                    let at = self.start.wrapping_add(b * layout.batch_stride() + layout.offset(r, c));
                    // SAFETY: elements of the operand, in open rooms, borrowed by nobody between calls.
                    each(unsafe { std::slice::from_raw_parts_mut(at, width.min(layout.cols() - c)) });
                }
            }
        }
    }

    /// Gives the elements the values of a table, from `from` on and around.
    pub(super) fn fill(&self, table: &[u32], from: usize) {
        self.beside(table, from, |run, values| run.copy_from_slice(values));
    }

    /// Whether the elements still have these values.
    pub(super) fn has(&self, table: &[u32], from: usize) -> bool {
        let mut same = true;
        self.beside(table, from, |run, values| same &= run == values);
        same
    }

    /// The elements beside the values of a table.
    fn beside(&self, table: &[u32], from: usize, mut each: impl FnMut(&mut [u32], &[u32])) {
        let mut at = from % table.len();
        self.runs(|mut run| {
            while !run.is_empty() {
                let len = run.len().min(table.len() - at);
                let (now, later) = run.split_at_mut(len);
                each(now, &table[at..at + len]);
                at = (at + len) % table.len();
                run = later;
            }
        });
    }

    /// Whether no element is a NaN: all were written, and none from a canary.
    pub(super) fn is_written(&self, doubles: bool) -> bool {
        if doubles {
            return self.doubles().iter().all(|x| !x.is_nan());
        }
        let mut nan = false;
        self.runs(|run| nan |= run.iter().fold(false, |nan, word| nan | (word & 0x7fff_ffff > 0x7f80_0000)));
        !nan
    }

    /// Makes every element a canary again, and says what else is not.
    pub(super) fn reset(&self, canaries: &[u32]) -> Option<String> {
        let (first, stride) = (self.rooms.at(0) as usize, self.rooms.stride);
        self.runs(|run| {
            let word = (run.as_ptr() as usize - first) / 4 % stride;
            run.copy_from_slice(&canaries[word..word + run.len()]);
        });
        self.damage(canaries)
    }

    /// What is no canary: for operands whose elements are canaries. Of rooms that hold one row each only what is near
    /// the row; [`Arena::damage`] looks at the rest.
    pub(super) fn damage(&self, canaries: &[u32]) -> Option<String> {
        const NEAR: usize = 128;
        let from = (self.start as usize - self.rooms.at(0) as usize) / 4;
        let near = from.saturating_sub(NEAR)..self.rooms.room.min(from + self.layout.cols() + NEAR);
        damage(self.rooms, self.used.clone(), if self.used.len() > 8 { near } else { 0..self.rooms.room }, canaries)
    }
}
