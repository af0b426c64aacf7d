//! Any use of threads: a caller's pool, pools of one thread, many callers at once, calls from inside parallel loops.

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use sae_kernels::{Backend, Fused, Isa};

use crate::soak::Soak;
use crate::support::{Case, Data, Op, Places, Storage, run, share, training};

/// Calls of enough work to be split, of each operation.
fn calls() -> Vec<(Case, Data)> {
    let case = |op| Case::new(op, [150, 140, 130]);
    Op::one_of_each().into_iter().step_by(share()).map(|op| (case(op), Data::random(&case(op), 3))).collect()
}

type Bits = Vec<(&'static str, Vec<u64>)>;

/// Every call's bits, on a backend of its own.
fn all_bits(isa: Isa, calls: &[(Case, Data)]) -> Vec<Bits> {
    let mut fused = Fused::with_isa(isa).unwrap();
    let places = Places::all(Storage::Panel(fused.panel().unwrap()));
    calls.iter().map(|(case, data)| run(&mut fused, case, data, &places).bits()).collect()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn sixteen_threads_with_a_backend_each_compute_the_same() {
    let calls = calls();
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| all_bits(isa, &calls))).collect();
            for thread in threads {
                assert!(thread.join().unwrap() == expected, "{isa}");
            }
        });
    }
}

#[test]
fn sixteen_callers_of_one_pool_compute_the_same() {
    let (calls, isa, pool) = (calls(), Isa::detect().unwrap(), pool(3));
    let expected = all_bits(isa, &calls);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16).map(|_| scope.spawn(|| pool.install(|| all_bits(isa, &calls)))).collect();
        for caller in callers {
            assert!(caller.join().unwrap() == expected);
        }
    });
}

/// A call inside a parallel loop gives its own parts to the loop's threads, and may be handed parts of its neighbours'
/// while it waits.
#[test]
fn calls_inside_a_parallel_loop_compute_the_same() {
    let calls = calls();
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        for threads in [1, 2, 4] {
            let all: Vec<_> =
                pool(threads).install(|| (0..12).into_par_iter().map(|_| all_bits(isa, &calls)).collect());
            assert!(all.iter().all(|found| *found == expected), "{isa}, {threads} threads");
        }
    }
}

/// Scratch memory that was made for few threads serves many, and the other way round.
#[test]
fn a_backend_may_move_between_pools() {
    let calls = calls();
    let mut fused = Fused::new().unwrap();
    let places = Places::TIGHT;
    for (case, data) in &calls {
        let expected = pool(1).install(|| run(&mut fused, case, data, &places).bits());
        for threads in [4, 2, 7, 1] {
            let found = pool(threads).install(|| run(&mut fused, case, data, &places).bits());
            assert!(found == expected, "{threads} threads: {case:?}");
        }
    }
}

#[test]
fn sixty_four_threads_at_once_compute_the_same() {
    let calls = calls();
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        assert_eq!(at_once(64, isa, &calls, &expected), 0, "{isa}");
    }
}

/// How many of so many threads compute something else.
fn at_once(threads: usize, isa: Isa, calls: &[(Case, Data)], expected: &[Bits]) -> usize {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| all_bits(isa, calls) == expected)).collect();
        all.into_iter().map(|thread| usize::from(!thread.join().unwrap())).sum()
    })
}

#[test]
fn more_threads_than_cores_compute_the_same() {
    let calls = calls();
    let pool_of_many = pool(4 * std::thread::available_parallelism().map_or(8, usize::from));
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        assert!(pool_of_many.install(|| all_bits(isa, &calls)) == expected, "{isa}");
    }
}

/// A call needs no more. In a parallel loop a waiting thread takes other turns of the loop on top of its own, and each of
/// them has several KiB of this test's frames below those of the kernels.
#[test]
fn stacks_of_64_kib_are_enough_for_a_call_and_128_for_a_parallel_loop() {
    let calls = calls();
    let (small, twice) = (small_stacks(4, 64), small_stacks(4, 128));
    for isa in Isa::available() {
        let expected = pool(1).install(|| all_bits(isa, &calls));
        assert!(small.install(|| all_bits(isa, &calls)) == expected, "{isa}");
        let all: Vec<_> = twice.install(|| (0..12).into_par_iter().map(|_| all_bits(isa, &calls)).collect());
        assert!(all.iter().all(|found| *found == expected), "{isa}");
    }
}

fn small_stacks(threads: usize, kib: usize) -> rayon::ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).stack_size(kib << 10).build().unwrap()
}

/// A child that `fork` made has the memory of its parent but not the threads: a pool that its parent had is dead.
#[cfg(all(unix, not(miri)))]
mod fork {
    use std::time::{Duration, Instant};

    use super::*;

