//! Each race in a process of its own, so that a contender that takes its process down takes no results with it.
//!
//! The contenders of a race still share one process and run in turn. Where that process fails, the race is held
//! anew without each of them in turn; the one without whom it ends is recorded as crashed.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Args;
use crate::contender::{Contender, FUSED};
use crate::parts::{Part, Race};
use crate::record::{self, Row};

/// What no race takes that goes on at all; compilers run in some.
const LONGEST: Duration = Duration::from_secs(600);
/// How long threads look out for work once they have none, so that they sleep while others have their turns, which rest
/// for longer before: those of Intel's OpenMP in ms, and those of OpenBLAS as the power of two of the clock's ticks.
const BLOCKTIMES: [(&str, &str); 2] = [("KMP_BLOCKTIME", "20"), ("OPENBLAS_THREAD_TIMEOUT", "24")];

/// How often a race is held at most while other work takes the processor.
const ATTEMPTS: u32 = 3;

/// A race, and the arguments that find it again.
pub(crate) struct Apart<'a> {
    pub(crate) part: Part,
    pub(crate) index: usize,
    pub(crate) race: &'a Race,
    pub(crate) threads: &'a [usize],
    pub(crate) args: &'a Args,
}

impl Apart<'_> {
    /// The rows of a race between the fused kernels and these; `None` where the process failed.
    fn run(&self, names: &[String], quiet: bool) -> Result<Option<Vec<Row>>> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let threads: Vec<String> = self.threads.iter().map(usize::to_string).collect();
        let mut command = Command::new(program);
        command.args(["--part", self.part.name(), "--race", &self.index.to_string()]);
        command.args(["--reps", &self.args.reps.to_string(), "--threads", &threads.join(",")]);
        for path in &self.args.cblas {
            command.arg("--cblas").arg(path);
        }
        if let Some(python) = &self.args.python {
            command.arg("--python").arg(python);
        }
        command.envs(BLOCKTIMES);
        command.args(["--only", if names.is_empty() { FUSED.to_owned() } else { names.join(",") }.as_str()]);
        command.stderr(if quiet { Stdio::null() } else { Stdio::inherit() });
        let mut child = command.stdout(Stdio::piped()).spawn().context("this program cannot run itself")?;
        // The rows of a race are few enough for a pipe to hold: nothing has to be read before the end.
        let started = Instant::now();
        let done = loop {
            match child.try_wait()? {
                Some(status) => break status.success(),
                None if started.elapsed() > LONGEST => {
                    child.kill()?;
                    child.wait()?;
                    break false;
                }
                None => sleep(Duration::from_millis(20)),
            }
        };
        if !done {
            return Ok(None);
        }
        let mut rows = Vec::new();
        child.stdout.take().context("the output was asked for")?.read_to_end(&mut rows)?;
        record::parse(&rows).map(Some)
    }
}

/// Measures a race in other processes: one row a contender.
///
/// # Errors
/// Where the race fails for a reason that is no single contender's.
pub(crate) fn hold(apart: &Apart<'_>, commit: &str) -> Result<Vec<Row>> {
    let peers: Vec<&Contender> = apart.race.contenders.iter().filter(|contender| !contender.is_ours()).collect();
    let names: Vec<String> = peers.iter().map(|peer| peer.name()).collect();
    for attempt in 1.. {
        match apart.run(&names, false)? {
            Some(rows) if attempt < ATTEMPTS && rows.iter().any(Row::is_disturbed) => eprintln!("disturbed: once more"),
            Some(rows) => return Ok(rows),
            None => break,
        }
    }
    // Who crashes may do so only now and then: guilty is whose absence lets the others finish.
    for peer in peers {
        let name = peer.name();
        let others: Vec<String> = names.iter().filter(|other| **other != name).cloned().collect();
        if let Some(mut rows) = apart.run(&others, false)? {
            eprintln!("{name}: its process ended before its work did");
            rows.push(Row::failed(apart.part, apart.race, peer, apart.args.reps, commit));
            return Ok(rows);
        }
    }
    bail!("race {} of {} fails whoever is left out", apart.index, apart.part.name());
}
