//! Small models with weights that leave nothing silent, and the ways to run them.

use hh_core::{
    backend::{Backward, Forward, Precision},
    config::Config,
    init,
    layers::ChunkShape,
    model::{self, Acts, Model, Params},
    pass::Pass,
    rng,
    schedule::Schedule,
    shape::Shape,
    train::{HyperParams, Trained, Trainer},
    weights,
};
use hh_cpu::{Cpu, Float, Level, Tensor, Threads};

/// All three paths, both segments, all parts: what a test uses that wants everything at once.
pub const FULL: &str = r#"{"vocab_size": 13, "width": 12, "layers": 2, "ffn": 10, "head_dim": 4,
    "ssm_width": 8, "hopfield_width": 8, "attention_width": 8, "hopfield_depths": [3, 2], "hopfield_slots": 2,
    "mixer_hidden": 5, "segments": 2, "controller_width": 6, "flow_hidden": 7}"#;

/// [`FULL`] with some fields replaced; `changes` is the inside of a JSON object.
///
/// # Panics
/// If that is no configuration.
pub fn config(changes: &str) -> Config {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(FULL).expect("JSON");
    fields.extend(serde_json::from_str::<serde_json::Map<_, _>>(&format!("{{{changes}}}")).expect("JSON"));
    Config::from_json(&serde_json::Value::from(fields).to_string()).expect("a configuration")
}

