use sae_kernels::BackendKind;
use serde_json::Value;

use super::*;
use crate::config::Config;
use crate::model::Model;
use crate::train::{Silent, Trainer, TrainingSet};

/// A model trained for a moment on the digits, and what it was trained on.
fn trained(settings: &str) -> (ModelFile, TrainingSet, Config) {
    let config = Config::parse(settings, "test", &[]).unwrap();
    let mut trainer = Trainer::new(config.clone()).unwrap();
    trainer.run(&mut Silent).unwrap();
    (trainer.model().unwrap(), TrainingSet::load(&config).unwrap(), config)
}

fn run(file: &ModelFile) -> Model {
    Model::new(file.clone(), BackendKind::Fused, "test").unwrap()
}

fn mse(file: &ModelFile, data: &[f32]) -> f64 {
    run(file).evaluate(data, 0.5).unwrap().mse
}

/// Mean square of what the outputs of two models differ by.
fn apart(a: &ModelFile, b: &ModelFile, data: &[f32]) -> f64 {
    let outputs = |file: &ModelFile| {
        let mut all = Vec::new();
        run(file)
            .reconstruct(data, |seen| {
                all.extend_from_slice(seen.x_hat);
                Ok(())
            })
            .unwrap();
        all
    };
    crate::eval::metrics::mse(&outputs(a), &outputs(b)).unwrap()
}

/// `file` with the units of `more` behind its own: copies `(unit, factor of the encoder, factor of the decoder)`.
fn with_copies(file: &ModelFile, more: &[(usize, f32, f32)]) -> ModelFile {
    let (d_in, d_hid) = (file.d_in, file.d_hid);
    let w_enc = file
        .w_enc
        .chunks_exact(d_hid)
        .flat_map(|row| row.iter().copied().chain(more.iter().map(|&(j, f, _)| f * row[j])).collect::<Vec<f32>>());
    let mut w_dec = file.w_dec.clone();
    more.iter().for_each(|&(j, _, f)| w_dec.extend(file.w_dec[j * d_in..][..d_in].iter().map(|w| f * w)));
    let mut b_enc = file.b_enc.clone();
    b_enc.extend(more.iter().map(|&(j, f, _)| f * file.b_enc[j]));
    ModelFile { w_enc: w_enc.collect(), b_enc, w_dec, d_hid: d_hid + more.len(), ..file.clone() }
}

const SMALL: &str =
    "[model]\nd_hid = 12\n[sparsity]\nkind = \"none\"\n[optimizer]\nlr = 1e-2\n[train]\nepochs = 30\nbatch = 64";

#[test]
fn what_is_left_are_the_rows_biases_and_columns_of_the_kept_units() {
    let (file, set, _) = trained(SMALL);
    let mut model = run(&file);
    let units = Units::measure(&mut model, &file, &set.train.data).unwrap();
    let choice = Choice { keep: Some(5), ..Choice::default() };
    let removed = units.choose(&choice, &mut model, &file, &set.train.data).unwrap();
    let Pruned { model: left, kept, removed } = prune(&file, removed, false).unwrap();
    assert_eq!((left.d_hid, kept.len(), removed.len()), (5, 5, 7));
    let lightest_kept = kept.iter().map(|&j| units.weights()[j]).fold(f64::INFINITY, f64::min);
    assert!(removed.iter().all(|r| r.weight <= lightest_kept && r.reason == Reason::Light));
    for (to, &from) in kept.iter().enumerate() {
        assert_eq!(left.b_enc[to], file.b_enc[from]);
        assert_eq!(left.w_dec[to * 64..][..64], file.w_dec[from * 64..][..64]);
        assert!((0..64).all(|i| left.w_enc[i * 5 + to] == file.w_enc[i * 12 + from]));
    }
    assert_eq!(left.b_dec, file.b_dec);
    assert_eq!(left.cfg, file.cfg);
}

