//! Streamed runs beside the same in memory.

use super::*;
use crate::config::Config;
use crate::data::load;
use crate::train::resume::tests::agree;
use crate::train::{Part, Silent, Trainer};

/// Epoch and batch; which rows were fetched, and a value of each.
type Fetched = ((u64, u64), (Vec<u64>, Vec<f32>));

/// An `.npy` of rows of 64 values.
fn npy(rows: &[f32]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 64), }}", rows.len() / 64);
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &bytes].concat()
}

/// The digits nine times, each time a little lighter: 4 MiB in three files.
fn folder() -> tempfile::TempDir {
    let digits = load("digits", 0).unwrap();
    let rows: Vec<f32> = (0..9).flat_map(|i| digits.data.iter().map(move |v| v - 0.05 * i as f32)).collect();
    let folder = tempfile::tempdir().unwrap();
    let thirds = rows.len() / 64 / 3 * 64;
    for (index, part) in
        [&rows[..thirds], &rows[thirds..2 * thirds + 640], &rows[2 * thirds + 640..]].iter().enumerate()
    {
        std::fs::write(folder.path().join(format!("part-{index}.npy")), npy(part)).unwrap();
    }
    folder
}

fn config(folder: &tempfile::TempDir, mib: usize, text: &str) -> Config {
    let source = folder.path().to_str().unwrap();
    let text = format!(
        "[train]\nbatch = 700\nepochs = 2\n[model]\nd_hid = 3\n[data]\nsource = '{source}'\nbuffer_mib = {mib}\n{text}"
    );
    Config::parse(&text, "test", &[]).unwrap()
}

#[test]
fn the_same_rows_are_held_out_as_in_memory_and_nothing_else_differs_but_the_order() {
    let folder = folder();
    let texts = ["", "preprocess = 'minmax'", "validation = 0.0\ntest = 0.05"];
    for text in texts {
        let streamed = TrainingSet::load(&config(&folder, 4, text)).unwrap();
        let whole = TrainingSet::load(&config(&folder, 0, text)).unwrap();
        let stream = streamed.stream.as_ref().unwrap();
        assert!(whole.stream.is_none());
        assert_eq!((streamed.train_rows(), whole.train_rows()), (whole.train.rows, whole.train.rows));
        assert_eq!(streamed.preprocessing, whole.preprocessing);
        assert_eq!(streamed.fingerprint, whole.fingerprint);
        assert_eq!((&streamed.validation.data, &streamed.test.data), (&whole.validation.data, &whole.test.data));
        assert_eq!(streamed.warnings, whole.warnings);
        let mut order: Vec<usize> = (0..whole.train.rows).collect();
        order.sort_unstable_by_key(|&row| whole.origin[row]);
        let in_order = whole.train.select(&order).data;
        let mut seen = Vec::new();
        stream
            .each(100, |rows| {
                seen.extend_from_slice(rows);
                Ok(())
            })
            .unwrap();
        assert!(seen == in_order, "{text}: the training rows differ");
        for (place, row) in streamed.origin.iter().enumerate() {
            let at = order.binary_search_by_key(row, |&r| whole.origin[r]).unwrap();
            assert_eq!(streamed.train.row(place), &in_order[at * 64..][..64]);
        }
        assert!(streamed.train.rows > 500 && streamed.train.rows < whole.train.rows);
    }
}

