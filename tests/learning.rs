//! Training works: the backends agree, and what comes out is a sparse autoencoder.

use sae_harness::Config;
use sae_harness::config::Init;
use sae_harness::eval::baseline::{Pca, mean_mse};
use sae_harness::model::file::WEIGHTS_FILE;
use sae_harness::train::metrics::Measures;
use sae_harness::train::{Observer, Part, Silent, Trainer};
use sae_kernels::BackendKind;

fn config(pairs: &[(&str, &str)]) -> Config {
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::load(None, &pairs).unwrap()
}

#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn step(&mut self, measures: &Measures) -> sae_harness::Result {
        self.0.push(measures.loss);
        Ok(())
    }
}

fn losses(config: &Config) -> Vec<f64> {
    let mut losses = Losses::default();
    Trainer::new(config.clone()).unwrap().run(&mut losses).unwrap();
    losses.0
}

/// The error bound of a product of at most 256 terms, batch and widths here: γ₂₅₈ = 258·2⁻²⁴ (first order).
const GAMMA: f64 = 258.0 / (1u64 << 24) as f64;

#[test]
fn the_loss_curves_of_all_backends_agree_within_rounding() {
    let mut config = config(&[("model.d_hid", "24"), ("train.epochs", "3"), ("backend", "naive")]);
    let reference = losses(&config);
    assert_eq!(reference.len(), 18);

    // How far one error of the size a product may commit carries: every weight is moved by ±γ of itself at the start.
    let folder = tempfile::tempdir().unwrap();
    let mut model = Trainer::new(config.clone()).unwrap().model().unwrap();
    for (i, w) in model.w_enc.iter_mut().chain(&mut model.w_dec).enumerate() {
        let sign = if (i * 7919) % 13 < 6 { -1.0 } else { 1.0 };
        *w = (f64::from(*w) * (1.0 + sign * GAMMA)) as f32;
    }
    model.save(folder.path()).unwrap();
    let mut moved = config.clone();
    moved.model.init = Init::File(folder.path().join(WEIGHTS_FILE));
    let moved = losses(&moved);

    for kind in BackendKind::ALL.into_iter().filter(|kind| kind.is_built()) {
        config.backend = kind;
        let found = losses(&config);
        let mut carried = 0.0f64;
        for (t, ((&found, &reference), &moved)) in found.iter().zip(&reference).zip(&moved).enumerate() {
            carried = carried.max((moved - reference).abs());
            // Such an error is committed in each of the t + 1 steps so far; the loss of this step is itself a product.
            let bound = (t + 1) as f64 * carried + GAMMA * reference.abs();
            assert!((found - reference).abs() <= bound, "{kind}, step {}: {found} {reference} ± {bound}", t + 1);
            assert!(bound < 1e-2 * reference.abs(), "the bound says something: {bound} of {reference}");
        }
    }
}

#[test]
fn the_fused_backend_gives_the_same_bits_on_any_number_of_threads() {
    let config = config(&[("model.d_hid", "130"), ("train.epochs", "2")]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| losses(&config))
    };
    let one = on(1);
    for threads in [2, 5] {
        assert_eq!(one, on(threads), "{threads} threads");
    }
}

#[test]
fn a_trained_model_beats_the_mean_image_and_half_as_many_principal_components() {
    let config = config(&[
        ("model.d_hid", "24"),
        ("sparsity.rho", "0.2"),
        ("sparsity.beta", "0.1"),
        ("loss.weight_decay", "1e-5"),
        ("optimizer.lr", "1e-2"),
        ("train.epochs", "200"),
    ]);
    let mut trainer = Trainer::new(config).unwrap();
    trainer.run(&mut Silent).unwrap();
    let found = trainer.evaluate(Part::Test).unwrap().unwrap();
    let (train, test) = (&trainer.set().train, &trainer.set().test);
    let pca = Pca::fit(&train.data, train.cols).unwrap();
    let mean = mean_mse(&train.data, &test.data, train.cols).unwrap();
    assert!(found.mse < pca.mse(&test.data, 12).unwrap(), "{} {:?}", found.mse, pca.mse(&test.data, 12));
    assert!(found.mse < mean, "{} {mean}", found.mse);
    assert!(found.activity.dead().is_empty());
}

#[test]
fn mean_activations_come_to_their_target() {
    let config = config(&[("model.d_hid", "32"), ("optimizer.lr", "1e-2"), ("train.epochs", "100")]);
    let rho = config.sparsity.rho;
    let mut trainer = Trainer::new(config).unwrap();
    let before = trainer.evaluate(Part::Test).unwrap().unwrap();
    trainer.run(&mut Silent).unwrap();
    let after = trainer.evaluate(Part::Test).unwrap().unwrap();
    assert!(before.activity.rho_hat_mean() > 5.0 * rho);
    let off = (after.activity.rho_hat_mean() - rho).abs();
    assert!(off < 0.2 * rho, "{}", after.activity.rho_hat_mean());
    // Pinsker's inequality, 2·(ρ̂ⱼ − ρ)² ≤ KL(ρ‖ρ̂ⱼ), and the mean's square is at most the mean of squares. ρ as f32 and
    // the loss's own f64 roundings move this by far less than a millionth.
    let kl = after.terms.sparsity / trainer.config().sparsity.beta / 32.0;
    assert!(off <= (kl / 2.0).sqrt() * (1.0 + 1e-6) + 1e-8, "{off} {kl}");
    let mean = mean_mse(&trainer.set().train.data, &trainer.set().test.data, 64).unwrap();
    assert!(after.mse < mean);
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_by_its_step() {
    let pairs =
        [("optimizer.kind", "sgd"), ("optimizer.lr", "1e30"), ("model.output", "identity"), ("sparsity.kind", "none")];
    let error = Trainer::new(config(&pairs)).unwrap().run(&mut Silent).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().starts_with("step "), "{error}");
}

#[test]
fn mnist_is_learnt_where_it_is_there() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/mnist");
    if !std::path::Path::new(folder).is_dir() {
        eprintln!("skipped: {folder} is not there");
        return;
    }
    let steps = [("data.source", folder), ("model.d_hid", "64"), ("train.max_steps", "150"), ("data.test", "0.02")];
    let mut trainer = Trainer::new(config(&steps)).unwrap();
    assert_eq!(trainer.set().train.image, Some((28, 28)));
    let before = trainer.evaluate(Part::Test).unwrap().unwrap();
    trainer.run(&mut Silent).unwrap();
    let after = trainer.evaluate(Part::Test).unwrap().unwrap();
    assert!(after.terms.loss < before.terms.loss && after.mse < before.mse, "{:?} {:?}", before.terms, after.terms);
}