    /// What a child does and what it has to compute; where the parent is when it forks.
    pub(super) fn child_computes(work: impl FnOnce() -> bool) -> Result<(), String> {
        // SAFETY: the child calls the code under test and `_exit`. What it needs of other threads' locks is what is tested;
        // the C library keeps its own usable.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: ends the child at once, without the exit handlers of its parent.
            unsafe { libc::_exit(if same { 0 } else { 1 }) };
        }
        if child < 0 {
            return Err(std::io::Error::last_os_error().to_string());
        }
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let mut status = 0;
            // SAFETY: asks for the state of the child that was just made.
            let done = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
            if done == child {
                return if status == 0 { Ok(()) } else { Err(format!("the child's status is {status:#x}")) };
            }
            if Instant::now() > end {
                // SAFETY: ends and reaps that child.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, &raw mut status, 0);
                }
                return Err("the child hangs".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// In a child, with a backend of its own or one its parent has used, on dead pools and on a new one.
    pub(super) fn all_ways(isa: Isa, calls: &[(Case, Data)], expected: &[Bits]) -> Result<(), String> {
        // From here on the global pool has its threads.
        rayon::broadcast(|_| ());
        let same = || all_bits(isa, calls) == expected;
        if !same() {
            return Err("the parent computes something else".to_owned());
        }
        child_computes(same).map_err(|e| format!("the global pool: {e}"))?;
        child_computes(|| pool(2).install(same) && same()).map_err(|e| format!("a pool of the child: {e}"))?;
        let parents = pool(2);
        parents.install(|| {
            same();
            child_computes(same).map_err(|e| format!("from inside a pool: {e}"))
        })?;
        child_computes(|| child_computes(same).is_ok()).map_err(|e| format!("a child's child: {e}"))
    }

    /// In a process of its own where OpenBLAS is built in: that one ends its threads before a fork, and another test that has just
    /// given them work would wait for them for ever.
    #[test]
    fn a_child_of_fork_computes_the_same() {
        const ALONE: &str = "SAE_FORKS_ALONE";
        if cfg!(feature = "openblas") && std::env::var_os(ALONE).is_none() {
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            alone.args(["--exact", "threads::fork::a_child_of_fork_computes_the_same"]).env(ALONE, "1");
            let found = alone.output().unwrap();
            let said = [found.stdout, found.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
            return assert!(found.status.success() && said.contains("1 passed"), "{}: {said}", found.status);
        }
        let calls = calls();
        let isa = Isa::detect().unwrap();
        let expected = pool(1).install(|| all_bits(isa, &calls));
        for _ in 0..3 {
            all_ways(isa, &calls, &expected).unwrap();
        }
    }
}

/// A part of `make soak`: every way to use threads, a thousand times each. What hangs is ended from outside.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    const LOOPS: u64 = 1000;
    let mut soak = Soak::start();
    let isas = Isa::available();
    // A few of the calls in each loop, all of them in turn.
    let calls: Vec<_> = calls().into_iter().map(|(case, _)| (case, Data::random(&case, soak.seed))).collect();
    let groups: Vec<_> = calls.chunks(3).collect();
    let bits = |isa: Isa| groups.iter().map(|calls| pool(1).install(|| all_bits(isa, calls))).collect::<Vec<_>>();
    let expected: Vec<_> = isas.iter().map(|&isa| bits(isa)).collect();
    let (three, many, small) = (pool(3), pool(32), small_stacks(4, 128));
    let mut loops = 0;
    while soak.goes_on() && loops < LOOPS {
        let (which, group) = (loops as usize % isas.len(), loops as usize / isas.len() % groups.len());
        let (isa, calls, expected) = (isas[which], groups[group], &expected[which][group]);
        let same = || all_bits(isa, calls) == *expected;
        let nested = |pool: &rayon::ThreadPool| pool.install(|| (0..8).into_par_iter().all(|_| same()));
        let ways = [
            ("64 threads at once", at_once(64, isa, calls, expected) == 0),
            ("more threads than cores", many.install(same)),
            ("nested in a parallel loop", nested(&three)),
            ("nested, on stacks of 128 KiB", nested(&small)),
            ("after fork", after_fork(isa, calls, expected)),
        ];
        for (way, right) in ways {
            soak.cases += 1;
            if !right {
                soak.fault(&format!("loop {loops}, {isa}: {way}"));
            }
        }
        loops += 1;
    }
    soak.finish(&format!("loops={loops} ways=5"));
}

/// Whether children compute the same; true where there is no `fork`.
fn after_fork(isa: Isa, calls: &[(Case, Data)], expected: &[Bits]) -> bool {
    #[cfg(all(unix, not(miri)))]
    return fork::all_ways(isa, calls, expected).inspect_err(|error| println!("{error}")).is_ok();
    #[cfg(not(all(unix, not(miri))))]
    {
        let _ = (isa, calls, expected);
        true
    }
}

#[test]
fn training_runs_at_once_compute_the_same() {
    let setup = training::setups().remove(0);
    let run = || {
        let mut fused = Fused::new().unwrap();
        let panel = fused.panel();
        training::run(&mut fused, panel, &setup)
    };
    let expected = run();
    let all: Vec<_> = (0..4).into_par_iter().map(|_| run()).collect();
    assert!(all.iter().all(|found| *found == expected));
}
