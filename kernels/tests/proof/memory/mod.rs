//! Not one byte out of range: every operation on every instruction set, with operands that touch unreadable pages.
//!
//! Calls are made in a process of their own, because a fault ends it; what is left of the list then goes on in the next.
//! To see a call again that a fault names:
//!
//! ```text
//! SAE_GUARD="LIST SEED NUMBER 1" cargo test -p sae-kernels --test proof memory::worker -- --ignored --exact --nocapture
//! ```

mod arena;
mod call;
mod fault;
mod session;

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::soak::Soak;
use crate::support::{share, this_again};
use call::{Call, List, What};
use session::{Sabotage, Session};

/// Some calls of a list.
#[derive(Clone, Copy, Debug)]
struct Task {
    list: &'static str,
    seed: u64,
    first: u64,
    count: u64,
    /// Every which one.
    step: u64,
    seconds: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    calls: u64,
    faults: Vec<String>,
}

const VARIABLE: &str = "SAE_GUARD";
const SABOTAGE: &str = "SAE_GUARD_SABOTAGE";
const SABOTAGES: [Sabotage; 5] =
    [Sabotage::ReadBehind, Sabotage::WriteBefore, Sabotage::WriteGap, Sabotage::WriteInput, Sabotage::LeaveOutput];

fn list(name: &str) -> List {
    match name {
        "edges" => List::Edges,
        "random" => List::Random,
        _ => panic!("{VARIABLE}: no list is called {name}"),
    }
}

/// Makes the calls that the environment names, and says on stdout how many there were and what was wrong.
#[test]
#[ignore = "the process that other tests start"]
fn worker() {
    let task = std::env::var(VARIABLE).expect("the list, the seed, the first number, how many, every which, seconds");
    let mut words = task.split_whitespace();
    let list = list(words.next().expect("a list"));
    let mut number = |default| words.next().map_or(default, |word| word.parse::<u64>().expect("a number"));
    let (seed, first, count, step, seconds) = (number(1), number(0), number(1), number(1), number(3600));
    let sabotage = std::env::var(SABOTAGE).ok().map(|i| SABOTAGES[i.parse::<usize>().expect("a number")]);

    fault::watch();
    let mut session = Session::new();
    session.sabotage = sabotage;
    let end = Instant::now() + Duration::from_secs(seconds);
    let (last, mut clean) = (first.saturating_add(count.saturating_mul(step)).min(list.len()), first);
    let mut number = first;
    while number < last && Instant::now() < end {
        let call = if sabotage.is_some() { sabotaged(&list, seed, number) } else { list.call(seed, number) };
        fault::NUMBER.store(number, Ordering::Relaxed);
        match catch_unwind(AssertUnwindSafe(|| session.make(&call))) {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => println!("guard: wrong {number} {wrong}"),
            Err(_) => {
                println!("guard: wrong {number} panicked");
                session = Session::new();
            }
        }
        number += step;
        if number / step % 4096 == 0 || number >= last {
            if let Some(damage) = session.damage() {
                println!("guard: wrong {number} between {clean} and here: {damage}");
                session = Session::new();
            }
            clean = number;
        }
        if number / step % 256 == 0 {
            println!("guard: until {number}");
        }
    }
    println!("guard: until {number}");
}

/// The next call on a plain product whose operands lie as a sabotage needs them.
fn sabotaged(list: &List, seed: u64, number: u64) -> Call {
    let mut call = list.call(seed, number);
    call.case = crate::support::Case::new(crate::support::Op::Store, [5, 7, 3]);
    call.what = What::Product(call.case.op);
    let tight = |edge| arena::Spot { store: arena::Store::RowMajor(0), edge, apart: false };
    (call.spots[call::A], call.spots[call::OUT]) = (tight(arena::Edge::Right), tight(arena::Edge::Left));
    call
}

