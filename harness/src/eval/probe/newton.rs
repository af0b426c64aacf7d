//! Newton's method for smooth convex functions of many variables, with the second derivative only as products with vectors.
//!
//! Each step solves `H·p = −g` by preconditioned conjugate gradients, no more precisely than the gradient's length asks for (J. Nocedal,
//! S. J. Wright, "Numerical Optimization", 2nd edition, algorithms 5.3 and 7.1), and goes back along it until the value has fallen enough.

/// A smooth convex function.
pub(super) trait Convex {
    /// Value and gradient at `at`. What [`Convex::curvature`] needs of this point is kept.
    fn value(&mut self, at: &[f64], gradient: &mut [f64]) -> f64;

    /// The second derivative, where the value was last asked for, times `v`.
    fn curvature(&self, v: &[f64], out: &mut [f64]);

    /// About the inverse of the second derivative there, times `v`; symmetric and positive definite. The nearer, the fewer products
    /// with the second derivative a step takes.
    fn precondition(&self, v: &[f64], out: &mut [f64]) {
        out.copy_from_slice(v);
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// When no element of the gradient is larger in magnitude.
    pub(super) tolerance: f64,
    /// After so many steps.
    pub(super) steps: usize,
}

/// Products with the second derivative in one step.
const PRODUCTS: usize = 250;
/// Halvings of a step.
const HALVINGS: usize = 30;

/// Goes from `at` to the minimum; whether it came there.
pub(super) fn minimise(function: &mut impl Convex, at: &mut [f64], stop: Stop) -> bool {
    let mut gradient = vec![0.0; at.len()];
    let (mut tried, mut new_gradient) = (at.to_vec(), gradient.clone());
    let mut value = function.value(at, &mut gradient);
    for _ in 0..stop.steps {
        if gradient.iter().all(|g| g.abs() <= stop.tolerance) {
            return true;
        }
        let direction = direction(&*function, &gradient);
        let slope = dot(&gradient, &direction);
        let mut length = 1.0;
        let mut halvings = 0;
        let new_value = loop {
            for ((t, a), d) in tried.iter_mut().zip(&*at).zip(&direction) {
                *t = a + length * d;
            }
            let new = function.value(&tried, &mut new_gradient);
            // Near the minimum the value's own rounding hides how far it has fallen; there the gradient decides.
            let flat = (new - value).abs() <= 8.0 * f64::EPSILON * value.abs();
            if new <= value + 1e-4 * length * slope
                || flat && dot(&new_gradient, &new_gradient) < dot(&gradient, &gradient)
            {
                break Some(new);
            }
            if halvings == HALVINGS {
                break None;
            }
            halvings += 1;
            length *= 0.5;
        };
        // Nothing along the direction is lower: this is as near as rounding lets one come.
        let Some(new) = new_value else { return false };
        value = new;
        at.copy_from_slice(&tried);
        std::mem::swap(&mut gradient, &mut new_gradient);
    }
    gradient.iter().all(|g| g.abs() <= stop.tolerance)
}

/// About `−H⁻¹·gradient`.
fn direction(function: &impl Convex, gradient: &[f64]) -> Vec<f64> {
    let length = dot(gradient, gradient).sqrt();
    let enough = (length.sqrt().min(0.5) * length).powi(2);
    let mut direction = vec![0.0; gradient.len()];
    let mut rest: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let (mut conditioned, mut product) = (vec![0.0; gradient.len()], vec![0.0; gradient.len()]);
    function.precondition(&rest, &mut conditioned);
    let mut along = conditioned.clone();
    let mut square = dot(&rest, &conditioned);
    for _ in 0..PRODUCTS {
        function.curvature(&along, &mut product);
        let curvature = dot(&along, &product);
        if curvature <= f64::EPSILON * dot(&along, &along) {
            break;
        }
        let step = square / curvature;
        for (((d, a), r), p) in direction.iter_mut().zip(&along).zip(&mut rest).zip(&product) {
            *d += step * a;
            *r -= step * p;
        }
        if dot(&rest, &rest) <= enough {
            break;
        }
        function.precondition(&rest, &mut conditioned);
        let before = std::mem::replace(&mut square, dot(&rest, &conditioned));
        let keep = square / before;
        along.iter_mut().zip(&conditioned).for_each(|(a, c)| *a = c + keep * *a);
    }
    if direction.iter().all(|&d| d == 0.0) {
        direction = gradient.iter().map(|g| -g).collect();
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Σ cosh(a_i·(x_i − c_i))`, with its minimum at `c`: far from it, a whole Newton step goes much too far or not far enough.
    struct Cosh {
        a: Vec<f64>,
        c: Vec<f64>,
        curvature: Vec<f64>,
    }

    impl Convex for Cosh {
        fn value(&mut self, at: &[f64], gradient: &mut [f64]) -> f64 {
            let mut sum = 0.0;
            let of = at.iter().zip(&self.a).zip(&self.c).zip(gradient).zip(&mut self.curvature);
            for ((((x, a), c), g), curvature) in of {
                let z = a * (x - c);
                sum += z.cosh();
                *g = a * z.sinh();
                *curvature = a * a * z.cosh();
            }
            sum
        }

        fn curvature(&self, v: &[f64], out: &mut [f64]) {
            out.iter_mut().zip(v).zip(&self.curvature).for_each(|((o, v), c)| *o = c * v);
        }
    }

    #[test]
    fn the_minimum_is_found_from_afar() {
        let mut function = Cosh { a: vec![1.0, 5.0, 0.2], c: vec![3.0, -1.0, 10.0], curvature: vec![0.0; 3] };
        let mut at = vec![0.0; 3];
        assert!(minimise(&mut function, &mut at, Stop { tolerance: 1e-12, steps: 30 }));
        // The gradient is a²·(x − c) there: 1e-12 over 0.04, the least a².
        for (x, c) in at.iter().zip(&function.c) {
            assert!((x - c).abs() <= 1e-12 / 0.04, "{at:?}");
        }
    }

    #[test]
    fn too_few_steps_are_told() {
        let mut function = Cosh { a: vec![1.0], c: vec![3.0], curvature: vec![0.0] };
        assert!(!minimise(&mut function, &mut [0.0], Stop { tolerance: 1e-12, steps: 1 }));
    }
}
