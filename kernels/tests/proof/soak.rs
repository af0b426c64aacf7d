//! What a part of `make soak` is told, and what it says: see docs/TESTING.md.

use std::time::{Duration, Instant};

/// A run of random cases: from which seed, until when, and what it has found.
pub(crate) struct Soak {
    pub(crate) seed: u64,
    until: Instant,
    pub(crate) cases: u64,
    pub(crate) faults: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

impl Soak {
    /// As `SOAK_SEED` and `SOAK_SECONDS` say.
    pub(crate) fn start() -> Self {
        let until = Instant::now() + Duration::from_secs(number("SOAK_SECONDS", 1500));
        Self { seed: number("SOAK_SEED", 1), until, cases: 0, faults: 0 }
    }

    /// Whether to go on: for as long as there is time, and on from a fault only a few times.
    pub(crate) fn goes_on(&self) -> bool {
        Instant::now() < self.until && self.faults < 20
    }

    /// Seconds left.
    #[cfg(all(unix, not(miri)))]
    pub(crate) fn left(&self) -> u64 {
        self.until.saturating_duration_since(Instant::now()).as_secs()
    }

    /// Writes down a fault and how to see it again.
    pub(crate) fn fault(&mut self, what: &str) {
        println!("fault: {what}");
        self.faults += 1;
    }

    /// The line that is recorded. Fails where there were faults.
    pub(crate) fn finish(self, details: &str) {
        println!("soak: cases={} faults={} {details}", self.cases, self.faults);
        assert_eq!(self.faults, 0, "faults");
    }
}

/// A number of its own for each seed and case: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) fn mix(seed: u64, case: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(case);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
