//! The machine's name.

use crate::error::one_line;

/// The processor's name.
pub fn processor() -> String {
    brand().or_else(model_name).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Family and model of an x86-64 processor, as its maker counts them: what tells processors of one name apart.
#[cfg(target_arch = "x86_64")]
pub fn family_and_model() -> Option<(u32, u32)> {
    use core::arch::x86_64::__cpuid;
    Some(split(__cpuid(1).eax))
}

/// Family and model of an x86-64 processor: there is none.
#[cfg(not(target_arch = "x86_64"))]
pub fn family_and_model() -> Option<(u32, u32)> {
    None
}

/// The extended family counts only beside the base family 15, the extended model beside 6 and 15.
#[cfg(any(target_arch = "x86_64", test))]
fn split(signature: u32) -> (u32, u32) {
    let bits = |from: u32, count: u32| (signature >> from) & ((1 << count) - 1);
    let base = bits(8, 4);
    let family = if base == 15 { base + bits(20, 8) } else { base };
    let model = if base == 6 || base == 15 { bits(4, 4) + (bits(16, 4) << 4) } else { bits(4, 4) };
    (family, model)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Signatures from the makers' manuals: Zen 4 (Genoa), Zen 5 (Turin), Sapphire Rapids, the first Pentium.
    #[test]
    fn a_signature_is_split_into_family_and_model() {
        assert_eq!(split(0x00a1_0f11), (25, 17));
        assert_eq!(split(0x00b0_0f21), (26, 2));
        assert_eq!(split(0x0008_06f8), (6, 143));
        assert_eq!(split(0x0000_0517), (5, 1));
    }
}
