//! The largest and the smallest arguments of everything that takes a size, a stride or a name.

use sae_kernels::ops::{
    Activation, Decode, Encode, Form, Gemm, GradSink, HiddenDelta, Hyper, Loss, Rule, UpdateMatrix, WeightGrad,
};
use sae_kernels::step::{Parameters, Step, StepConfig};
use sae_kernels::{
    Backend, BackendKind, Error, Fused, Isa, Layout, MatMut, MatRef, Matrix, Naive, Real, backend, math,
};

const MAX: usize = usize::MAX;
/// Sizes around which arithmetic on addresses overflows.
const SIZES: [usize; 10] = [0, 1, 2, 3, 1 << 31, 1 << 32, isize::MAX as usize / 8, isize::MAX as usize, MAX - 1, MAX];

/// Every layout that can be asked for with these sizes.
fn layouts(mut each: impl FnMut(Layout)) {
    for rows in SIZES {
        for cols in SIZES {
            for stride in SIZES {
                let all = [Layout::row_major_ld(rows, cols, stride), Layout::panel_major(rows, cols, stride)];
                for layout in all.into_iter().flatten() {
                    for (batch, batch_stride) in [(1, 0), (0, MAX), (2, 0), (2, MAX), (3, stride), (MAX, 0), (MAX, MAX)]
                    {
                        each(layout.batched(batch, batch_stride));
                    }
                }
            }
        }
    }
}

#[test]
fn a_layout_of_any_size_is_taken_or_refused() {
    let data = [1.0f32; 8];
    let (mut taken, mut refused) = (0, 0);
    layouts(|layout| {
        let mut storage = data;
        for result in [
            MatRef::new(&data, layout).map(drop),
            MatMut::new(&mut storage, layout).map(drop),
            layout.batched_dense(MAX).and_then(|layout| MatRef::new(&data, layout).map(drop)),
            layout.top(MAX).and_then(|layout| MatRef::new(&data, layout).map(drop)),
        ] {
            match result {
                Ok(()) => taken += 1,
                Err(error) => {
                    refused += 1;
                    let known = matches!(
                        error,
                        Error::Storage { .. } | Error::TooLarge { .. } | Error::Overlap { .. } | Error::Shape { .. }
                    );
                    assert!(known, "{layout:?}: {error}");
                    assert!(!error.to_string().contains('\n'));
                }
            }
        }
    });
    assert!(taken > 0 && refused > 0);
}

/// What is taken is empty or fits the slice: its first and last elements can be read.
#[test]
fn a_layout_that_is_taken_stays_in_its_slice() {
    let data = [1.0f32; 8];
    layouts(|layout| {
        if let (Ok(view), false) = (MatRef::new(&data, layout), layout.is_empty()) {
            let last = [layout.batch() - 1, layout.rows() - 1, layout.cols() - 1];
            assert_eq!((view.at(0, 0, 0), view.at(last[0], last[1], last[2])), (1.0, 1.0));
        }
    });
}

