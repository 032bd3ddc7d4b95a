//! What several formulas share.

/// `σ(x)`
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x · σ(x)`
pub fn silu(x: f64) -> f64 {
    x * sigmoid(x)
}

/// `Σ aᵢ bᵢ`
pub fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `v / sqrt(|v|² + 1e-6)`
pub fn unit(v: &[f64]) -> Vec<f64> {
    let scale = 1.0 / (inner(v, v) + 1e-6).sqrt();
    v.iter().map(|v| v * scale).collect()
}

/// `exp(xᵢ) / Σ exp(xⱼ)`
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

/// `to += a · x`
pub fn add_scaled(to: &mut [f64], a: f64, x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += a * x);
}

/// A slice of exactly so many, to take apart.
pub fn all<const N: usize, T>(of: &[T]) -> &[T; N] {
    of.try_into().expect("as many tensors as the case has")
}

/// A slice of exactly so many, to take apart and write.
pub fn all_mut<const N: usize, T>(of: &mut [T]) -> &mut [T; N] {
    of.try_into().expect("as many tensors as the case has")
}