#[test]
fn a_position_has_its_batch_whatever_was_fetched_before_and_an_epoch_every_row() {
    let folder = folder();
    // Batches that share a window, and batches that take several.
    for batch in [700, 5000] {
        let mut config = config(&folder, 6, "");
        config.train.batch = batch;
        let set = TrainingSet::load(&config).unwrap();
        let stream = set.stream.clone().unwrap();
        assert!(stream.blocks.extent().1 > 2, "{}", stream.describe());
        let plan = Plan::new(&config.train, set.train_rows()).unwrap();
        let mut batch = Batch::new(plan.batch, 64, None).unwrap();
        let mut fetch = |feed: &mut Streamed, epoch, index| {
            feed.fetch(&set, Position { epoch, batch: index }, &mut batch).unwrap();
            let view = batch.view().unwrap();
            let values: Vec<f32> = (0..view.rows()).map(|r| view.at(0, r, 20)).collect();
            (feed.rows(&set), values)
        };
        let mut in_order = Streamed::new(plan, Arc::clone(&stream));
        let mut all = Vec::new();
        for epoch in 0..2 {
            for index in 0..plan.steps_per_epoch {
                all.push(((epoch, index), fetch(&mut in_order, epoch, index)));
            }
        }
        let mut at_will = Streamed::new(plan, Arc::clone(&stream));
        for ((epoch, index), expected) in all.iter().rev().step_by(3) {
            assert_eq!(&fetch(&mut at_will, *epoch, *index), expected, "epoch {epoch}, batch {index}");
        }
        let steps = plan.steps_per_epoch as usize;
        let (first, second) = (&all[..steps], &all[steps..]);
        let rows = |epoch: &[Fetched]| -> Vec<u64> { epoch.iter().flat_map(|(_, (rows, _))| rows.clone()).collect() };
        assert_ne!(rows(first), rows(second));
        let mut seen = rows(first);
        seen.sort_unstable();
        let expected: Vec<u64> =
            (0..stream.held_out.len()).filter(|&r| !stream.held_out[r]).map(|r| r as u64).collect();
        assert_eq!(seen, expected);
        assert!(fetch_fails(&mut at_will, &set, plan));
    }
}

fn fetch_fails(feed: &mut Streamed, set: &TrainingSet, plan: Plan) -> bool {
    let mut batch = Batch::new(plan.batch, 64, None).unwrap();
    feed.fetch(set, Position { epoch: 0, batch: plan.steps_per_epoch }, &mut batch).is_err()
}

#[test]
fn without_a_shuffle_the_run_is_the_one_in_memory() {
    let folder = folder();
    let text = "validation = 0.0\ntest = 0.0\n";
    let mut models = [0, 4].map(|mib| {
        let mut config = config(&folder, mib, text);
        config.train.shuffle = false;
        let mut trainer = Trainer::new(config).unwrap();
        trainer.run(&mut Silent).unwrap();
        let found = trainer.evaluate(Part::Train).unwrap().unwrap();
        (trainer.model().unwrap(), found.rows, found.mse)
    });
    let streamed = models[1].clone();
    // Errors are summed over other batches, in f32 over up to 700 rows: each of the two is off by up to 700·2⁻²⁴.
    assert!(
        (models[0].2 - streamed.2).abs() <= 2.0 * 700.0 * 2f64.powi(-24) * streamed.2,
        "{} {}",
        models[0].2,
        streamed.2
    );
    models[0].2 = streamed.2;
    assert!(models[0] == streamed, "the models differ");
}

/// Sums over all rows are rounded otherwise in another order of the rows, in f64: a value may then be the next f32.
#[test]
fn means_and_whitening_are_fitted_and_applied_as_in_memory_up_to_rounding() {
    let folder = folder();
    let maps = [("preprocess = 'zscore'", 64), ("preprocess = 'zca'", 64), ("preprocess = 'pca'\ncomponents = 20", 20)];
    for (text, width) in maps {
        let text = format!("{text}\n[model]\nd_hid = 3\noutput = 'identity'");
        let settings = |mib| {
            let source = folder.path().to_str().unwrap();
            let text = format!("[data]\nsource = '{source}'\nbuffer_mib = {mib}\n{text}");
            Config::parse(&text, "test", &[]).unwrap()
        };
        let streamed = TrainingSet::load(&settings(7)).unwrap();
        let whole = TrainingSet::load(&settings(0)).unwrap();
        let stream = streamed.stream.as_ref().unwrap();
        let near = |a: &[f32], b: &[f32]| {
            let next = |(a, b): (&f32, &f32)| (a - b).abs() <= 2f32.powi(-23) * a.abs() + 1e-9;
            a.len() == b.len() && a.iter().zip(b).all(next)
        };
        assert_eq!((streamed.train.cols, streamed.validation.cols, streamed.test.cols), (width, width, width));
        assert!(near(&streamed.validation.data, &whole.validation.data) && near(&streamed.test.data, &whole.test.data));
        assert_eq!((streamed.validation.image, streamed.train.image), (whole.validation.image, whole.train.image));
        let mut order: Vec<usize> = (0..whole.train.rows).collect();
        order.sort_unstable_by_key(|&row| whole.origin[row]);
        let mut seen = Vec::new();
        stream
            .each(100, |rows| {
                seen.extend_from_slice(rows);
                Ok(())
            })
            .unwrap();
        assert!(near(&seen, &whole.train.select(&order).data), "{text}");
        let mut trainer = Trainer::with_set(settings(7), streamed).unwrap();
        trainer.run(&mut Silent).unwrap();
    }
    let error = TrainingSet::load(&config(&folder, 4, "preprocess = 'patches'")).unwrap_err();
    assert!(error.to_string().starts_with("data.preprocess: patches, expected another map"), "{error}");
}

