//! What reading takes of memory: a file that is refused no more than twice its size, unpacked where it is packed, and
//! 64 MiB; one that is accepted no more than that beside the samples.
//!
//! Alone in its file, and one test: it watches what the whole process allocates.

#[path = "hostile/build.rs"]
mod build;
#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/saved.rs"]
mod saved;

use peak_alloc::PeakAlloc;
use sae_harness::Config;
use sae_harness::data::from_bytes;
use sae_harness::model::attach_constants;
use sae_harness::model::file::ModelFile;
use sae_harness::stack::Stack;

use build::*;
use files::{File, hostile, right};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BESIDE: usize = 64 << 20;
/// The values of a large file: enough for a third copy of it to show.
const MANY: usize = 40 << 20;

/// The most memory that `work` holds at a time, beside what there was, and what it returns.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (MEMORY.peak_usage() - before, result)
}

/// Reads a file: the size of its samples, or why it is refused.
fn read(file: &File) -> Result<usize, String> {
    match file.target {
        "config" => {
            let text = String::from_utf8_lossy(&file.bytes);
            Config::parse(&text, file.name, &[]).map_or_else(|e| Err(e.to_string()), |_| Ok(1))
        }
        "model" => {
            let (text, tensors) = two(file);
            ModelFile::from_bytes(text, tensors).map_or_else(|e| Err(e.to_string()), |_| Ok(1))
        }
        "preprocess" => {
            let (text, tensors) = two(file);
            let mut constants = serde_json::from_slice(text).unwrap();
            attach_constants(&mut constants, tensors).map_or_else(|e| Err(e.to_string()), |()| Ok(1))
        }
        "stack" => {
            let (text, tensors) = two(file);
            Stack::from_bytes(text, tensors).map_or_else(|e| Err(e.to_string()), |_| Ok(1))
        }
        _ => from_bytes(file.name, &file.bytes).map_or_else(
            |e| Err(e.to_string()),
            |set| Ok(size_of_val(&set.data[..]) + set.labels.map_or(0, |labels| size_of_val(&labels[..]))),
        ),
    }
}

/// The two parts of a file that stands for two.
fn two(file: &File) -> (&[u8], &[u8]) {
    let end = file.bytes.iter().position(|&b| b == 0).unwrap();
    (&file.bytes[..end], &file.bytes[end + 1..])
}

/// Reads a file and holds it to the bound, and what is refused to its reason; `size` is its own, unpacked.
fn hold(file: &File, size: usize, accepted: bool) {
    let (peak, found) = peak(|| read(file));
    let name = format!("{} {}", file.target, file.name);
    let right = match &found {
        Ok(samples) => accepted && *samples > 0,
        Err(told) => !accepted && told.contains(file.told),
    };
    assert!(right, "{name}: {found:?}, `{}` expected", file.told);
    let samples = found.unwrap_or(0);
    assert!(peak <= samples + 2 * size + BESIDE, "{name}: {peak} bytes for a file of {size} and samples of {samples}");
}

/// Bytes that do not shrink when they are packed.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn large() -> Vec<(File, usize, bool)> {
    let bytes = noise(MANY);
    let rows = [1 << 10, (MANY >> 10) as u32];
    let image = idx(8, &rows, &bytes);
    let array = npy("|u1", false, "(1024, 40960)", &bytes);
    let fortran = npy("|u1", true, "(1024, 40960)", &bytes);
    let file = |target, name, bytes| File { target, name, bytes, told: "" };
    let packed = gzip(&image);
    let cut = packed[..packed.len() - 1].to_vec();
    let broken = patched(&npz(&[("X.npy", &array)], false), &bytes[MANY - 100..], &[0; 100]);
    let mut nan = npy("<f8", false, "(1024, 5120)", &vec![0; MANY]);
    let last = nan.len() - 8;
    nan[last..].copy_from_slice(&f64::NAN.to_le_bytes());
    let line = "1,".repeat(MANY / 2);
    let sizes = [image.len(), array.len(), fortran.len(), line.len()];
    vec![
        (file("gzip", "cut.idx.gz", cut), sizes[0], false),
        (file("gzip", "whole.idx.gz", packed), sizes[0], true),
        (file("npz", "checksum.npz", broken), sizes[1], false),
        (file("npz", "whole.npz", npz(&[("X.npy", &array)], true)), sizes[1], true),
        (file("npy", "fortran.npy", fortran), sizes[2], true),
        (file("npy", "nan.npy", nan), MANY, false),
        (file("csv", "line.csv", (line.clone() + "x\n").into_bytes()), sizes[3], false),
        (file("csv", "column.csv", "1\n".repeat(MANY / 2).into_bytes()), MANY, true),
        (file("model", "values", model(&format!("[{line}1]"), &[])), sizes[3], false),
    ]
}

#[test]
fn reading_takes_no_more_memory_than_is_promised() {
    for file in right() {
        hold(&file, file.bytes.len(), true);
    }
    for file in hostile() {
        // These are refused by the command, which knows more than the reader: the bytes of a TOML file that are no text, and
        // its length; and a map in `cfg.json` that is none or fits no model.
        let by_command = [("config", "bytes.toml"), ("config", "long.toml"), ("model", "map"), ("model", "no-map")];
        let constants = ["means", "spreads", "negative", "kind", "scale", "side"];
        let map = file.target == "preprocess" && constants.contains(&file.name);
        if !map && !by_command.contains(&(file.target, file.name)) {
            hold(&file, file.bytes.len(), false);
        }
    }
    for (file, size, accepted) in large() {
        hold(&file, size, accepted);
    }
}
