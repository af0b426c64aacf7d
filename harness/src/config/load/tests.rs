use proptest::prelude::*;
use sae_kernels::BackendKind;
use sae_kernels::ops::Rule;

use super::*;
use crate::config::*;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, "run.toml", &[])
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn with(key: &str, value: &str) -> Result<Config> {
    Config::load(None, &[(key.to_owned(), value.to_owned())])
}

/// The documented config: every key with its default.
const DOCUMENTED: &str = r#"
seed = 0
backend = "fused"            # fused | openblas | matrixmultiply | naive
threads = 0                  # 0: all

[data]
source = "digits"
preprocess = "range"         # none | range | minmax | zscore | pca | zca | patches
epsilon = 0.1                # pca, zca: added to every variance
components = 0               # pca, zca: components kept; 0: all
patch = 8                    # patches: height and width
patches = 10000              # patches: how many are drawn from larger images
patch_whiten = false         # patches: whether images are whitened first
validation = 0.1             # held-out fractions
test = 0.1
buffer_mib = 2048            # larger sets are streamed; 0: never

[model]
d_hid = 196
hidden = "sigmoid"           # sigmoid | relu | tanh | identity
output = "sigmoid"           # sigmoid | identity | tanh
init = "xavier"              # or a path to a .safetensors file
tied = false                 # whether W_dec is W_enc, transposed
dropout = 0.0                # of hidden units, in training

[loss]
convention = "per_sample"    # per_sample | per_element
reconstruction = "squared"   # squared | bce
weight_decay = 1e-4          # lambda
decay = "loss"               # loss | decoupled

[sparsity]
kind = "kl"                  # none | kl | l1 | topk | threshold
rho = 0.05
beta = 3.0                   # kl, l1
rho_hat = "batch"            # batch | ema
ema_decay = 0.9
k = 25                       # topk: activations of a sample that stay
k_start = 0                  # topk: in the first epoch; 0: k
anneal_epochs = 0            # topk: over which that falls to k
alpha = 1.0                  # topk: alpha·k stay when the model is used
threshold = 0.1              # threshold: larger ones stay

[noise]
kind = "none"                # none | gaussian | masking | salt_and_pepper
sigma = 0.3                  # gaussian
fraction = 0.3               # masking, salt_and_pepper
gamma = 0.0                  # 0: denoising alone; else J + gamma·D

[optimizer]
kind = "adam"                # sgd | momentum | nesterov | adagrad | rmsprop | adam | adamw | lbfgs
lr = 1e-3
beta1 = 0.9
beta2 = 0.999
eps = 1e-8
momentum = 0.9
alpha = 0.99
history = 20                 # lbfgs: moves remembered
tolerance = 1e-5             # lbfgs: the largest element of the gradient at the end

[schedule]
kind = "constant"            # constant | linear | step | cosine | plateau
warmup_steps = 0
warmup_factor = 0.3333333333333333
steps = 0                    # linear, cosine; 0: all after the warm-up
end_factor = 0.0             # linear
min_lr = 0.0                 # cosine, plateau
step_size = 1000             # step
gamma = 0.1                  # step
factor = 0.1                 # plateau
patience = 10                # plateau
threshold = 1e-4             # plateau
cooldown = 0                 # plateau

[early_stopping]
patience = 0                 # epochs; 0: never
min_delta = 0.0

[train]
batch = 256
epochs = 50
max_steps = 0                # 0: no limit
shuffle = true
drop_last = false
clip_value = 0.0             # 0: no limit
clip_norm = 0.0              # 0: no limit
gradient_norm_steps = 0      # 0: with tensorboard once an epoch
threshold_active = 0.5       # a hidden unit counts as active above this
tensorboard = true
tensorboard_share = 0.01
checkpoint_steps = 0         # 0: no limit
checkpoint_minutes = 10.0    # 0: no limit
keep = 2

[stack]                      # of `sae stack`
layers = []                  # the width of each layer, from the data up
head_epochs = 50             # the classifier, on the last layer's features
head_lr = 1e-2
head_weight_decay = 1e-4
finetune_epochs = 30         # all layers together
finetune_lr = 1e-3
finetune_weight_decay = 1e-5
"#;

#[test]
fn defaults_are_the_documented_ones_key_for_key() {
    assert_eq!(parse("").unwrap(), Config::default());
    let documented: Table = toml::from_str(DOCUMENTED).unwrap();
    assert_eq!(documented, Table::try_from(Config::default()).unwrap());
}

