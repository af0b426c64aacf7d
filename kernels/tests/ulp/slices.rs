//! The slice functions' own promises.

use sae_kernels::{Error, Isa};

use crate::table::TABLE;

#[test]
fn a_result_does_not_depend_on_length_or_place() {
    let x: Vec<f32> = (0..67).map(|i| (i as f32 - 20.0) * 0.37).collect();
    for row in &TABLE {
        for isa in Isa::available() {
            let alone: Vec<u32> = x
                .iter()
                .map(|&x| {
                    let mut y = [0.0];
                    (row.apply)(isa, &[x], &mut y).unwrap();
                    y[0].to_bits()
                })
                .collect();
            for len in 0..=x.len() {
                for start in [0, x.len() - len] {
                    let mut out = vec![0.0; len].into_boxed_slice();
                    (row.apply)(isa, &x[start..start + len], &mut out).unwrap();
                    for (i, y) in out.iter().enumerate() {
                        let (found, expected) = (y.to_bits(), alone[start + i]);
                        let nan = y.is_nan() && f32::from_bits(expected).is_nan();
                        assert!(found == expected || nan, "{} {isa} length {len}, element {i}", row.name);
                    }
                }
            }
        }
    }
}

#[test]
fn slices_of_different_length_are_an_error_and_nothing_is_written() {
    for row in &TABLE {
        let mut out = [7.0; 4];
        let error = (row.apply)(Isa::Portable, &[0.0; 5], &mut out).unwrap_err();
        assert!(matches!(error, Error::Shape { operand: "out", found: 4, expected: 5, .. }), "{error}");
        assert_eq!(out, [7.0; 4]);
    }
}

#[test]
fn an_instruction_set_the_processor_lacks_is_an_error() {
    for row in &TABLE {
        for isa in Isa::ALL {
            let result = (row.apply)(isa, &[1.0], &mut [0.0]);
            match result {
                Ok(()) => assert!(isa.is_available()),
                Err(error) => {
                    assert!(matches!(error, Error::IsaUnavailable { wanted, .. } if wanted == isa), "{error}")
                }
            }
        }
    }
}
