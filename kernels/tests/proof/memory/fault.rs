//! What happens where a process touches an unreadable page: it says which call that was in, and dies.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of the call at hand.
pub(super) static NUMBER: AtomicU64 = AtomicU64::new(u64::MAX);

/// Has every thread's fault reported: `guard: fault N address A` on stderr, with numbers in hexadecimal, and the process
/// killed by the same signal.
pub(super) fn watch() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: an all-zero `sigaction` is a valid one, and the handler calls nothing but what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
            assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
        }
    }
}

/// Returns, with the default action restored: the access is repeated and ends the process.
extern "C" fn handler(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the system hands a valid `siginfo_t` to a handler with SA_SIGINFO; `write` may be called in one.
    unsafe {
        let mut line = *b"guard: fault 0000000000000000 address 0000000000000000\n";
        hexadecimal(&mut line[13..29], NUMBER.load(Ordering::Relaxed));
        hexadecimal(&mut line[38..54], (*info).si_addr() as u64);
        libc::write(2, line.as_ptr().cast(), line.len());
    }
}

fn hexadecimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
    }
}
