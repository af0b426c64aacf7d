//! The machine's name.

use crate::error::one_line;

/// The processor's name.
pub fn processor() -> String {
    brand().or_else(model_name).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Leaves 0x80000002 to 0x80000004: 48 bytes of text.
#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    use core::arch::x86_64::__cpuid;
    const FIRST: u32 = 0x8000_0002;
    if __cpuid(0x8000_0000).eax < FIRST + 2 {
        return None;
    }
    let bytes: Vec<u8> = (FIRST..FIRST + 3)
        .flat_map(|leaf| {
            let r = __cpuid(leaf);
            [r.eax, r.ebx, r.ecx, r.edx].into_iter().flat_map(u32::to_le_bytes)
        })
        .take_while(|&byte| byte != 0)
        .collect();
    let name = one_line(String::from_utf8_lossy(&bytes).trim());
    (!name.is_empty()).then_some(name)
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    None
}

fn model_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"))?;
    line.split_once(':').map(|(_, name)| one_line(name.trim()))
}
