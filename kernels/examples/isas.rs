//! The instruction sets of this machine, best first: what `SAE_KERNELS_ISA` takes.
//!
//! ```text
//! cargo run -p sae-kernels --example isas               a table
//! cargo run -p sae-kernels --example isas -- --names    the names alone, for scripts
//! ```

use sae_kernels::{Backend, Error, Fused, Isa};

fn main() -> Result<(), Error> {
    let names_only = std::env::args().any(|arg| arg == "--names");
    if !names_only {
        println!("{:<10} {:>6}  same bits as the others", "name", "panel");
    }
    for isa in Isa::available() {
        if names_only {
            println!("{isa}");
            continue;
        }
        let panel = Fused::with_isa(isa)?.panel().expect("the fused backend works in panels");
        println!("{isa:<10} {panel:>6}  {}", if isa.keeps_bits() { "yes" } else { "no: no fused multiply-add" });
    }
    Ok(())
}
