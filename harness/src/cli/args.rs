//! What each command takes.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Trains, checks and measures sparse autoencoders on hand-optimised CPU kernels.
#[derive(Debug, Parser)]
#[command(name = "sae", version, disable_help_subcommand = true, after_help = ENVIRONMENT)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const ENVIRONMENT: &str = "Example:
  sae train --data digits --out runs/first && sae eval runs/first --data digits

Environment:
  SAE_KERNELS_ISA=avx512|avx2|neon|portable   forces an instruction set

Exit codes: 0 done, 2 bad usage or bad input, 1 failed, 130 interrupted,
143 terminated";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Trains a model into a new run directory
    Train(TrainArgs),
    /// Trains many runs that differ in some settings, and compares them
    Sweep(SweepArgs),
    /// Measures a model on data: loss, reconstruction, sparsity, baselines
    Eval(EvalArgs),
    /// Writes the features of data, h [rows, d_hid], as .npy
    Encode(EncodeArgs),
    /// Takes hidden units out that hardly answer, that say what others say, or that weigh little
    Prune(PruneArgs),
    /// Trains several layers one on the other, with a classifier on top
    Stack(StackArgs),
    /// Measures the speed of one operation against the processor's peak
    Bench(BenchArgs),
    /// Writes one page about a run, or about several beside each other
    Report(ReportArgs),
    /// Runs experiments: published results, done again and held against gates
    Experiments(ExperimentsArgs),
    /// Shows processor, caches, instruction sets, kernels and backends
    Info(InfoArgs),
    /// Prints completions of commands and options for a shell
    Completions(CompletionsArgs),
    /// Prints the manual page of sae, or of one of its commands
    Man(ManArgs),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// The settings of a training, those of them that have options of their own.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// A TOML file of settings; every key has a default
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// digits, synthetic, an IDX, .npy, .npz, .csv or .safetensors file, a PNG or JPEG image, or a folder of images, of .npy
    /// or .safetensors files or with MNIST's files (config key data.source)
    #[arg(long, value_name = "SPEC")]
    pub(super) data: Option<String>,
    /// fused, openblas, matrixmultiply or naive (config key backend)
    #[arg(long, value_name = "B")]
    pub(super) backend: Option<String>,
    /// Threads; 0 for all (config key threads)
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub(super) threads: Option<String>,
    /// What all random numbers come from (config key seed)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(super) seed: Option<String>,
}

const TRAIN_HELP: &str = "Any config key can be given as --section.key VALUE or --section.key=VALUE and
wins over the file. The keys:
  seed, backend, threads
  data.       source, preprocess, epsilon, components, patch, patches,
              patch_whiten, validation, test, buffer_mib
  model.      d_hid, hidden, output, init, tied, dropout
  loss.       convention, reconstruction, weight_decay, decay
  sparsity.   kind, rho, beta, rho_hat, ema_decay, k, k_start,
              anneal_epochs, alpha, threshold
  noise.      kind, sigma, fraction, gamma
  optimizer.  kind, lr, beta1, beta2, eps, momentum, alpha,
              history, tolerance
  schedule.   kind (constant, linear, step, cosine, plateau), warmup_steps,
              warmup_factor, steps, end_factor, min_lr, step_size, gamma,
              factor, patience, threshold, cooldown
  early_stopping.  patience, min_delta
  train.      batch, epochs, max_steps, shuffle, drop_last, clip_value, clip_norm,
              gradient_norm_steps, threshold_active, checkpoint_steps,
              checkpoint_minutes, keep, tensorboard, tensorboard_share

The run directory has to be new or empty; without --out it is runs/NAME-N, NAME
that of the data, N the first free number. It gets report.html, which tells all
of it; filters.png, reconstructions.png, curves.svg and rho_hat.svg, each to
stand alone; model.safetensors with cfg.json; config.toml, metrics.jsonl and
run.json; checkpoints/; and events for TensorBoard (tensorboard --logdir runs).

A run that was stopped, by SIGINT (Ctrl-C), SIGTERM or anything else, goes on with
--resume from its newest checkpoint, and ends in the same bits as one that was
not. Checkpoints are written every train.checkpoint_minutes, every
train.checkpoint_steps, on a signal and at the end. A second signal ends the
process at once.

Data larger than half of data.buffer_mib are streamed: .npy and .safetensors files,
a folder of them, or a pattern of their names in quotes.

Example:
  sae train --data digits --model.d_hid 64 --train.epochs 500 --out runs/first
  sae train --resume runs/first
  sae train --resume runs/first --train.epochs 1000 --force";

