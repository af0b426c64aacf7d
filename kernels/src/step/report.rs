//! What a pass over a batch found.

/// The objective of one batch, term by term, before the update.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Samples.
    pub n: usize,
    /// The objective: the sum of the four terms below.
    pub loss: f64,
    /// The reconstruction term, as the convention scales it.
    pub reconstruction: f64,
    /// The penalty, β included.
    pub sparsity: f64,
    /// The weight decay's term; 0 where it is decoupled, and where [`Step::report_weight_decay`](super::Step) is off (`loss`
    /// is then without it).
    pub weight_decay: f64,
    /// `γ·D` of an [`Input::Paired`](super::Input); 0 for others.
    pub denoising: f64,
    /// Σℓ over all elements of the samples, unscaled: what adds up over the batches of an epoch.
    pub loss_sum: f64,
    /// The mean over hidden units of ρ̂: of the batch's mean activations, or of the moving average the penalty used.
    pub rho_hat_mean: f64,
    /// Hidden units whose ρ̂ the KL penalty clamped.
    pub clamped: usize,
    /// The norm of the gradient over all four tensors, before it is clipped and without the weight decay; where
    /// [`BatchedStep::report_gradient_norm`](super::BatchedStep::report_gradient_norm) asks for it, and only of a step
    /// that updates.
    pub gradient_norm: Option<f64>,
}

/// The objective of one batch in a pass without an update: the same terms.
pub type EvalReport = StepReport;
