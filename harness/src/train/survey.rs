//! One pass over data that do not fit in memory: what is held out, how to preprocess, which data these are.

use std::sync::Arc;

use super::set::warnings;
use super::stream::{Room, RowStream};
use super::{Plan, TrainingSet};
use crate::config::Config;
use crate::data::shards::{Reader, Shards};
use crate::data::{Dataset, Hasher, Split};
use crate::error::{Error, Result};
use crate::preprocess::{Fitted, Fitter};

/// Training rows that are kept in memory at most: what reports look at.
const SAMPLE_ROWS: usize = 10_000;
/// The share of the memory they may take, 1 / this.
const SAMPLE_SHARE: usize = 8;
/// The share that held out rows may take.
const HELD_OUT_SHARE: usize = 2;
/// What is kept of a held out row during the pass, beside its values.
const HELD_OUT_BYTES: usize = size_of::<HeldOut>() + 2 * size_of::<usize>();

/// The files that the settings name, where they are to be streamed: more than half of the memory that data may take. In memory
/// the rows are there twice, as they were and divided.
pub(super) fn too_large(config: &Config) -> Result<Option<Shards>> {
    let limit = config.data.buffer_mib << 20;
    let shards = match limit {
        0 => None,
        _ => Shards::find(&config.data.source)?,
    };
    Ok(shards.filter(|shards| shards.bytes() > limit / 2))
}

/// Goes through all rows: holds out the same as [`TrainingSet::new`] would, fits the preprocessing unless it is `fitted`, and keeps
/// some training rows.
pub(super) fn survey(config: &Config, shards: Shards, fitted: Option<Fitted>) -> Result<TrainingSet> {
    shards.check_rows_lie_together()?;
    let (rows, cols) = (shards.rows, shards.cols);
    let limit = config.data.buffer_mib << 20;
    // A split takes eight bytes a row for a moment.
    let for_rows = rows.saturating_mul(2 * size_of::<usize>());
    if for_rows > limit {
        return Err(too_small(config, for_rows, rows, cols));
    }
    let (kind, options) = (config.data.preprocess, config.data.options());
    let fitter = Fitter::new(kind, cols, options)?;
    let Split { train, validation, test } =
        Split::new(rows, config.data.validation, config.data.test, config.train.shuffle, config.seed)?;
    let train_rows = train.len();
    drop(train);
    let row = cols * size_of::<f32>();
    let held_out_bytes = (validation.len() + test.len()).saturating_mul(row + HELD_OUT_BYTES);
    if held_out_bytes > limit / HELD_OUT_SHARE {
        return Err(too_much_held_out(config, held_out_bytes, limit / HELD_OUT_SHARE));
    }
    let sample_rows = SAMPLE_ROWS.min(limit / SAMPLE_SHARE / row.max(1)).clamp(1, train_rows);
    let kept = held_out_bytes + sample_rows.saturating_mul(row);
    let (width, map_bytes) = Fitter::extent(kind, cols, &options);
    let width = fitted.as_ref().map_or(Ok(width), |map| map.width(cols))?;
    let plan = Plan::new(&config.train, train_rows)?;
    // The map is there twice.
    let left = limit.saturating_sub(kept).saturating_sub(2 * map_bytes);
    let room = Room::new(left, rows, [cols, width], plan.batch);
    // Before the windows there is the pass.
    let pass = Fitter::bytes(kind, cols).saturating_add(rows).saturating_add(8 * Reader::PIECE.max(row));
    let room = match room {
        Ok(room) if pass <= limit.saturating_sub(kept) => room,
        room => {
            let least = pass.max(room.err().map_or(0, |least| least.saturating_add(2 * map_bytes)));
            // A larger memory has a larger sample.
            let least = least.saturating_add(held_out_bytes).saturating_mul(SAMPLE_SHARE) / (SAMPLE_SHARE - 1);
            return Err(too_small(config, least.max(HELD_OUT_SHARE * held_out_bytes), rows, cols));
        }
    };

    let part = |rows: usize| Dataset {
        name: shards.name.clone(),
        rows,
        cols,
        data: Vec::new(),
        image: shards.image,
        labels: None,
    };
    let (mut sample, mut parts) = (part(0), [part(validation.len()), part(test.len())]);
    let mut held_out = vec![false; rows];
    let mut places: Vec<HeldOut> = Vec::with_capacity(validation.len() + test.len());
    for (part, list) in [validation, test].into_iter().enumerate() {
        parts[part].data = vec![0.0; list.len() * cols];
        list.iter().for_each(|&row| held_out[row] = true);
        places.extend(list.into_iter().enumerate().map(|(place, row)| HeldOut { row, part, place }));
    }
    places.sort_unstable_by_key(|held_out| held_out.row);

    let shards = Arc::new(shards);
    let mut pass = Pass {
        every: train_rows.div_ceil(sample_rows),
        places: places.into_iter().peekable(),
        fitter,
        hasher: Hasher::default(),
        origin: Vec::with_capacity(sample_rows),
        trained: 0,
    };
    sample.data.reserve_exact(sample_rows * cols);
    pass.run(&shards, &mut sample.data, &mut parts)?;
    let Pass { fitter, hasher, origin, .. } = pass;
    let fingerprint = hasher.finish(rows as u64, cols as u64);
    sample.rows = origin.len();

    let extremes = fitter.bounds().concat();
    let preprocessing = match fitted {
        Some(fitted) => fitted,
        None => fitter.finish()?,
    };
    let [mut validation, mut test] = parts;
    for part in [&mut sample, &mut validation, &mut test] {
        map(&preprocessing, part)?;
    }
    let range = match preprocessing {
        // Of whitened rows those that are here have to do.
        Fitted::Pca(_) | Fitted::Zca(_) => sample.range(),
        // Every other map keeps the order of the values of a feature: the extremes of what it makes are what it makes of
        // extremes.
        _ => preprocessing
            .apply(extremes, cols)?
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v))),
    };
    let warnings = warnings(config, &shards.name, sample.cols, range)?;
    let order = (config.train.shuffle, config.seed);
    let stream = RowStream::new(shards, held_out, preprocessing.clone(), room, order)?;
    let stream = Some(Arc::new(stream));
    Ok(TrainingSet { train: sample, validation, test, fingerprint, origin, stream, preprocessing, warnings })
}