#[derive(Debug, Args)]
#[command(after_help = TRAIN_HELP)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// The run directory: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Goes on with the run in this folder, from its newest checkpoint
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    pub(super) resume: Option<PathBuf>,
    /// With --resume: also where settings or data have changed
    #[arg(long, requires = "resume")]
    pub(super) force: bool,
    /// JSON on stdout instead of a table: a line an epoch, then one that sums up
    #[arg(long)]
    pub(super) json: bool,
    /// Nothing on stderr but warnings and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const SWEEP_HELP: &str = "The file has the settings of a run, shared by all, and what is tried:

  [sweep]
  search = \"grid\"        every combination; or \"random\", with runs = 20
  together = 16          the most runs that are trained together
  [sweep.keys]
  sparsity.beta = [0.1, 0.3, 1, 3]
  loss.weight_decay = { from = 1e-5, to = 1e-3, scale = \"log\", steps = 5 }

Any other config key can be given as --section.key VALUE, as with sae train.
Runs of one shape on the same batches are trained together, in one pass over the
data; each computes the bits that it computes alone. The folder gets README.md
with a table and plots, results.csv, and a folder for each run, which sae eval,
encode and report take. Without --out it is runs/sweep-N. A sweep that was
stopped goes on with --resume: runs that are done are not trained again.

Example:
  sae sweep --config sweep.toml --out runs/beta
  sae sweep --resume runs/beta";

#[derive(Debug, Args)]
#[command(after_help = SWEEP_HELP, mut_arg("config", |arg| arg.help("A TOML file of settings with [sweep]")))]
pub(super) struct SweepArgs {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// The folder: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Goes on with the sweep in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "config"])]
    pub(super) resume: Option<PathBuf>,
    /// JSON on stdout instead of words
    #[arg(long)]
    pub(super) json: bool,
    /// Nothing on stderr but warnings and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// Where and on how many threads a model runs.
#[derive(Debug, Args)]
pub(super) struct RunOn {
    /// fused, openblas, matrixmultiply or naive
    #[arg(long, value_name = "B", default_value = "fused")]
    pub(super) backend: String,
    /// Threads; 0 for all
    #[arg(long, value_name = "T", default_value_t = 0, allow_hyphen_values = true)]
    pub(super) threads: usize,
}

/// A trained model, and what it is given.
#[derive(Debug, Args)]
pub(super) struct ModelAndData {
    /// A run directory, or a model.safetensors with its cfg.json beside it
    pub(super) model: PathBuf,
    /// What `sae train --data` takes
    #[arg(long, value_name = "SPEC")]
    pub(super) data: String,
}

const EVAL_HELP: &str = "Errors are those of preprocessed data: the map fitted in training is applied
first. The model stands beside the mean of the rows and principal components, as
many as there are hidden units; where those are not fewer than inputs, as many as
hold 95% of the variance. Both are fitted on the rows of --fit, else on the
evaluated rows. SSIM is that of images of at least 7 x 7.

--probe: softmax regression of the labels (accuracy, macro F1, AUC, confusion)
and ridge regression (R²) of --targets, else of a 0-or-1 indicator of each label,
on the inputs, on components and on the model's features. Fitted on --fit and
judged on --data; without --fit, on four fifths of the rows and judged on the
others.

Example:
  sae eval runs/first --data digits --probe --noise gaussian:0.3
  sae eval runs/mnist --data mnist/t10k-images-idx3-ubyte.gz --fit mnist --probe
  sae eval runs/scans --data scans.npz --anomaly --quantile 0.97 --json";

#[derive(Debug, Args)]
#[command(after_help = EVAL_HELP)]
pub(super) struct EvalArgs {
    #[command(flatten)]
    pub(super) of: ModelAndData,
    /// Rows to fit probes, components and thresholds on
    #[arg(long, value_name = "SPEC")]
    pub(super) fit: Option<String>,
    /// What can be read off the features by linear maps
    #[arg(long)]
    pub(super) probe: bool,
    /// Numbers to predict from the features, a row for each row of the data
    #[arg(long, value_name = "SPEC", requires = "probe")]
    pub(super) targets: Option<String>,
    /// The same for the rows of --fit
    #[arg(long, value_name = "SPEC", requires_all = ["targets", "fit"])]
    pub(super) fit_targets: Option<String>,
    /// Finds the rows with this label, 1 if none is given, by the error of their reconstruction
    #[arg(
        long,
        value_name = "LABEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        allow_hyphen_values = true
    )]
    pub(super) anomaly: Option<i64>,
    /// An anomaly is told by an error at or above this quantile of the errors of --fit, else of these rows
    #[arg(long, value_name = "Q", default_value_t = 0.95, allow_hyphen_values = true)]
    pub(super) quantile: f64,
    /// Corrupts the inputs and holds reconstructions against clean ones: gaussian:SIGMA, masking:SHARE or
    /// salt_and_pepper:SHARE; may be given again
    #[arg(long, value_name = "KIND:X")]
    pub(super) noise: Vec<String>,
    /// Trains the same autoencoder without a sparsity term, with the settings of the run, and holds it beside
    #[arg(long)]
    pub(super) plain: bool,
    /// What makes synthetic data, divides rows and draws noise
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true)]
    pub(super) seed: u64,
    /// A hidden unit counts as active above this
    #[arg(long, value_name = "H", default_value_t = 0.5, allow_hyphen_values = true)]
    pub(super) threshold_active: f32,
    /// Leaves the baselines out, which take rows·d_in² + O(d_in³) operations
    #[arg(long)]
    pub(super) no_baselines: bool,
    /// One JSON object on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) on: RunOn,
}

