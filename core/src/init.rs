//! Initial values of a model's tensors: the distributions of the reference implementation.
//!
//! Element `i` of a tensor is a function of `(seed, name, i)`, so neither the order in which tensors are filled nor
//! the presence of others changes it.

use crate::{config::Config, rng, shape::Shape};

/// Fills `out` with the initial values of the tensor of that full name, as in `blocks.3.ssm.log_decay`.
///
/// A name that the model does not have is treated as a weight matrix: normal with deviation 0.02.
///
/// # Panics
/// If `out` does not have the length that `shape` says.
pub fn value(name: &str, shape: Shape, config: &Config, seed: u64, out: &mut [f32]) {
    assert_eq!(out.len(), shape.count(), "init: {name} of shape {shape}");
    let stream = Stream::new(name, seed);
    let leaf = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')).map_or(name, |(_, leaf)| leaf);
    match leaf {
        "ssm.skip" => out.fill(1.0),
        _ if leaf.contains("norm") => out.fill(1.0),
        "ssm.log_decay" => stream.uniform(out, log_decay),
        "ssm.conv.weight" => stream.normal(out, 1.0 / shape.width() as f32),
        "hopfield.log_beta" => out.fill((0.5 * libm::log(config.head_dim as f64)) as f32),
        // A sigmoid of it spreads the heads over half-lives of about 5 to 700 positions.
        "hopfield.decay" => linspace(out, 2.0, 7.0),
        "hopfield.slot_patterns" => stream.normal(out, 1.0),
        "controller.decay" => linspace(out, -2.0, 4.0),
        // Each of the 2L branches adds to the residual stream; this keeps the sum's variance independent of L.
        "out_proj.weight" | "ffn.out.weight" => stream.normal(out, 0.02 / libm::sqrtf(2.0 * config.layers as f32)),
        "episodic.log_beta" => out.fill(libm::log(12.0) as f32),
        "episodic.key.weight" => stream.normal(out, 1.0 / libm::sqrtf(shape.width() as f32)),
        // At first the memory has an eighth of the probability.
        "episodic.gate.bias" => out.fill(-2.0),
        "episodic.gate.weight" | "episodic.gate.match" => out.fill(0.0),
        // Gates start equal, the controller silent.
        "mixer.gate.weight" | "hopfield.depth.weight" | "controller.gate_bias.weight" | "controller.inject.weight" | "flow.time.weight" => {
            out.fill(0.0)
        }
        _ if leaf.ends_with("bias") => out.fill(0.0),
        "embed.up.weight" | "embed.down.weight" | "pooled.weight" => stream.normal(out, 1.0 / libm::sqrtf(shape.width() as f32)),
        _ => stream.normal(out, 0.02),
    }
}

/// Λ such that the slowest decay of a channel, `a = exp(−8 softplus(Λ))`, is uniform on `[0.9, 0.999)`.
fn log_decay(u: f32) -> f32 {
    let a = 0.9 + 0.099 * f64::from(u);
    libm::log(libm::expm1(-libm::log(a) / 8.0)) as f32
}

/// Evenly spaced numbers, both ends included; the first end alone if there is room for one.
fn linspace(out: &mut [f32], first: f64, last: f64) {
    let gaps = out.len().saturating_sub(1).max(1) as f64;
    for (i, x) in out.iter_mut().enumerate() {
        *x = (first + (last - first) * i as f64 / gaps) as f32;
    }
}

/// The random numbers of one tensor.
struct Stream {
    seed: u64,
    site: u64,
}

impl Stream {
    fn new(name: &str, seed: u64) -> Self {
        // FNV-1a, 64 bits.
        let site = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { seed, site }
    }

    /// Words `4·block .. 4·block + 4`.
    fn block(&self, block: u64) -> [u32; 4] {
        let key = [self.seed as u32, (self.seed >> 32) as u32, (block >> 32) as u32, (self.site >> 32) as u32];
        rng::block(key, self.site as u32, block as u32)
    }

    fn normal(&self, out: &mut [f32], deviation: f32) {
        for (block, four) in out.chunks_mut(4).enumerate() {
            for (x, z) in four.iter_mut().zip(rng::normals(self.block(block as u64))) {
                *x = deviation * z;
            }
        }
    }

