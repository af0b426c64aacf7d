//! The same work with nothing of it left in the caches.

use std::time::Instant;

use sae_harness::measure::{Lap, Repeat, Triad};

/// Streams through arrays larger than the last-level cache before every call, and times the calls alone.
pub(crate) struct Cold<R> {
    inner: R,
    memory: Triad,
}

impl<R> Cold<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, memory: Triad::new() }
    }

    pub(crate) fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: Repeat> Repeat for Cold<R> {
    fn repeat(&mut self, calls: u64) -> sae_harness::Result<Lap> {
        let (mut seconds, mut flops) = (0.0, None);
        for _ in 0..calls {
            self.memory.run();
            let start = Instant::now();
            flops = self.inner.repeat(1)?.flops;
            seconds += start.elapsed().as_secs_f64();
        }
        Ok(Lap { seconds, flops })
    }

    /// Most of the time goes by between the calls: few of them.
    fn shortest(&self) -> f64 {
        1e-3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_made_and_the_memory_is_not_timed() {
        let mut calls = 0;
        let mut cold = Cold::new(|| {
            calls += 1;
            Ok(None)
        });
        let start = Instant::now();
        let lap = cold.repeat(3).unwrap();
        // 48 MiB at least are streamed each time.
        assert!(lap.seconds < start.elapsed().as_secs_f64() / 2.0);
        drop(cold);
        assert_eq!(calls, 3);
    }
}