#[test]
fn a_unit_that_is_always_off_costs_nothing_and_one_that_is_constant_is_folded() {
    let (file, set, _) = trained(SMALL);
    let mut wide = with_copies(&file, &[(0, 0.0, 1.0), (1, 0.0, 5.0)]);
    // One that is never on, and one that always is.
    (wide.b_enc[12], wide.b_enc[13]) = (-100.0, 100.0);
    let mut model = run(&wide);
    let data = &set.train.data;
    let units = Units::measure(&mut model, &wide, data).unwrap();
    let choose = |choice: Choice, model: &mut Model| units.choose(&choice, model, &wide, data).unwrap();
    let quiet = choose(Choice { threshold: Some(1e-6), ..Choice::default() }, &mut model);
    assert_eq!(quiet.iter().map(|r| (r.unit, r.reason)).collect::<Vec<_>>(), [(12, Reason::Quiet)]);
    let light = choose(Choice { keep: Some(12), ..Choice::default() }, &mut model);
    assert_eq!(light.iter().map(|r| r.unit).collect::<Vec<_>>(), [12, 13]);
    let folded = apart(&wide, &prune(&wide, light.clone(), true).unwrap().model, data);
    let cut = apart(&wide, &prune(&wide, light, false).unwrap().model, data);
    // The same sums in another order, of 14 terms of a few: outputs are off by some 2⁻²⁰.
    assert!(folded < 1e-10 && cut > 0.01, "{folded} {cut}");
}

#[test]
fn twins_are_merged_into_the_heavier_and_the_output_stays() {
    let (file, set, _) = trained(SMALL);
    // The first copy is exact; the second answers half as strongly as it would, with a smaller part in the output.
    let wide = with_copies(&file, &[(3, 1.0, 0.5), (7, 0.5, 0.1)]);
    let data = &set.train.data;
    let mut model = run(&wide);
    let units = Units::measure(&mut model, &wide, data).unwrap();
    let choice = Choice { cosine: Some(0.999), ..Choice::default() };
    let removed = units.choose(&choice, &mut model, &wide, data).unwrap();
    let twins: Vec<(usize, usize)> = removed
        .iter()
        .filter_map(|r| match r.reason {
            Reason::Twin { of, .. } => Some((r.unit, of)),
            _ => None,
        })
        .collect();
    assert_eq!(twins, [(12, 3), (13, 7)]);
    let Reason::Twin { slope, constant, .. } = removed[0].reason else { panic!("twins are twins") };
    assert!((slope - 1.0).abs() < 1e-6 && constant.abs() < 1e-6, "{slope} {constant}");
    let merged = apart(&wide, &prune(&wide, removed.clone(), true).unwrap().model, data);
    let cut = apart(&wide, &prune(&wide, removed, false).unwrap().model, data);
    // The exact copy costs nothing; the line through the other leaves a part of a tenth of a unit.
    assert!(merged < 0.1 * cut, "{merged} {cut}");
}

/// Whether the decoder is the encoder, transposed.
fn is_tied(file: &ModelFile) -> bool {
    let (d_in, d_hid) = (file.d_in, file.d_hid);
    (0..d_in * d_hid).all(|at| file.w_enc[at] == file.w_dec[at % d_hid * d_in + at / d_hid])
}

