//! What the fuzz targets share: each hands any bytes at all to one reader of files.

pub mod checks;

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a file may take beside twice its size: `sae_harness::data`.
const BESIDE: usize = 64 << 20;

/// Runs a check and holds its memory to what the documentation promises.
pub fn run(data: &[u8], check: fn(&[u8])) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    check(data);
    // Inputs are at most a few thousand bytes, and what is packed in them at most a thousand times that: whatever is
    // accepted is far below the constant, and needs no allowance of its own.
    let peak = MEMORY.peak_usage() - before;
    assert!(peak <= 2 * data.len() + BESIDE, "{peak} bytes of memory for {} of input", data.len());
}