    fn uniform(&self, out: &mut [f32], map: fn(f32) -> f32) {
        for (block, four) in out.chunks_mut(4).enumerate() {
            for (x, word) in four.iter_mut().zip(self.block(block as u64)) {
                *x = map(rng::unit_interval(word));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::preset;
    use alloc::{vec, vec::Vec};

    fn fill(name: &str, shape: Shape, seed: u64) -> Vec<f32> {
        let mut out = vec![f32::NAN; shape.count()];
        value(name, shape, &preset("char-4.5m").unwrap(), seed, &mut out);
        assert!(out.iter().all(|x| x.is_finite()), "{name}");
        out
    }

    #[test]
    fn every_random_tensor_has_its_deviation() {
        for (name, shape, expected) in [
            ("embed.weight", Shape::matrix(300, 100), 0.02),
            ("embed.up.weight", Shape::matrix(300, 100), 0.1),
            ("embed.down.weight", Shape::matrix(100, 400), 0.05),
            ("pooled.weight", Shape::matrix(100, 400), 0.05),
            ("episodic.key.weight", Shape::matrix(100, 400), 0.05),
            ("positions.weight", Shape::matrix(300, 100), 0.02),
            ("blocks.0.in_proj.weight", Shape::matrix(300, 100), 0.02),
            ("blocks.11.ssm.conv.weight", Shape::matrix(9000, 4), 0.25),
            ("blocks.0.hopfield.slot_patterns", Shape::cube(10, 40, 100), 1.0),
            ("blocks.0.hopfield.slot_values", Shape::cube(10, 40, 100), 0.02),
            ("blocks.0.mixer.hidden.weight", Shape::matrix(300, 100), 0.02),
            ("blocks.0.out_proj.weight", Shape::matrix(300, 100), 0.02 / 12f64.sqrt()),
            ("blocks.0.ffn.in.weight", Shape::matrix(300, 100), 0.02),
            ("blocks.0.ffn.out.weight", Shape::matrix(300, 100), 0.02 / 12f64.sqrt()),
            ("controller.in.weight", Shape::matrix(300, 100), 0.02),
            ("flow.out.weight", Shape::matrix(300, 100), 0.02),
        ] {
            let x = fill(name, shape, 1);
            let n = x.len() as f64;
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let deviation = (x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n - mean * mean).sqrt();
            assert!(mean.abs() < 4.0 * expected / n.sqrt(), "{name}: mean {mean}");
            assert!((deviation / expected - 1.0).abs() < 0.02, "{name}: deviation {deviation}, not {expected}");
        }
    }

    #[test]
    fn the_others_are_constants() {
        let head = 0.5 * 32f32.ln();
        for (name, expected) in [
            ("blocks.3.norm_mix.weight", 1.0),
            ("blocks.3.mixer.norm.weight", 1.0),
            ("blocks.3.norm_ffn.weight", 1.0),
            ("norm_out.weight", 1.0),
            ("blocks.3.ssm.skip", 1.0),
            ("blocks.3.ssm.conv.bias", 0.0),
            ("blocks.3.ssm.gate_bias", 0.0),
            ("blocks.3.hopfield.log_beta", head),
            ("blocks.3.hopfield.depth.weight", 0.0),
            ("blocks.3.hopfield.depth.bias", 0.0),
            ("blocks.3.mixer.hidden.bias", 0.0),
            ("blocks.3.mixer.gate.weight", 0.0),
            ("blocks.3.mixer.gate.bias", 0.0),
            ("controller.gate_bias.weight", 0.0),
            ("controller.inject.weight", 0.0),
            ("flow.time.weight", 0.0),
            ("flow.bias", 0.0),
            ("episodic.log_beta", 12f32.ln()),
            ("episodic.gate.weight", 0.0),
            ("episodic.gate.match", 0.0),
            ("episodic.gate.bias", -2.0),
        ] {
            assert!(fill(name, Shape::matrix(3, 5), 1).iter().all(|&x| (x - expected).abs() < 1e-6), "{name}");
        }
    }

    #[test]
    fn decays_cover_their_ranges() {
        let a: Vec<f64> = fill("blocks.0.ssm.log_decay", Shape::vector(20_000), 1)
            .into_iter()
            .map(|x| (-8.0 * f64::from(x).exp().ln_1p()).exp())
            .collect();
        assert!(a.iter().all(|a| (0.899_99..0.999_01).contains(a)));
        for decile in 0..10 {
            let low = 0.9 + 0.0099 * f64::from(decile);
            let inside = a.iter().filter(|&&a| (low..low + 0.0099).contains(&a)).count();
            assert!((1800..2200).contains(&inside), "{inside} of 20000 in decile {decile}");
        }
        assert_eq!(fill("blocks.0.hopfield.decay", Shape::vector(3), 1), [2.0, 4.5, 7.0]);
        assert_eq!(fill("blocks.0.hopfield.decay", Shape::vector(1), 1), [2.0]);
        assert_eq!(fill("controller.decay", Shape::vector(4), 1), [-2.0, 0.0, 2.0, 4.0]);
    }

    #[test]
    fn a_value_depends_on_seed_name_and_place_alone() {
        let shape = Shape::vector(1001);
        let a = fill("blocks.0.in_proj.weight", shape, 1);
        assert_eq!(a, fill("blocks.0.in_proj.weight", shape, 1));
        assert_eq!(a[..10], fill("blocks.0.in_proj.weight", Shape::vector(10), 1));
        for other in [
            fill("blocks.1.in_proj.weight", shape, 1),
            fill("blocks.0.in_proj.weight", shape, 2),
            fill("blocks.0.in_proj.weight", shape, 1 << 32),
        ] {
            assert!(a.iter().zip(&other).filter(|(a, b)| a == b).count() < 5);
        }
    }
}