/// Architectures that between them have every kernel, association, window and kind.
pub fn kinds() -> Vec<(&'static str, Config)> {
    let off = |names: &[&str]| names.iter().map(|n| format!(r#""{n}_width": 0"#)).collect::<Vec<_>>().join(", ");
    [
        ("full", String::new()),
        ("three segments", r#""segments": 3"#.into()),
        ("no controller", r#""controller_width": 0"#.into()),
        ("classic", r#""hopfield_kind": "classic", "hopfield_slots": 0"#.into()),
        ("classic, same", r#""hopfield_kind": "classic", "hopfield_slots": 0, "hopfield_association": "same""#.into()),
        ("same, no slots", r#""hopfield_association": "same", "hopfield_slots": 0"#.into()),
        ("windows", r#""hopfield_window": 4, "attention_window": 3"#.into()),
        ("ssm", off(&["hopfield", "attention"])),
        ("hopfield", off(&["ssm", "attention"])),
        ("attention", off(&["ssm", "hopfield"])),
        ("ssm and attention", off(&["hopfield"])),
        ("per layer", r#""ssm_width": [8, 0], "hopfield_width": [4, 8], "attention_width": [0, 4]"#.into()),
        ("factorised", r#""embed_dim": 5"#.into()),
        ("learned positions", r#""positions": "learned", "max_len": 600"#.into()),
        // Without the controller, which multiplies what bf16 rounds: a sharp look-up would multiply it again.
        ("episodic memory", r#""episodic_width": 6, "controller_width": 0"#.into()),
        ("episodic memory, window", r#""episodic_width": 6, "episodic_window": 3, "controller_width": 0"#.into()),
        ("mean", r#""mixer_kind": "mean", "positions": "none""#.into()),
        ("sum, long convolution", r#""mixer_kind": "sum", "ssm_conv": 6"#.into()),
    ]
    .into_iter()
    .map(|(name, changes)| (name, config(&changes)))
    .collect()
}

/// Initial values with noise on them: gates, depths and controller start at zero, and would hide their own faults.
pub fn disturbed(name: &str, shape: Shape, config: &Config, out: &mut [f32]) {
    init::value(name, shape, config, 1, out);
    let site = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    // Half-lives of a few positions, where the initial ones are of hundreds.
    let shift = match name.rsplit_once('.') {
        Some((_, "log_decay")) => 2.5,
        Some((path, "decay")) if path.ends_with("hopfield") => -3.0,
        _ => 0.0,
    };
    for (i, x) in out.iter_mut().enumerate() {
        *x += shift + 0.3 * rng::normal([9, 0, 0, 0], site, i as u32);
    }
}

/// Disturbed weights on a device.
pub fn weights<B: Forward>(b: &mut B, c: &Config) -> Params<B::Tensor> {
    weights::params(b, c, Precision::Master, |name, shape, out| {
        disturbed(name, shape, c, out);
        Ok(())
    })
    .expect("memory for a small model")
}

/// The CPU with these many threads and its widest instructions.
pub fn cpu<F: Float>(threads: usize) -> Cpu<F> {
    Cpu::new(Threads::new(threads))
}

/// Everything that training minimises, and a schedule that moves.
pub fn hyper(c: &Config) -> HyperParams {
    HyperParams {
        schedule: Schedule { peak_lr: 0.01, min_lr: 0.001, warmup: 2, steps: 20 },
        beta1: 0.9,
        beta2: 0.95,
        adam_eps: 1e-8,
        ema: 0.9,
        weight_decay: 0.1,
        embed_lr_scale: 1.0,
        clip: 1.0,
        dropout: 0.0,
        smoothing: 0.125,
        z_weight: 0.0625,
        flow_weight: if c.flow_hidden > 0 { 0.5 } else { 0.0 },
        only: Trained::All,
        episodic_items: 0,
        accumulate: 1,
        recompute: false,
        seed: 3,
        ..HyperParams::default()
    }
}

/// A trainer with disturbed weights, and room for `batch` × `time`.
pub fn trainer<B: Backward>(mut b: B, c: &Config, hyper: HyperParams, batch: usize, time: usize) -> Trainer<B> {
    let weights = weights(&mut b, c);
    Trainer::new(b, c.clone(), hyper, weights, batch, time).expect("a trainer")
}

/// Ids of a text that repeats nothing, others for each seed.
pub fn text(c: &Config, seed: u32, length: usize) -> Vec<u32> {
    (0..length as u32).map(|i| rng::block([seed, 0, 0, 0], 1, i)[0] % c.vocab_size as u32).collect()
}

/// Tokens and the ids that follow them, `[batch, time]` each.
pub fn batch(c: &Config, seed: u32, batch: usize, time: usize) -> [Vec<u32>; 2] {
    let rows: Vec<_> = (0..batch as u32).map(|row| text(c, 1000 * seed + row, time + 1)).collect();
    [rows.iter().flat_map(|r| r[..time].to_vec()).collect(), rows.iter().flat_map(|r| r[1..].to_vec()).collect()]
}

/// Hidden states `[batch, time, D]` of a whole text at once, as training computes them: without a state.
pub fn hidden<B: Forward<Tensor: Numbers>>(b: &mut B, m: &Model<B::Tensor>, tokens: &[u32], batch: usize) -> Vec<f64> {
    let (c, time) = (&m.config, tokens.len() / batch);
    let mut acts = Acts::new(b, c, ChunkShape { batch, time, saved: true }).expect("memory");
    let mut ids = b.alloc_indices(Shape::matrix(batch, time)).expect("memory");
    b.upload_indices(tokens, &mut ids).expect("no device to lose");
    let Ok(()) = model::forward(Pass::new(b, c), &m.params, None, &mut acts, &ids);
    wide(&acts.hidden)
}

/// A model with disturbed weights.
pub fn model<B: Forward>(b: &mut B, c: &Config) -> Model<B::Tensor> {
    Model { config: c.clone(), params: weights(b, c) }
}

/// A tensor whose numbers can be seen as they are, not rounded to the host's f32.
pub trait Numbers {
    /// All of them.
    fn numbers(&self) -> Vec<f64>;
}

impl<F: Float> Numbers for Tensor<F> {
    fn numbers(&self) -> Vec<f64> {
        self.data().iter().map(|x| x.to_f64()).collect()
    }
}

#[cfg(feature = "cuda")]
impl Numbers for hh_cuda::Tensor {
    fn numbers(&self) -> Vec<f64> {
        self.numbers().expect("no device to lose").into_iter().map(f64::from).collect()
    }
}

#[cfg(feature = "tch")]
impl Numbers for hh_tch::Tensor {
    fn numbers(&self) -> Vec<f64> {
        self.numbers().expect("no device to lose")
    }
}

/// The numbers of a tensor.
pub fn wide(t: &impl Numbers) -> Vec<f64> {
    t.numbers()
}

/// Names and numbers of a tree.
pub fn named<T: Numbers>(c: &Config, tree: &Params<T>) -> Vec<(String, Vec<f64>)> {
    model::shapes(c).into_iter().zip(tree.leaves()).map(|((name, _), leaf)| (name, wide(leaf))).collect()
}

/// The instructions that are worth comparing here: all that this machine has names for.
pub fn levels() -> [Level; 2] {
    [Level::baseline(), Level::detect()]
}