/// Maps a part block by block: a map of some kinds makes a copy of what it maps.
fn map(map: &Fitted, part: &mut Dataset) -> Result {
    let (cols, width) = (part.cols, map.width(part.cols)?);
    let most = (Reader::PIECE / (cols * size_of::<f32>())).max(1);
    for from in (0..part.rows).step_by(most) {
        let rows = from..part.rows.min(from + most);
        let mapped = map.apply(part.data[rows.start * cols..rows.end * cols].to_vec(), cols)?;
        part.data[rows.start * width..rows.end * width].copy_from_slice(&mapped);
    }
    part.data.truncate(part.rows * width);
    part.data.shrink_to_fit();
    part.cols = width;
    if matches!(map, Fitted::Pca(_)) {
        part.image = None;
    }
    Ok(())
}

/// A row that is not trained on, and where it goes.
struct HeldOut {
    row: usize,
    part: usize,
    place: usize,
}

/// What a pass over all rows finds.
struct Pass {
    /// Of so many training rows one is kept.
    every: usize,
    /// In the order of the rows.
    places: std::iter::Peekable<std::vec::IntoIter<HeldOut>>,
    fitter: Fitter,
    hasher: Hasher,
    /// The training rows that were kept.
    origin: Vec<usize>,
    trained: usize,
}

impl Pass {
    fn run(&mut self, shards: &Arc<Shards>, sample: &mut Vec<f32>, parts: &mut [Dataset; 2]) -> Result {
        let cols = shards.cols;
        let most = (Reader::PIECE / (cols * size_of::<f32>())).max(1);
        let mut reader = Reader::new(Arc::clone(shards));
        let mut piece = Vec::with_capacity(most * cols);
        for from in (0..shards.rows).step_by(most) {
            piece.clear();
            reader.read(from..shards.rows.min(from + most), &mut piece)?;
            self.hasher.add(&piece);
            for (row, values) in (from..).zip(piece.chunks_exact(cols)) {
                if let Some(HeldOut { part, place, .. }) = self.places.next_if(|held_out| held_out.row == row) {
                    parts[part].data[place * cols..][..cols].copy_from_slice(values);
                    continue;
                }
                self.fitter.add(values);
                if self.trained.is_multiple_of(self.every) {
                    sample.extend_from_slice(values);
                    self.origin.push(row);
                }
                self.trained += 1;
            }
        }
        Ok(())
    }
}

fn too_small(config: &Config, least: usize, rows: usize, cols: usize) -> Error {
    let found = format!("{} for {rows} rows of {cols} values", config.data.buffer_mib);
    Error::setting("data.buffer_mib", found, format!("at least {}, or 0 for no limit", least.div_ceil(1 << 20)))
}

fn too_much_held_out(config: &Config, bytes: usize, most: usize) -> Error {
    let (validation, test) = (config.data.validation, config.data.test);
    let share = most as f64 / bytes as f64;
    // Rounded down to two digits.
    let fitting = |fraction: f64| {
        let unit = 10f64.powf((fraction * share).log10().floor() - 1.0);
        if fraction > 0.0 { (fraction * share / unit).floor() * unit } else { 0.0 }
    };
    let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
    let found = format!("{validation} and {test} hold out {} MiB of rows that are streamed", mebibytes(bytes));
    let expected = format!(
        "at most {} MiB, half of data.buffer_mib; try --data.validation {:.1e} --data.test {:.1e}",
        mebibytes(most),
        fitting(validation),
        fitting(test)
    );
    Error::setting("data.validation, data.test", found, expected)
}