const ENCODE_HELP: &str = "The map fitted in training is applied first. The file is [rows, d_hid], f32,
and is written whole or not at all.

Example:
  sae encode runs/first --data digits --out features.npy";

#[derive(Debug, Args)]
#[command(after_help = ENCODE_HELP)]
pub(super) struct EncodeArgs {
    #[command(flatten)]
    pub(super) of: ModelAndData,
    /// The file, NAME.npy
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// What makes synthetic data
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true)]
    pub(super) seed: u64,
    /// One JSON object on stdout instead of a line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) on: RunOn,
}

const PRUNE_HELP: &str = "A unit goes where one of --threshold, --duplicates and --keep says so. Its
weight is var(h)*|w_dec|^2, what it adds to the mean square of the output's
pre-activation. Its mean goes into the output's bias, and a duplicate's part
into its twin, unless --no-fold. Activations are measured on the training rows
of the data, as the settings of MODEL's run divide them, and errors on the test
rows. DIR gets the model, which sae eval, encode and prune take.

Example:
  sae prune runs/first --data digits --threshold 0.01 --finetune 20 --out runs/small";

#[derive(Debug, Args)]
#[command(after_help = PRUNE_HELP)]
pub(super) struct PruneArgs {
    #[command(flatten)]
    pub(super) of: ModelAndData,
    /// Units with a mean activation (a mean magnitude, of units that can be negative) below this go
    #[arg(long, value_name = "E", allow_hyphen_values = true)]
    pub(super) threshold: Option<f64>,
    /// Units whose encoder weights have at least this cosine with those of a heavier unit are merged into it
    #[arg(long, value_name = "C", allow_hyphen_values = true)]
    pub(super) duplicates: Option<f64>,
    /// All but the N heaviest units go
    #[arg(long, value_name = "N")]
    pub(super) keep: Option<usize>,
    /// Trains on for so many epochs, with the model's objective
    #[arg(long, value_name = "EPOCHS")]
    pub(super) finetune: Option<usize>,
    /// Takes rows and columns out and changes nothing else
    #[arg(long)]
    pub(super) no_fold: bool,
    /// The folder of the model that is left: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// What divides the data and makes synthetic ones; that of MODEL's run
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// One JSON object on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) on: RunOn,
}

const STACK_HELP: &str = "Layer after layer is trained as a sparse autoencoder of what the one below makes of
the data, then a softmax classifier on the last one, where the data have labels,
and at last all of it together by backpropagation. Any config key can be given,
as to sae train; the keys of the stack are
  stack.      layers, head_epochs, head_lr, head_weight_decay, finetune_epochs,
              finetune_lr, finetune_weight_decay
DIR gets stack.safetensors and stack.json, which sae eval and encode take.

Example:
  sae stack --data digits --stack.layers 100,50 --out runs/stack";

#[derive(Debug, Args)]
#[command(after_help = STACK_HELP)]
pub(super) struct StackArgs {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// The folder of the stack: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// One JSON object on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Nothing on stderr but warnings and errors
    #[arg(long, short)]
    pub(super) quiet: bool,
}

const BENCH_HELP: &str = "OP        what is timed                             operations counted
  peak      multiply-adds in registers                those done
  sigmoid   out = sigmoid(x), n x h elements          1 an element
  encode    h = sigmoid(x w_enc + b), column sums     2ndh
  decode    x_hat = sigmoid(h w_dec + b), loss,       2ndh
            gradient of the loss
  backward  hidden delta, both weight gradients       6ndh
  step      a training step: sigmoid, KL, Adam        10ndh
  gemm      c [n, h] = a [n, d] b [d, h], row-major,  2ndh
            packing included

n, d, h are --batch, --d-in, --d-hid. Data are random. A repetition calls the
operation as often as makes it last 2 ms; repetitions alternate with a loop of
multiply-adds on the same threads, the peak, and the medians of both are
compared. The step leaves the weight decay's value out of its report, which
only a log needs.