#[test]
fn tied_weights_stay_tied_but_where_a_twin_takes_over() {
    let (file, set, config) = trained(&SMALL.replace("d_hid = 12", "d_hid = 12\ntied = true"));
    let data = &set.train.data;
    assert!(file.cfg.tied && is_tied(&file));
    let pruned = |file: &ModelFile, choice: Choice, fold: bool| {
        let mut model = run(file);
        let units = Units::measure(&mut model, file, data).unwrap();
        let removed = units.choose(&choice, &mut model, file, data).unwrap();
        assert!(!removed.is_empty());
        prune(file, removed, fold).unwrap().model
    };
    let light = pruned(&file, Choice { keep: Some(7), ..Choice::default() }, true);
    assert!(light.cfg.tied && is_tied(&light) && light.d_hid == 7);
    let tuned = finetune(&light, &config, set.clone(), 5, &mut Silent).unwrap();
    assert!(tuned.cfg.tied && is_tied(&tuned));
    assert!(mse(&tuned, data) < mse(&light, data));
    // A unit twice: the same column, and so the same row.
    let wide = with_copies(&file, &[(3, 1.0, 1.0)]);
    assert!(is_tied(&wide));
    let twins = Choice { cosine: Some(0.9999), ..Choice::default() };
    let cut = pruned(&wide, twins, false);
    assert!(cut.cfg.tied && is_tied(&cut));
    let merged = pruned(&wide, twins, true);
    assert!(!merged.cfg.tied && !is_tied(&merged));
    // Sums of 13 terms and of 12.
    assert!(apart(&wide, &merged, data) < 1e-10);
    let tuned = finetune(&merged, &config, set.clone(), 2, &mut Silent).unwrap();
    assert!(!tuned.cfg.tied);
}

#[test]
fn no_more_activations_stay_than_there_are_units() {
    let (file, set, config) = trained(
        "[model]\nd_hid = 20\nhidden = \"identity\"\noutput = \"identity\"\n[sparsity]\nkind = \"topk\"\nk = 6\n[train]\nepochs = 3",
    );
    let mut model = run(&file);
    let units = Units::measure(&mut model, &file, &set.train.data).unwrap();
    for (keep, k) in [(10, 6), (4, 4)] {
        let choice = Choice { keep: Some(keep), ..Choice::default() };
        let removed = units.choose(&choice, &mut model, &file, &set.train.data).unwrap();
        let pruned = prune(&file, removed, true).unwrap().model;
        assert_eq!((pruned.d_hid, pruned.cfg.k), (keep, Some(k)));
        let tuned = finetune(&pruned, &config, set.clone(), 1, &mut Silent).unwrap();
        assert_eq!((tuned.d_hid, tuned.cfg.k), (keep, Some(k)));
    }
}

#[test]
fn fine_tuning_goes_on_from_the_pruned_weights_and_mends() {
    let (file, set, config) = trained("[model]\nd_hid = 48\n[train]\nepochs = 40\nbatch = 64");
    let mut model = run(&file);
    let units = Units::measure(&mut model, &file, &set.train.data).unwrap();
    let choice = Choice { keep: Some(24), ..Choice::default() };
    let removed = units.choose(&choice, &mut model, &file, &set.train.data).unwrap();
    let pruned = prune(&file, removed, true).unwrap().model;
    let before = mse(&pruned, &set.test.data);
    let tuned = finetune(&pruned, &config, set.clone(), 20, &mut Silent).unwrap();
    let fresh = trained("[model]\nd_hid = 24\n[train]\nepochs = 20\nbatch = 64").0;
    let (after, fresh) = (mse(&tuned, &set.test.data), mse(&fresh, &set.test.data));
    assert_eq!((tuned.d_hid, &tuned.cfg), (24, &pruned.cfg));
    assert!(after < before && after < fresh, "{before} {after} {fresh}");
}

#[test]
fn a_model_is_not_pruned_to_nothing() {
    let (file, set, _) = trained("[model]\nd_hid = 3\n[train]\nepochs = 1");
    let mut model = run(&file);
    let units = Units::measure(&mut model, &file, &set.train.data).unwrap();
    let choice = Choice { threshold: Some(2.0), ..Choice::default() };
    let error = units.choose(&choice, &mut model, &file, &set.train.data).unwrap_err();
    assert!(error.to_string().starts_with("--threshold: 2, expected at most "), "{error}");
    let all = |unit| Removed { unit, mean: 0.0, weight: 0.0, reason: Reason::Quiet };
    assert!(prune(&file, (0..3).map(all).collect(), true).is_err());
    assert!(prune(&file, vec![all(3)], true).is_err());
    assert!(Units::measure(&mut model, &file, &[]).is_err());
    assert_ne!(file.cfg.preprocessing, Value::Null);
}