/// Runs workers, one after the other, until the task is done.
fn carry_out(mut task: Task, sabotage: Option<usize>) -> Outcome {
    let mut outcome = Outcome::default();
    let end = Instant::now() + Duration::from_secs(task.seconds);
    loop {
        let Task { list: name, seed, first, count, step, .. } = task;
        let seconds = end.saturating_duration_since(Instant::now()).as_secs();
        let mut command = this_again();
        command.args(["memory::worker", "--ignored", "--exact", "--nocapture", "--test-threads", "1"]);
        command.env(VARIABLE, format!("{name} {seed} {first} {count} {step} {seconds}"));
        match sabotage {
            Some(which) => command.env(SABOTAGE, which.to_string()),
            None => command.env_remove(SABOTAGE),
        };
        let done = command.output().expect("this process can be started again");
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let again = |number: u64| {
            let call = list(name).call(seed, number);
            format!("{VARIABLE}=\"{name} {seed} {number} 1\": {call:?}")
        };
        let mut until = first;
        for line in out.lines().filter_map(|line| line.split_once("guard: ")).map(|(_, line)| line) {
            let mut words = line.splitn(3, ' ');
            let (kind, number) = (words.next(), words.next().and_then(|word| word.parse().ok()).unwrap_or(0));
            match kind {
                Some("until") => until = number,
                _ => outcome.faults.push(format!("{}: {}", words.next().unwrap_or(""), again(number))),
            }
        }
        if done.status.success() {
            outcome.calls += 2 * (until - first) / step;
            return outcome;
        }
        // Dead: in the call that its last words name.
        let word = |line: &str| line.split(' ').nth(2).and_then(|word| u64::from_str_radix(word, 16).ok());
        let number = err.lines().find(|line| line.starts_with("guard: fault")).and_then(word).unwrap_or(until);
        let how =
            done.status.signal().map_or_else(|| format!("{}\n{err}", done.status), |signal| format!("signal {signal}"));
        outcome.faults.push(format!("{how}: {}", again(number)));
        outcome.calls += 2 * (number - first) / step;
        let next = number + step;
        task = Task { first: next, count: count.saturating_sub((next - first) / step), ..task };
        if outcome.faults.len() >= 20 || task.count == 0 {
            return outcome;
        }
    }
}

#[test]
fn nothing_out_of_range_is_touched_at_every_edge_of_every_operation() {
    let step = share() as u64;
    let count = List::Edges.len().div_ceil(step);
    let outcome = carry_out(Task { list: "edges", seed: 1, first: 0, count, step, seconds: 3600 }, None);
    assert!(outcome.faults.is_empty(), "{:#?}", outcome.faults);
    assert_eq!(outcome.calls, 2 * count);
    assert!(step > 1 || outcome.calls > 100_000);
}

#[test]
fn nothing_out_of_range_is_touched_in_random_calls() {
    let count = 20_000 / share() as u64;
    let outcome = carry_out(Task { list: "random", seed: 0, first: 0, count, step: 1, seconds: 3600 }, None);
    assert!(outcome.faults.is_empty(), "{:#?}", outcome.faults);
    assert_eq!(outcome.calls, 2 * count);
}

/// What finds nothing proves nothing: each way to touch what is not an operand's is noticed, in each call.
#[test]
fn a_deliberate_fault_is_found() {
    for (i, sabotage) in SABOTAGES.into_iter().enumerate() {
        let outcome = carry_out(Task { list: "random", seed: 0, first: 0, count: 3, step: 1, seconds: 3600 }, Some(i));
        assert!(outcome.faults.len() >= 3, "{sabotage:?}: {:#?}", outcome.faults);
        let dies = matches!(sabotage, Sabotage::ReadBehind | Sabotage::WriteBefore);
        let killed = outcome.faults.iter().filter(|fault| fault.starts_with("signal")).count();
        assert_eq!(killed, if dies { 3 } else { 0 }, "{sabotage:?}: {:#?}", outcome.faults);
    }
}

/// A part of `make soak`: two processes, one number each of the same list in turn.
#[test]
#[ignore = "runs for SOAK_SECONDS"]
fn soak() {
    let mut soak = Soak::start();
    let (seed, seconds) = (soak.seed, soak.left());
    let run = |first| carry_out(Task { list: "random", seed, first, count: u64::MAX / 4, step: 2, seconds }, None);
    let outcomes = std::thread::scope(|scope| {
        let workers = [0, 1].map(|first| scope.spawn(move || run(first)));
        workers.map(|worker| worker.join().expect("the worker's process was started"))
    });
    for outcome in outcomes {
        soak.cases += outcome.calls;
        outcome.faults.iter().for_each(|fault| soak.fault(fault));
    }
    soak.finish("list=random");
}
