//! `data.buffer_mib` holds: what a streamed run takes of memory for data, counted byte by byte.
//!
//! Alone in its file, and one test: it watches what the whole process allocates.

use std::io::Write;
use std::path::Path;

use peak_alloc::PeakAlloc;
use sae_harness::Config;
use sae_harness::train::{Part, Silent, Trainer};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const ROWS: usize = 200_000;
const COLS: usize = 64;

/// Four files with 48.8 MiB of numbers that differ from row to row.
fn write_shards(folder: &Path) {
    for shard in 0..4 {
        let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join(format!("{shard}.npy"))).unwrap());
        let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {COLS}), }}", ROWS / 4);
        header.push_str(&" ".repeat(117 - header.len()));
        file.write_all(&[b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), b"\n"].concat()).unwrap();
        for i in 0..ROWS / 4 * COLS {
            let value = ((i * 31 + shard * 7) % 1009) as f32 / 1009.0;
            file.write_all(&value.to_le_bytes()).unwrap();
        }
    }
}

/// The most memory that a run holds at a time, beside what there was.
fn peak(source: &Path, mib: usize, preprocess: &str) -> usize {
    let text = format!(
        "[data]\nsource = '{}'\nbuffer_mib = {mib}\npreprocess = '{preprocess}'\nvalidation = 0.01\ntest = 0.01\n[model]\nd_hid = 2\n\
         [train]\nbatch = 512\nepochs = 1\n",
        source.display()
    );
    let config = Config::parse(&text, "test", &[]).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut trainer = Trainer::new(config).unwrap();
    assert_eq!(trainer.set().train_rows(), ROWS - ROWS / 50);
    trainer.run(&mut Silent).unwrap();
    assert_eq!(trainer.evaluate(Part::Train).unwrap().unwrap().rows, ROWS - ROWS / 50);
    assert!(trainer.checkpoint().is_ok());
    MEMORY.peak_usage() - before
}

#[test]
fn a_streamed_run_takes_no_more_memory_for_data_than_it_may() {
    /// A model of 64 x 2 with batches of 512, its evaluation, threads and names.
    const BESIDE: usize = 1 << 20;
    /// What products of a map that whitens are packed into, however many rows there are.
    const SCRATCH: usize = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path());
    // The library that multiplies in f64 reserves memory for each thread it multiplies on, by the size of the third-level
    // cache, and touches what it packs into. The thread that reads ahead is a new one in every run.
    let reserved = std::thread::spawn(|| {
        let text = "[data]\nsource = 'digits'\npreprocess = 'zca'\n[model]\nd_hid = 2";
        let config = Config::parse(text, "test", &[]).unwrap();
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        Trainer::new(config).unwrap();
        MEMORY.peak_usage() - before
    });
    let reserved = reserved.join().unwrap();
    // The thread pool and what else a first run sets up is there before anything is counted.
    peak(folder.path(), 8, "zca");
    let cases = [(4, "range"), (8, "range"), (24, "range"), (8, "zscore"), (8, "zca"), (24, "zca")];
    for (mib, preprocess) in cases {
        let found = peak(folder.path(), mib, preprocess);
        let beside = if preprocess == "zca" { BESIDE + SCRATCH + reserved } else { BESIDE };
        assert!(found <= (mib << 20) + beside, "{preprocess}, {mib} MiB: {found} bytes");
        // And makes use of it.
        assert!(found > (mib << 20) / 2, "{preprocess}, {mib} MiB: {found} bytes");
    }
    // In memory the rows are there twice while they are divided.
    let found = peak(folder.path(), 0, "range");
    assert!(found > 2 * ROWS * COLS * size_of::<f32>() * 9 / 10, "{found} bytes");
}
