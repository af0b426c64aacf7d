//! `sae info`: what this program can do on this machine.

use std::fmt::Write;

use sae_kernels::{BackendKind, CacheSizes, Isa, KernelInfo, kernels, openblas_config};
use serde_json::json;

use super::args::InfoArgs;
use super::output;
use crate::error::Result;
use crate::memory;

pub(super) fn run(args: InfoArgs) -> Result {
    let chosen = Isa::detect()?;
    let caches = CacheSizes::detect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let kernels = kernels();
    if args.json {
        return output::print_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processor": crate::measure::processor(),
            "arch": std::env::consts::ARCH,
            "os": std::env::consts::OS,
            "threads": threads,
            "round_trip_ns": crate::measure::round_trip_ns(),
            "memory_available_mib": memory::available().map(|bytes| bytes >> 20),
            "caches": { "l1": caches.l1, "l2": caches.l2, "l3": caches.l3 },
            "isa": chosen.name(),
            "isas": Isa::ALL.map(|isa| json!({ "name": isa.name(), "available": isa.is_available() })),
            "kernels": kernels.iter().map(|k| json!({
                "isa": k.isa.name(),
                "chosen": k.isa == chosen,
                "lanes": k.lanes,
                "panel": k.panel,
                "fma": k.fused,
                "tile": k.main_tile(),
                "tiles": k.tiles,
            })).collect::<Vec<_>>(),
            "backends": BackendKind::ALL.map(|kind| json!({ "name": kind.name(), "built": kind.is_built() })),
            "blas": openblas_config(),
        }));
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("version", env!("CARGO_PKG_VERSION"));
    line("processor", &crate::measure::processor());
    let apart = crate::measure::round_trip_ns();
    let apart = apart.map_or_else(String::new, |ns| format!(", {ns:.0} ns from one to another and back"));
    line("threads", &format!("{threads}{apart}"));
    line("caches", &format!("L1 {}, L2 {}, L3 {}", size(caches.l1), size(caches.l2), size(caches.l3)));
    if let Some(bytes) = memory::available() {
        line("memory", &format!("{} MiB available", bytes >> 20));
    }
    let isas = Isa::ALL.map(|isa| match () {
        () if isa == chosen => format!("{isa} (chosen)"),
        () if isa.is_available() => isa.to_string(),
        () => format!("{isa} (not here)"),
    });
    line("isa", &isas.join(", "));
    for kernel in &kernels {
        line(&format!("  {}", kernel.isa), &tiles(kernel));
    }
    let backends = BackendKind::ALL.map(|kind| match kind.is_built() {
        true => kind.to_string(),
        false => format!("{kind} (not built)"),
    });
    line("backends", &backends.join(", "));
    line("blas", openblas_config().as_deref().unwrap_or("none; build with the cargo feature openblas"));
    output::print(&text)
}

fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

/// `6x64 (panel 64); 64 wide: 6 5 4 3 2 1; …`
fn tiles(kernel: &KernelInfo) -> String {
    let (rows, width) = kernel.main_tile();
    let mut text = format!("tile {rows}x{width}, panel {}, heights", kernel.panel);
    let mut last = 0;
    for &(rows, width) in &kernel.tiles {
        let _ = match width == last {
            true => write!(text, " {rows}"),
            false => write!(text, "{} {width} wide: {rows}", if last == 0 { "" } else { ";" }),
        };
        last = width;
    }
    text
}