#[test]
fn what_is_written_is_read_back() {
    let text = Config::default().to_toml().unwrap();
    assert_eq!(parse(&text).unwrap(), Config::default());
    assert!(text.contains("[sparsity]\nkind = \"kl\"\n"), "{text}");
}

#[test]
fn every_choice_is_read_and_reaches_the_kernels() {
    for backend in BackendKind::ALL {
        assert_eq!(with("backend", backend.name()).unwrap().backend, backend);
    }
    for rule in Rule::<f32>::all() {
        assert_eq!(with("optimizer.kind", rule.name()).unwrap().optimizer.rule::<f32>(), rule);
    }
    for activation in sae_kernels::ops::Activation::ALL {
        let text = format!("sparsity.kind = 'l1'\nmodel.hidden = '{}'", activation.name());
        assert_eq!(sae_kernels::ops::Activation::from(parse(&text).unwrap().model.hidden), activation);
    }
    for loss in sae_kernels::ops::Loss::ALL {
        let config = with("loss.reconstruction", loss.name()).unwrap();
        assert_eq!(sae_kernels::ops::Loss::from(config.loss.reconstruction), loss);
    }
    for output in OutputActivation::ALL {
        assert_eq!(sae_kernels::ops::Activation::from(*output).name(), output.name());
    }
    let config = with("model.init", "weights/a.safetensors").unwrap();
    assert_eq!(config.model.init, Init::File("weights/a.safetensors".into()));
    assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn unknown_keys_name_their_line_their_section_and_the_nearest_key() {
    let message = error("seed = 1\n\n[model]\nd_hidd = 3\n");
    assert_eq!(
        message,
        "run.toml:4: model.d_hidd: unknown key `d_hidd`, expected one of the keys of [model]: d_hid, dropout, \
         hidden, init, output, tied (did you mean `model.d_hid`?)"
    );
    let message = error("sed = 1");
    assert!(message.starts_with("run.toml:1: sed: unknown key `sed`"), "{message}");
    assert!(message.ends_with("(did you mean `seed`?)") && message.contains("backend, seed, threads"), "{message}");
    assert!(error("[modle]\nd_hid = 3").contains("did you mean `model`?"));
    // A key that exists in another section.
    assert!(error("[train]\nlr = 1").contains("did you mean `optimizer.lr`?"));
    assert!(error("d_hid = 1").contains("did you mean `model.d_hid`?"));
    assert!(!error("[model]\nfrobnicate = 1").contains("did you mean"));
}

#[test]
fn unknown_choices_list_them_and_suggest_the_nearest() {
    let message = error("[model]\nhidden = \"sigmod\"\n");
    assert_eq!(
        message,
        "run.toml:2: model.hidden: unknown `sigmod`, expected one of: sigmoid, relu, tanh, identity (did you mean \
         `sigmoid`?)"
    );
    assert!(error("backend = 'fusd'").contains("did you mean `fused`"));
    assert!(error("[model]\ninit = 'xaveir'").contains("did you mean `xavier`"));
    assert!(error("[sparsity]\nkind = 'topkk'").contains("unknown `topkk`"));
}

#[test]
fn values_of_another_type_are_refused_with_their_line() {
    for (text, expected) in [
        ("seed = 'x'", "run.toml:1: seed: the string `x`, expected a whole number"),
        ("seed = -1", "-1, expected a whole number, at least 0"),
        ("seed = 1.5", "1.5, expected a whole number"),
        ("[model]\nhidden = 3", "run.toml:2: model.hidden: 3, expected a string"),
        ("[train]\nshuffle = 1", "1, expected true or false"),
        ("[optimizer]\nlr = [1]", "an array, expected a number"),
        ("model = 3", "model is 3, expected a section, [model]"),
        ("[seed]\na = 1", "run.toml:1: seed: a table, expected a whole number"),
    ] {
        assert!(error(text).contains(expected), "{text}: {}", error(text));
    }
    // A whole number is a number.
    assert_eq!(parse("[sparsity]\nbeta = 2").unwrap().sparsity.beta, 2.0);
}

#[test]
fn broken_toml_names_its_line() {
    let message = error("seed = 1\n[model\n");
    assert!(message.starts_with("run.toml:2") && !message.contains('\n'), "{message}");
    assert!(error("seed = 1\nseed = 2").starts_with("run.toml:2"));
}

#[test]
fn overrides_go_over_the_file_in_order() {
    let overrides = [("model.d_hid", "64"), ("model.d_hid", "32"), ("--optimizer.lr", "1e-2"), ("seed", "7")];
    let overrides = overrides.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let config = Config::parse("seed = 1\n[model]\nd_hid = 3", "run.toml", &overrides).unwrap();
    assert_eq!((config.model.d_hid, config.optimizer.lr, config.seed), (32, 0.01, 7));
}

#[test]
fn an_override_is_read_as_its_key_expects() {
    assert_eq!(with("data.source", "3").unwrap().data.source, "3");
    assert_eq!(with("data.source", "true").unwrap().data.source, "true");
    assert!(!with("train.shuffle", "false").unwrap().train.shuffle);
    assert_eq!(with("train.batch", "1_024").unwrap().train.batch, 1024);
    assert_eq!(with("sparsity.rho", ".5").unwrap().sparsity.rho, 0.5);
    assert_eq!(with("sparsity.beta", "2").unwrap().sparsity.beta, 2.0);
}

#[test]
fn a_wrong_override_names_the_option() {
    for (key, value, found) in [
        ("model.d_hid", "many", "--model.d_hid: the string `many`, expected a whole number"),
        ("train.shuffle", "yes", "--train.shuffle: the string `yes`, expected true or false"),
        ("model.d_hdi", "3", "--model.d_hdi: unknown key `d_hdi`"),
        ("mdoel.d_hid", "3", "--mdoel.d_hid: unknown section `mdoel`"),
        ("mdoel.d_hid", "3", "did you mean `model`"),
        ("model", "3", "--model: model is a section"),
        ("model.hidden", "relo", "--model.hidden: unknown `relo`, expected one of: sigmoid, relu"),
        ("seed", "1\nthreads = 2", "--seed: the string"),
        ("", "", "unknown key ``"),
        ("a.b.c", "", "unknown section `a`"),
    ] {
        let error = with(key, value).unwrap_err();
        assert!(error.to_string().contains(found) && error.is_usage(), "{key}: {error}");
    }
}

#[test]
fn files_are_read_and_missing_ones_suggest_their_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("experiment.toml");
    std::fs::write(&path, "seed = 9").unwrap();
    assert_eq!(Config::load(Some(&path), &[]).unwrap().seed, 9);
    let error = Config::load(Some(&folder.path().join("experimnet.toml")), &[]).unwrap_err().to_string();
    assert!(error.contains("did you mean") && error.contains("experiment.toml`"), "{error}");
    assert!(Config::load(Some(folder.path()), &[]).unwrap_err().to_string().contains("regular file"));
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    assert!(Config::load(Some(&path), &[]).unwrap_err().to_string().contains("UTF-8"));
}

