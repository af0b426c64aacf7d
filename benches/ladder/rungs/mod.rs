//! One product, `c [m, n] = a [m, k] · b [k, n]`, row-major, from three plain loops to the library's kernels. Each rung is a
//! small function that differs from the one below it in one thing. All give the same bits: each element is one chain of fused
//! multiply-adds in the order of k, whoever computes it.
//!
//! The library's kernels take any shape; to stay short, rungs 3 to 7 take only an `n` of whole strips, a multiple of 64.

mod blocks;
pub(crate) mod check;
mod library;
mod loops;
mod panels;
mod registers;
mod threads;
mod vectors;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Operands, row-major.
pub(crate) struct Problem {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// `[m, k]`
    pub(crate) a: Vec<f32>,
    /// `[k, n]`
    pub(crate) b: Vec<f32>,
    /// `[n]`, of the rungs that go on behind the product.
    pub(crate) bias: Vec<f32>,
}

impl Problem {
    /// Random operands: no zeros, the same in every run. Sums over k stay small.
    pub(crate) fn new([m, k, n]: [usize; 3]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut random = |len, low, high| (0..len).map(|_| rng.random_range(low..high)).collect();
        let limit = (6.0 / (k + n) as f32).sqrt();
        Self { m, k, n, a: random(m * k, 0.01, 1.0), b: random(k * n, -limit, limit), bias: random(n, -0.1, 0.1) }
    }
}

/// A rung with its operands, ready to run.
pub(crate) trait Run: Send {
    fn run(&mut self);

    /// Row-major `[m, n]`: what the last run has computed.
    fn result(&self) -> Vec<f32>;
}

/// What a rung computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Computes {
    /// `a·b`
    Product,
    /// `sigmoid(a·b + bias)` and the sums of its columns.
    Encode,
    /// A training step: five products of this size. Its result is the loss.
    Step,
}

pub(crate) struct Rung {
    pub(crate) name: &'static str,
    /// What is new.
    pub(crate) what: &'static str,
    pub(crate) computes: Computes,
    /// Whether it runs on all threads of the pool, instead of one.
    pub(crate) threads: bool,
    pub(crate) start: for<'a> fn(&'a Problem) -> Box<dyn Run + 'a>,
}

/// From the ground up.
pub(crate) const RUNGS: [Rung; 12] = [
    product("dot", "three plain loops", false, |p| plain(p, loops::dot)),
    product("rows", "the loops in another order", false, |p| plain(p, loops::rows)),
    product("registers", "a tile of the result stays in registers", false, |p| plain(p, registers::registers)),
    product("vectors", "the tile is of the size that fills them", false, |p| plain(p, vectors::vectors)),
    product("blocks", "a strip of b stays in the cache", false, |p| plain(p, blocks::blocks)),
    product("panels", "it is copied into one piece", false, |p| plain(p, panels::panels)),
    product("threads", "each takes some rows", true, |p| plain(p, threads::threads)),
    product("gemm", "the library's, any shape, memory asked for ahead", true, library::gemm),
    product("panel_major", "operands that are in panels already", true, library::panel_major),
    rung("passes", "bias, sigmoid, column sums: passes of their own", Computes::Encode, library::passes),
    rung("encode", "the same in the tile", Computes::Encode, library::encode),
    rung("step", "a whole training step of five such products", Computes::Step, library::step),
];

const fn product(
    name: &'static str,
    what: &'static str,
    threads: bool,
    start: for<'a> fn(&'a Problem) -> Box<dyn Run + 'a>,
) -> Rung {
    Rung { name, what, computes: Computes::Product, threads, start }
}

const fn rung(
    name: &'static str,
    what: &'static str,
    computes: Computes,
    start: for<'a> fn(&'a Problem) -> Box<dyn Run + 'a>,
) -> Rung {
    Rung { name, what, computes, threads: true, start }
}

/// A rung that is a function of the operands and the result.
struct Plain<'a> {
    problem: &'a Problem,
    function: fn(&Problem, &mut [f32]),
    c: Vec<f32>,
}

fn plain(problem: &Problem, function: fn(&Problem, &mut [f32])) -> Box<dyn Run + '_> {
    Box::new(Plain { problem, function, c: vec![f32::NAN; problem.m * problem.n] })
}

impl Run for Plain<'_> {
    fn run(&mut self) {
        (self.function)(self.problem, &mut self.c);
    }

    fn result(&self) -> Vec<f32> {
        self.c.clone()
    }
}