#[test]
fn a_matrix_that_no_memory_holds_is_an_error() {
    fn check<T: Real>() {
        for (rows, cols) in [(1, isize::MAX as usize / 8), (1 << 30, 1 << 29), (MAX, 2), (1 << 57, 1)] {
            let error = Matrix::<T>::zeros(Layout::row_major(rows, cols)).unwrap_err();
            assert_eq!(error, Error::TooLarge { rows, cols, batch: 1 });
            assert!(Matrix::<T>::from_row_major(&[], Layout::row_major(rows, cols)).is_err());
        }
        let empty = Layout::row_major(2, 0).batched(MAX, 0);
        let mut matrix = Matrix::<T>::zeros(empty).unwrap();
        matrix.copy_from_row_major(&[]).unwrap();
        assert!(matrix.copy_from_row_major(&[T::ONE]).is_err());
        assert!(matrix.to_row_major().is_empty());
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn a_layout_refuses_what_it_cannot_be() {
    assert_eq!(Layout::row_major_ld(2, 3, 2), Err(Error::LeadingDimension { found: 2, expected: 3 }));
    assert_eq!(Layout::panel_major(2, 3, 0), Err(Error::ZeroPanel));
    assert_eq!(Layout::panel_major(MAX, 3, 2), Err(Error::TooLarge { rows: MAX, cols: 3, batch: 1 }));
    let mut data = [0.0f32; 5];
    let error = MatMut::new(&mut data, Layout::row_major(2, 2).batched(2, 1)).unwrap_err();
    assert_eq!(error, Error::Overlap { found: 1, expected: 4 });
    let error = MatRef::new(&data, Layout::row_major(2, 3)).unwrap_err();
    assert_eq!(error, Error::Storage { found: 5, expected: 6 });
    assert!(Layout::row_major(2, 3).top(3).is_err());
}

fn backends() -> Vec<Box<dyn Backend>> {
    let mut all: Vec<Box<dyn Backend>> = Vec::new();
    all.extend(Isa::available().into_iter().map(|isa| Box::new(Fused::with_isa(isa).unwrap()) as Box<dyn Backend>));
    all.extend(BackendKind::ALL.into_iter().filter(|kind| kind.is_built()).map(|kind| backend(kind).unwrap()));
    all
}

/// As many problems as can be said, none of which has an element.
#[test]
fn empty_problems_take_no_time_however_many_they_are() {
    for mut backend in backends() {
        for [m, n, k] in [[96, 0, 3], [0, 96, 3], [0, 0, 3], [0, 0, 0], [MAX, 0, 0], [0, MAX, 0], [0, 0, MAX]] {
            let many = |rows, cols| Layout::row_major(rows, cols).batched(MAX, 0);
            let data = [1.0f32; 300];
            let [mut c, mut h, mut delta] = [[0.0f32; 0]; 3];
            let Ok(a) = MatRef::new(&data, many(m, k)) else { continue };
            let Ok(b) = MatRef::new(&data, many(k, n)) else { continue };
            let c = MatMut::new(&mut c, many(m, n)).unwrap();
            match backend.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: true }) {
                // More rows or columns than its product can be told.
                Err(Error::IndexRange { .. }) => continue,
                result => result.unwrap(),
            }
            if n > 0 {
                // A bias of MAX·n elements cannot be.
                continue;
            }
            let (bias, activation) = (&[][..], Activation::Sigmoid);
            let target = MatRef::new(&data, many(m, n)).unwrap();
            let (out, sums) = (MatMut::new(&mut h, many(m, n)).unwrap(), Some(&mut [][..]));
            backend.encode(Encode { threshold: None, x: a, w: b, bias, activation, h: out, col_sums: sums }).unwrap();
            let delta_hid = MatMut::new(&mut delta, many(m, n)).unwrap();
            let hidden = HiddenDelta {
                support: false,
                gate: None,
                delta_out: a,
                w_t: b,
                h: target,
                activation,
                row_term: Some(bias),
                l1: None,
                delta_hid,
                bias_grad: Some(&mut []),
            };
            backend.hidden_delta(hidden).unwrap();
        }
    }
}

/// As many rows as can be said, none of which has an element: nothing counts up to them.
#[test]
fn empty_rows_take_no_time_however_many_they_are() {
    for mut backend in backends() {
        let panel = backend.panel().unwrap_or(4);
        for rows in [1 << 40, isize::MAX as usize, MAX] {
            let layouts = [Ok(Layout::row_major(rows, 0)), Layout::panel_major(rows, 0, panel)];
            // In panels there may be no more rows than an address can say.
            for layout in layouts.into_iter().flatten() {
                let none = |layout| MatRef::<f32>::new(&[], layout).unwrap();
                let [mut c, mut delta, mut x_hat, mut w, mut m, mut v] = [[0.0f32; 0]; 6];
                let square = Layout::row_major(0, 0);
                let (activation, mut loss) = (Activation::Sigmoid, [1.0]);
                let decode = Decode {
                    h: none(layout),
                    w: none(square),
                    bias: &[],
                    activation,
                    target: none(layout),
                    loss: Loss::Bce,
                    scale: 1.0,
                    delta: MatMut::new(&mut delta, layout).unwrap(),
                    bias_grad: Some(&mut []),
                    x_hat: Some(MatMut::new(&mut x_hat, layout).unwrap()),
                    loss_sum: &mut loss,
                };
                match backend.decode(decode) {
                    // More rows than its product can be told.
                    Err(Error::IndexRange { .. }) => {}
                    result => {
                        result.unwrap();
                        assert_eq!(loss, [0.0]);
                        let c = MatMut::new(&mut c, layout).unwrap();
                        let (a, b) = (none(layout), none(square));
                        backend.gemm(Gemm { form: Form::Nn, a, b, c, accumulate: true }).unwrap();
                        let sink = GradSink::Update(UpdateMatrix {
                            hyper: &[Hyper {
                                rule: Rule::adam(),
                                lr: 0.1,
                                decay: 0.1,
                                decoupled: false,
                                step: 1,
                                clip: None,
                            }],
                            w: MatMut::new(&mut w, layout).unwrap(),
                            w_t: None,
                            m: Some(MatMut::new(&mut m, layout).unwrap()),
                            v: Some(MatMut::new(&mut v, layout).unwrap()),
                        });
                        let a = none(Layout::row_major(0, rows));
                        backend.weight_grad(WeightGrad { a, delta: none(square), sink }).unwrap();
                    }
                }
                let mut sum = [1.0];
                backend.sum_of_squares(none(layout), &mut sum).unwrap();
                assert_eq!(sum, [0.0]);
            }
        }
    }
}