proptest! {
    #[test]
    fn any_valid_numbers_survive_the_round_trip(
        seed in 0..=i64::MAX as u64, lr in 1e-30f64..1e3, rho in 1e-6f64..0.999, beta in 0.0f64..1e6, d_hid in 1usize..1 << 20,
    ) {
        let mut config = Config { seed, ..Config::default() };
        (config.optimizer.lr, config.sparsity.rho, config.sparsity.beta) = (lr, rho, beta);
        config.model.d_hid = d_hid;
        config.data.source = format!("a \"quoted\"\n\\ {seed}");
        prop_assert_eq!(parse(&config.to_toml().unwrap()).unwrap(), config);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-z_\\[\\]=.\"'0-9\n {}#,-]{0,60}", value in "\\PC{0,10}") {
        let _ = parse(&text);
        let _ = with(&text, &value);
        let _ = with("sparsity.rho", &value);
    }
}

#[test]
fn the_default_of_eps_is_that_of_the_optimizer() {
    let eps = |text: &str, overrides: &[(&str, &str)]| {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::parse(text, "x.toml", &overrides).unwrap().optimizer.eps
    };
    assert_eq!(eps("", &[]), 1e-8);
    assert_eq!(eps("", &[("optimizer.kind", "adagrad")]), 1e-10);
    assert_eq!(eps("[optimizer]\nkind = \"adagrad\"\neps = 1e-8", &[]), 1e-8);
    assert_eq!(eps("[optimizer]\nkind = \"adagrad\"", &[("optimizer.eps", "1e-3")]), 1e-3);
    let resolved = Config::parse("[optimizer]\nkind = \"adagrad\"", "x.toml", &[]).unwrap().to_toml().unwrap();
    assert_eq!(eps(&resolved, &[]), 1e-10);
}
