//! SIGINT and SIGTERM: the first asks for an end, the second is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Error, Result};

/// Takes signals from when it is made on.
#[derive(Debug)]
pub(super) struct Interrupt {
    /// Whether the next signal ends the process at once.
    armed: Arc<AtomicBool>,
    /// The signal that came; 0 for none.
    received: Arc<AtomicUsize>,
}

/// A signal that asks for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    number: i32,
}

impl Signal {
    /// The exit code of a process that it ended: 128 and its number.
    pub(super) fn exit_code(self) -> u8 {
        128 + self.number as u8
    }
}

impl Interrupt {
    /// Listens. A first signal is remembered, a second one ends the process at once, with the same exit code.
    ///
    /// # Errors
    /// [`Error::Failed`] where the system refuses.
    pub(super) fn listen() -> Result<Self> {
        let this = Self { armed: Arc::default(), received: Arc::default() };
        for number in [SIGINT, SIGTERM] {
            let signal = Signal { number };
            // In this order: the signal that arms is not the one that ends.
            flag::register_conditional_shutdown(number, signal.exit_code().into(), Arc::clone(&this.armed))
                .and_then(|_| flag::register_usize(number, Arc::clone(&this.received), number as usize))
                .and_then(|_| flag::register(number, Arc::clone(&this.armed)))
                .map_err(|e| Error::Failed(format!("signals cannot be caught: {e}")))?;
        }
        Ok(this)
    }

    /// The signal that came.
    pub(super) fn received(&self) -> Option<Signal> {
        match self.received.load(Ordering::SeqCst) {
            0 => None,
            number => Some(Signal { number: number as i32 }),
        }
    }

    /// From now on every signal ends the process at once.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}
