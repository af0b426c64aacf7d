//! Batches of rows that are read ahead by a thread of its own, a window after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::feed::{Feed, Position};
use super::stream::{RowStream, WINDOWS};
use super::{Plan, TrainingSet};
use crate::data::shards::Reader;
use crate::error::{Error, Result};
use crate::model::Batch;

/// Batches out of windows.
#[derive(Debug)]
pub(super) struct Streamed {
    plan: Plan,
    stream: Arc<RowStream>,
    reading: Option<Reading>,
    window: Option<Window>,
    /// Rows of the window that were seen.
    seen: usize,
    /// The position that is next without going back.
    next: Option<Position>,
    /// The rows of the last batch.
    rows: Vec<u64>,
    /// A batch out of more than one window.
    joined: Vec<f32>,
    waited: f64,
}

/// Rows that are in memory together.
#[derive(Debug, Default)]
struct Window {
    epoch: u64,
    /// `[rows, width]`, in the order in which they were read.
    data: Vec<f32>,
    /// Which row of the data each is.
    origin: Vec<u64>,
    /// In which order they are seen.
    order: Vec<usize>,
}

impl Window {
    /// Without rows, and with room for as many as a window of `stream` may have: room that is found on the way is twice as much.
    fn clear(&mut self, stream: &RowStream, epoch: u64) {
        let rows = stream.blocks.extent().0 * stream.blocks.block_rows();
        let rows = rows.min(stream.rows as usize);
        self.epoch = epoch;
        self.data.clear();
        self.data.reserve_exact(rows * stream.width);
        self.origin.clear();
        self.origin.reserve_exact(rows);
        self.order.clear();
        self.order.reserve_exact(rows);
    }
}

/// The thread that reads, from some window on.
#[derive(Debug)]
struct Reading {
    windows: Receiver<Result<Window>>,
    empty: Sender<Window>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Streamed {
    pub(super) fn new(plan: Plan, stream: Arc<RowStream>) -> Self {
        Self {
            plan,
            stream,
            reading: None,
            window: None,
            seen: 0,
            next: None,
            rows: Vec::new(),
            joined: Vec::new(),
            waited: 0.0,
        }
    }

    /// The reading thread, at `at`; it is started anew where that is not what comes next.
    fn go_to(&mut self, at: Position) -> Result {
        if self.next == Some(at) && self.reading.is_some() {
            return Ok(());
        }
        // The old one's windows go first: there are never more than two.
        (self.reading, self.window) = (None, None);
        let blocks = &self.stream.blocks;
        let (window, before) = blocks.find(&blocks.order(at.epoch), at.batch.saturating_mul(self.plan.batch as u64));
        self.seen = before as usize;
        self.reading = Some(Reading::start(Arc::clone(&self.stream), at.epoch, window)?);
        Ok(())
    }

    /// Has the window at hand that holds the next row of `epoch`.
    fn turn_to(&mut self, epoch: u64) -> Result {
        let gone = || Error::Failed("the thread that reads the data has ended".to_owned());
        let Some(reading) = &self.reading else { return Err(gone()) };
        loop {
            if let Some(window) = self.window.take_if(|window| window.epoch < epoch || self.seen >= window.order.len())
            {
                self.seen = 0;
                // Where the thread has ended, the next window says so.
                let _ = reading.empty.send(window);
            }
            if self.window.is_none() {
                let start = Instant::now();
                let window = reading.windows.recv().map_err(|_| gone())?;
                self.waited += start.elapsed().as_secs_f64();
                self.window = Some(window?);
            }
            match &self.window {
                Some(window) if window.epoch == epoch && self.seen < window.order.len() => return Ok(()),
                Some(window) if window.epoch > epoch => return Err(gone()),
                _ => {}
            }
        }
    }
}

impl Feed for Streamed {
    fn fetch(&mut self, _: &TrainingSet, at: Position, batch: &mut Batch) -> Result {
        self.waited = 0.0;
        let start = at.batch.saturating_mul(self.plan.batch as u64);
        let count = (self.plan.batch as u64).min(self.stream.rows.saturating_sub(start)) as usize;
        if count == 0 {
            return Err(Error::Failed(format!("batch {} of epoch {} is behind the epoch's last", at.batch, at.epoch)));
        }
        self.go_to(at)?;
        // An error starts anew.
        self.next = None;
        let cols = batch.cols();
        self.rows.clear();
        self.rows.reserve_exact(count);
        self.joined.clear();
        while self.rows.len() < count {
            self.turn_to(at.epoch)?;
            let Some(window) = &self.window else { continue };
            let now = (count - self.rows.len()).min(window.order.len() - self.seen);
            let places = &window.order[self.seen..self.seen + now];
            self.rows.extend(places.iter().map(|&place| window.origin[place]));
            if now == count {
                batch.gather(&window.data, places)?;
            } else {
                self.joined.reserve_exact(count * cols - self.joined.len());
                places.iter().for_each(|&place| self.joined.extend_from_slice(&window.data[place * cols..][..cols]));
            }
            self.seen += now;
        }
        if !self.joined.is_empty() {
            batch.take(&self.joined)?;
        }
        let last = at.batch + 1 >= self.plan.steps_per_epoch;
        self.next = Some(match last {
            true => Position { epoch: at.epoch + 1, batch: 0 },
            false => Position { batch: at.batch + 1, ..at },
        });
        Ok(())
    }

    fn rows(&self, _: &TrainingSet) -> Vec<u64> {
        self.rows.clone()
    }

    fn waited(&self) -> Option<f64> {
        Some(self.waited)
    }
}

impl Reading {
    /// Starts to read with `window` of `epoch`.
    fn start(stream: Arc<RowStream>, epoch: u64, window: usize) -> Result<Self> {
        let (empty, to_fill) = channel();
        let (full, windows) = sync_channel(WINDOWS);
        for _ in 0..WINDOWS {
            // The receiver is here.
            let _ = empty.send(Window::default());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            let work = move || read_ahead(&stream, (epoch, window), &to_fill, &full, &stop);
            std::thread::Builder::new().name("sae-read".to_owned()).spawn(work)
        };
        let thread = thread.map_err(|e| Error::Failed(format!("the thread that reads the data cannot start: {e}")))?;
        Ok(Self { windows, empty, stop, thread: Some(thread) })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Neither call of the thread waits any longer.
        (self.empty, self.windows) = (channel().0, channel().1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Fills windows, up to an error or the end of the receiver.
fn read_ahead(
    stream: &RowStream,
    (mut epoch, mut index): (u64, usize),
    empty: &Receiver<Window>,
    full: &SyncSender<Result<Window>>,
    stop: &AtomicBool,
) {
    let mut reader = Reader::new(Arc::clone(&stream.shards));
    let mut order = stream.blocks.order(epoch);
    while let Ok(mut window) = empty.recv() {
        window.clear(stream, epoch);
        let mut outcome = Ok(());
        for &block in stream.blocks.window(&order, index) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let rows = stream.blocks.rows(block);
            outcome = stream.read(&mut reader, rows, &mut window.data, |row| window.origin.push(row));
            if outcome.is_err() {
                break;
            }
        }
        window.order.extend(0..window.origin.len());
        stream.blocks.shuffle(epoch, index, &mut window.order);
        let failed = outcome.is_err();
        if full.send(outcome.map(|()| window)).is_err() || failed {
            return;
        }
        (epoch, index) = match stream.blocks.is_last(index) {
            true => (epoch + 1, 0),
            false => (epoch, index + 1),
        };
        if index == 0 {
            order = stream.blocks.order(epoch);
        }
    }
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