/// Each of the shuffles leaves a run that differs from another by chance alone: their losses after two epochs.
#[test]
fn a_streamed_run_learns_what_one_in_memory_learns() {
    let folder = folder();
    let losses = |mib: usize| -> Vec<f64> {
        let of_seed = |seed: u64| {
            let mut config = config(&folder, mib, "");
            (config.seed, config.train.batch, config.model.d_hid) = (seed, 100, 16);
            let mut trainer = Trainer::new(config).unwrap();
            trainer.run(&mut Silent).unwrap();
            trainer.evaluate(Part::Test).unwrap().unwrap().terms.loss
        };
        (0..6).map(of_seed).collect()
    };
    let moments = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / 6.0;
        (mean, x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5.0)
    };
    let (streamed, whole) = (moments(&losses(4)), moments(&losses(0)));
    // Of the difference of two means of six: four standard deviations, as far as six values tell one.
    let deviation = ((streamed.1 + whole.1) / 6.0).sqrt();
    assert!((streamed.0 - whole.0).abs() <= 4.0 * deviation, "{streamed:?} {whole:?}");
}

#[test]
fn a_sweep_trains_its_runs_on_streamed_rows_with_the_bits_of_each_alone() {
    let folder = folder();
    let configs: Vec<Config> = [1e-3, 1e-2]
        .map(|lr| {
            let mut config = config(&folder, 4, "");
            config.optimizer.lr = lr;
            config
        })
        .to_vec();
    let set = Arc::new(TrainingSet::load(&configs[0]).unwrap());
    let mut cohort = crate::train::Cohort::new(configs.clone(), set).unwrap();
    let (mut one, mut two) = (Silent, Silent);
    cohort.run(&mut [&mut one, &mut two]).unwrap();
    for ((together, error), config) in cohort.into_runs().into_iter().zip(configs) {
        assert!(error.is_none());
        assert!(together.state().waited().is_some());
        let mut alone = Trainer::new(config).unwrap();
        alone.run(&mut Silent).unwrap();
        assert!(together.model().unwrap() == alone.model().unwrap(), "the models differ");
    }
}

#[test]
fn a_streamed_run_taken_up_after_every_step_is_the_run_never_stopped() {
    agree(&config(&folder(), 4, ""));
    agree(&config(&folder(), 4, "preprocess = 'zscore'\n[sparsity]\nrho_hat = 'ema'"));
}

#[test]
fn what_does_not_fit_into_the_memory_for_data_is_told_with_what_would() {
    let folder = folder();
    let told = |mib: usize, text: &str| TrainingSet::load(&config(&folder, mib, text)).unwrap_err().to_string();
    let error = told(1, "validation = 0.0\ntest = 0.0");
    let least: usize = error.split("expected at least ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(error.starts_with("data.buffer_mib: 1 for 16173 rows of 64 values"), "{error}");
    TrainingSet::load(&config(&folder, least, "validation = 0.0\ntest = 0.0")).unwrap();
    let error = told(6, "validation = 0.7\ntest = 0.175");
    let fractions: Vec<f64> =
        error.split(' ').skip_while(|word| *word != "try").filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(fractions[..], [v, t] if v > 3.9 * t && v < 4.1 * t), "{error}");
    let text = format!("validation = {:e}\ntest = {:e}", fractions[0], fractions[1]);
    TrainingSet::load(&config(&folder, 6, &text)).unwrap();
}