#[test]
fn a_name_that_is_none_is_an_error_that_lists_those_there_are() {
    for name in ["", "AVX512", "avx", "fused ", "blas\n", "\u{0}"] {
        let errors = [name.parse::<Isa>().unwrap_err(), name.parse::<BackendKind>().unwrap_err()];
        for (error, listed) in errors.into_iter().zip(["portable", "matrixmultiply"]) {
            assert!(matches!(&error, Error::Unknown { found, .. } if found == name));
            assert!(error.to_string().contains(listed), "{error}");
        }
    }
    for isa in Isa::ALL {
        assert_eq!(isa.name().parse(), Ok(isa));
        if !isa.is_available() {
            assert!(matches!(isa.require(), Err(Error::IsaUnavailable { wanted, .. }) if wanted == isa));
            assert!(Fused::with_isa(isa).is_err());
            assert!(math::exp(isa, &[1.0], &mut [1.0]).is_err());
            assert!(!isa.keeps_bits());
        }
    }
    for kind in BackendKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(kind.is_built(), !matches!(backend(kind), Err(Error::NotBuilt { .. })));
    }
}

#[test]
fn functions_of_slices_refuse_different_lengths() {
    for isa in Isa::available() {
        for function in [math::exp, math::log, math::sigmoid, math::tanh, math::log1p, math::softplus] {
            let mut out = [9.0; 3];
            let error = function(isa, &[1.0; 4], &mut out).unwrap_err();
            assert!(matches!(error, Error::Shape { found: 3, expected: 4, .. }), "{error}");
            assert_eq!(out, [9.0; 3]);
            function(isa, &[], &mut []).unwrap();
        }
    }
}

#[test]
fn a_step_of_impossible_size_is_refused() {
    let new = |d_in, d_hid, n, panel| Step::<f32>::new(d_in, d_hid, n, panel, StepConfig::new());
    for [d_in, d_hid, n] in [[0, 1, 1], [1, 0, 1], [1, 1, 0], [MAX, MAX, 1], [1 << 40, 1 << 40, 1], [MAX, 2, 2]] {
        assert!(matches!(new(d_in, d_hid, n, None), Err(Error::Scalar { .. } | Error::TooLarge { .. })));
    }
    assert_eq!(new(3, 2, 2, Some(0)).unwrap_err(), Error::ZeroPanel);
    assert!(matches!(new(3, 2, 2, Some(MAX)), Err(Error::TooLarge { .. })));
}

#[test]
fn a_step_refuses_what_does_not_fit_and_stays_as_it_was() {
    let mut step = Step::<f32>::new(3, 2, 4, None, StepConfig::new()).unwrap();
    let weights = Parameters { w_enc: vec![0.5; 6], w_dec: vec![0.25; 6], ..Parameters::zeros(3, 2) };
    step.set_weights(&weights).unwrap();
    let (state, data) = (step.state(), [0.5f32; 30]);
    let wrong = [(4, 2, 1), (5, 3, 1), (0, 3, 1), (2, 3, 2)];
    for (rows, cols, batch) in wrong {
        let x = MatRef::new(&data, Layout::row_major(rows, cols).batched_dense(batch).unwrap()).unwrap();
        assert!(step.train_step(&mut Naive, x, 0.1).is_err(), "{rows} x {cols}, batch {batch}");
    }
    let x = MatRef::row_major(&data, 4, 3).unwrap();
    for lr in [f32::NAN, f32::INFINITY, -1.0] {
        assert!(matches!(step.train_step(&mut Naive, x, lr), Err(Error::Scalar { name: "learning rate", .. })));
    }
    assert!(step.set_weights(&Parameters::zeros(2, 3)).is_err());
    assert!(step.hidden(5).is_err());
    assert_eq!((step.weights(), step.state()), (weights, state));
}
