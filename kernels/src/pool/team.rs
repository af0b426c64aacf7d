//! Threads that stay together from one piece of work to the next.
//!
//! A training step is five products with little between them. Where each forks and joins by itself, the threads fall
//! asleep and are woken five times. A team forks once: its leader runs the step, and its helpers wait, first awake and
//! then asleep, for the pieces that [`for_each`](super::for_each) publishes.
//!
//! ```text
//! leader    body ── publish ── units ── close ─ wait ── body ── publish ── units ── …
//! helpers   wait ─────┴─ enter ─ units ─ leave ──┘  wait ─────────┴─ …
//! ```
//!
//! The leader needs none of its helpers: one that comes late, or never because rayon's threads are busy elsewhere, finds
//! fewer units or none.

use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::num::NonZeroUsize;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use super::Waiting;

/// Work, given the slot.
pub(super) type Work<'a> = dyn Fn(usize) + Sync + 'a;

/// What the threads of one step share.
struct Team {
    slots: usize,
    /// `round << 32 | helpers inside << 1 | open`: a helper may only enter while a round is open.
    state: AtomicU64,
    /// The work of the open round.
    work: UnsafeCell<*const Work<'static>>,
    /// Helpers that sleep, or are about to.
    asleep: AtomicUsize,
    door: Mutex<()>,
    bell: Condvar,
}

// SAFETY: `work` is written by the leader while no round is open and nobody is inside, and read by helpers inside only;
// `state` orders the two.
unsafe impl Sync for Team {}

const OPEN: u64 = 1;
const INSIDE: u64 = 2;
const COUNT: u64 = (1 << 32) - INSIDE;
const ROUND: u64 = 1 << 32;
/// The round after which there is none.
const OVER: u64 = u64::MAX;

/// How long a thread waits before it lets others run, and before it sleeps: some microseconds, and some tens.
const SPINS: u32 = 400;
const YIELDS: u32 = 40;

thread_local! {
    /// The team that this thread leads.
    static LED: Cell<*const Team> = const { Cell::new(ptr::null()) };
}

/// Spins that are worth while: none where threads have to take turns.
fn spins(slots: usize) -> u32 {
    static CORES: OnceLock<usize> = OnceLock::new();
    let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
    if slots > cores { 0 } else { SPINS }
}

/// Runs `body` with a team of `slots` threads, itself one of them.
pub(super) fn lead<R: Send>(slots: usize, body: impl FnOnce() -> R + Send) -> R {
    if slots <= 1 || !LED.get().is_null() || Waiting::is_here() {
        return body();
    }
    let team = Team {
        slots,
        state: AtomicU64::new(0),
        work: UnsafeCell::new(&|_| ()),
        asleep: AtomicUsize::new(0),
        door: Mutex::new(()),
        bell: Condvar::new(),
    };
    let led = || {
        let _end = Leading::begin(&team);
        body()
    };
    let _waiting = Waiting::begin();
    rayon::join(led, || super::fork(1..slots, &|_| team.help())).0
}

/// Whether this thread leads a team.
pub(super) fn is_led() -> bool {
    !LED.get().is_null()
}

/// Runs `work` here and on each thread of the team that finds the time for it. False where this thread leads no team.
pub(super) fn run(work: &Work<'_>) -> bool {
    let team = LED.get();
    if team.is_null() {
        return false;
    }
    // SAFETY: the pointer is there only while `lead` of this thread is, and with it the team.
    unsafe { &*team }.publish(work);
    true
}

/// A leader at work; its end, by a panic too, is the team's.
struct Leading<'a>(&'a Team);

impl<'a> Leading<'a> {
    fn begin(team: &'a Team) -> Self {
        LED.set(team);
        Self(team)
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        LED.set(ptr::null());
        self.0.call(OVER);
    }
}

/// A round that is open; its end, by a panic too, closes it and waits for those inside.
struct Round<'a>(&'a Team);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let mut waited = Wait::new(self.0.slots);
        let mut state = self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        while state & COUNT != 0 {
            waited.once_more();
            state = self.0.state.load(Ordering::Acquire);
        }
    }
}

impl Team {
    fn publish(&self, work: &Work<'_>) {
        // SAFETY: a lifetime is all that changes. Helpers call it inside this round only, which ends before this returns.
        let endless: *const Work<'static> = unsafe { std::mem::transmute(ptr::from_ref(work)) };
        // SAFETY: no round is open and nobody is inside: the last one's end has waited for that.
        unsafe { *self.work.get() = endless };
        let before = self.state.load(Ordering::Relaxed);
        let open = ((before & !(ROUND - 1)) + ROUND) | OPEN;
        let _end = Round(self);
        self.call(open);
        work(super::slot());
    }

    /// Enters a new state, and wakes those who sleep until there is one. Either this thread finds that somebody sleeps, or that
    /// one finds the new state. A store would do as well as the swap, where loads behind it stay behind; QEMU 7.2 on x86 lets
    /// 64-bit Arm's overtake it, and sleepers were not woken.
    fn call(&self, state: u64) {
        self.state.swap(state, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            drop(self.door.lock().unwrap_or_else(PoisonError::into_inner));
            self.bell.notify_all();
        }
    }

    /// Takes part in each round until there are no more.
    fn help(&self) {
        let mut seen = 0;
        let mut waited = Wait::new(self.slots);
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state == OVER {
                return;
            }
            let round = state >> 32;
            if round == seen || state & OPEN == 0 {
                if waited.enough() {
                    self.sleep(seen);
                    waited = Wait::new(self.slots);
                } else {
                    waited.once_more();
                }
                continue;
            }
            if self.state.compare_exchange(state, state + INSIDE, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            let _inside = Inside(self);
            seen = round;
            waited = Wait::new(self.slots);
            // SAFETY: written before this round was opened, and alive until all are outside.
            unsafe { (**self.work.get())(super::slot()) };
        }
    }

    /// Until a round after `seen` is open, or there are no more.
    fn sleep(&self, seen: u64) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        loop {
            let state = self.state.load(Ordering::SeqCst);
            if state == OVER || (state & OPEN != 0 && state >> 32 != seen) {
                break;
            }
            door = self.bell.wait(door).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A helper at work.
struct Inside<'a>(&'a Team);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(INSIDE, Ordering::Release);
    }
}

/// Waiting, first awake, then letting others run.
struct Wait {
    spins: u32,
    yields: u32,
}

impl Wait {
    fn new(slots: usize) -> Self {
        Self { spins: spins(slots), yields: YIELDS }
    }

    fn enough(&self) -> bool {
        self.spins == 0 && self.yields == 0
    }

    fn once_more(&mut self) {
        if self.spins > 0 {
            self.spins -= 1;
            hint::spin_loop();
        } else {
            self.yields = self.yields.saturating_sub(1);
            thread::yield_now();
        }
    }
}
