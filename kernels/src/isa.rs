//! Which instruction set runs: found once, or forced by name.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The environment variable that forces an instruction set.
pub const ISA_VARIABLE: &str = "SAE_KERNELS_ISA";

/// An instruction set that the kernels are instantiated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// x86-64 with AVX-512 F, DQ, BW and VL.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// 64-bit Arm.
    Neon,
    /// Anything: compile-time lanes of the `wide` crate.
    Portable,
}

impl Isa {
    /// Every instruction set, best first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// The name `SAE_KERNELS_ISA` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Whether this processor, and this build, can run it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Portable => true,
            #[allow(unreachable_patterns, reason = "which instruction sets are left depends on the target")]
            _ => false,
        }
    }

    /// Whether its multiply-adds round once, in this build.
    pub(crate) const fn is_fused(self) -> bool {
        match self {
            Self::Avx512 | Self::Avx2 | Self::Neon => true,
            Self::Portable => cfg!(any(
                all(target_arch = "aarch64", target_feature = "neon"),
                all(target_arch = "x86_64", target_feature = "fma")
            )),
        }
    }

    /// Whether it computes the same bits as every other such instruction set: all that can run here do, except the
    /// portable one on targets without fused multiply-add.
    pub fn keeps_bits(self) -> bool {
        self.is_available() && self.is_fused()
    }

    /// The instruction sets that can run here, best first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The best one there is, or the one `SAE_KERNELS_ISA` names.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that is none, [`Error::IsaUnavailable`] where the processor lacks it.
    pub fn detect() -> Result<Self, Error> {
        match std::env::var(ISA_VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse::<Self>()?.require(),
            _ => Ok(Self::available()[0]),
        }
    }

    /// Itself, where it can run.
    ///
    /// # Errors
    /// [`Error::IsaUnavailable`].
    pub fn require(self) -> Result<Self, Error> {
        if self.is_available() {
            return Ok(self);
        }
        let available: Vec<_> = Self::available().into_iter().map(Self::name).collect();
        Err(Error::IsaUnavailable { wanted: self, available: available.join(", ") })
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| Error::Unknown {
            what: "instruction set",
            found: name.to_owned(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    /// By the kernel's word for it, which is another source.
    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[cfg_attr(miri, ignore = "reads a file of the system")]
    fn what_linux_says_the_processor_has_is_available() {
        use super::Isa;

        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let Some(flags) = info.lines().find_map(|line| line.strip_prefix("flags")) else { return };
        let has = |names: &[&str]| names.iter().all(|name| flags.split_whitespace().any(|flag| flag == *name));
        assert_eq!(Isa::Avx2.is_available(), has(&["avx2", "fma"]));
        assert_eq!(Isa::Avx512.is_available(), has(&["avx512f", "avx512dq", "avx512bw", "avx512vl", "fma"]));
        assert!(Isa::Portable.is_available() && !Isa::Neon.is_available());
    }
}