With several threads it also says how long a word takes from one core to another
and back: hundreds of ns where they share no cache, and small steps are slower
there. On a virtual machine that can change at any moment.

--models gives the step so many models of one shape, all on the same batch.
Operations and samples/s are those of all models together.

--phases also times each part of the step. The bytes of a part are its operands,
each moved once; the roof is the lower of the peak and of operations a byte times
the bandwidth of a = b + s c over arrays beyond the caches, in the same run. A
part whose operands stay in the caches can pass the memory's roof.

Example:
  sae bench step --batch 256 --d-in 784 --d-hid 1024 --threads 2 --json
  sae bench step --batch 256 --d-in 64 --d-hid 100 --models 16";

#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(super) struct BenchArgs {
    /// peak, sigmoid, encode, decode, backward, step or gemm
    #[arg(value_name = "OP")]
    pub(super) op: String,
    /// Samples in a batch; m of gemm
    #[arg(long, value_name = "N", default_value_t = 256, allow_hyphen_values = true)]
    pub(super) batch: usize,
    /// Input width; k of gemm
    #[arg(long, value_name = "D", default_value_t = 784, allow_hyphen_values = true)]
    pub(super) d_in: usize,
    /// Hidden width; n of gemm
    #[arg(long, value_name = "H", default_value_t = 1024, allow_hyphen_values = true)]
    pub(super) d_hid: usize,
    /// Models of a step: the fused backend's in one batched step, others' one step after the other
    #[arg(long, value_name = "M", default_value_t = 1, allow_hyphen_values = true)]
    pub(super) models: usize,
    /// The element type; f32 is the only one
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(super) dtype: String,
    /// Repetitions
    #[arg(long, value_name = "R", default_value_t = 20, allow_hyphen_values = true)]
    pub(super) reps: usize,
    /// The parts of a step as well: time, bytes, and which roof is over each
    #[arg(long)]
    pub(super) phases: bool,
    /// One JSON object on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) on: RunOn,
}

const REPORT_HELP: &str = "One run: DIR/report.html, with curves, filters, the inputs that excite each
unit, reconstructions, mean activations, baselines, speed, and how to repeat
it. Several: comparison.html, with their results in a table, their curves in
one plot, and the settings in which they differ. A page is one file, which
needs no network. The data are loaded as the run's settings say; where they are
gone, what needs them is left out.

Example:
  sae report runs/first runs/second --out both.html";

#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub(super) struct ReportArgs {
    /// Run directories
    #[arg(value_name = "DIR", required = true)]
    pub(super) runs: Vec<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Threads; 0 for all
    #[arg(long, value_name = "T", default_value_t = 0, allow_hyphen_values = true)]
    pub(super) threads: usize,
    /// One JSON object on stdout instead of a line
    #[arg(long)]
    pub(super) json: bool,
}

const EXPERIMENTS_HELP: &str = "An experiment is a file NAME.toml with a measure, seeds, gates and the settings
of a training. One whose data are missing is skipped. OUT gets a record and the
pictures of each, and README.md, the page of all records there. The exit code is
1 where a gate does not hold.

Example:
  sae experiments linear dictionary";

#[derive(Debug, Args)]
#[command(after_help = EXPERIMENTS_HELP)]
pub(super) struct ExperimentsArgs {
    /// Experiments; all of them without a name
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// The folder of the experiments
    #[arg(long, value_name = "DIR", default_value = "harness/experiments")]
    pub(super) from: PathBuf,
    /// The folder of the data that they need
    #[arg(long, value_name = "DIR", default_value = "../shared/data")]
    pub(super) data: PathBuf,
    /// The folder of the results
    #[arg(long, value_name = "OUT", default_value = "results/experiments")]
    pub(super) out: PathBuf,
    /// Threads; 0 for all
    #[arg(long, value_name = "T", default_value_t = 0, allow_hyphen_values = true)]
    pub(super) threads: usize,
    /// A JSON object an experiment on stdout
    #[arg(long)]
    pub(super) json: bool,
}

const COMPLETIONS_HELP: &str = "Example:
  sae completions bash > /etc/bash_completion.d/sae";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    pub(super) shell: String,
}

const MAN_HELP: &str = "Example:
  sae man train | man -l -";

#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub(super) struct ManArgs {
    /// A command, for its own page
    #[arg(value_name = "COMMAND")]
    pub(super) command: Option<String>,
}

const INFO_HELP: &str = "Example:
  sae info --json";

#[derive(Debug, Args)]
#[command(after_help = INFO_HELP)]
pub(super) struct InfoArgs {
    /// One JSON object on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,
}
