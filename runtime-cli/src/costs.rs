//! Analytic costs of a model: number of parameters, bytes of state, floating-point operations.

use hh_core::backend::{Device, Precision};
use hh_core::config::{Config, HopfieldKind};
use hh_core::model::{self, State};
use hh_core::quant::QuantView;
use hh_core::shape::{Shape, Shaped};
use serde::Serialize;
use std::convert::Infallible;

/// Number of parameters by component. A path includes its share of the packed projections.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parameters {
    /// The token embedding, shared by input and output, its factors, and learned positions.
    pub embedding: usize,
    /// The state-space paths.
    pub ssm: usize,
    /// The Hopfield paths.
    pub hopfield: usize,
    /// The attention paths.
    pub attention: usize,
    /// The gates, and the norms of the path outputs.
    pub mixer: usize,
    /// The feed-forward networks.
    pub ffn: usize,
    /// The norms of the residual stream.
    pub norms: usize,
    /// The controller between segments.
    pub controller: usize,
    /// The rectified-flow head, used only in training.
    pub flow: usize,
}

impl Parameters {
    /// Counts the parameters of a configuration.
    pub fn of(c: &Config) -> Self {
        let mut n = Self::default();
        for (name, shape) in model::shapes(c) {
            let (block, leaf) = match name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
                Some((layer, leaf)) => (layer.parse().unwrap_or(0), leaf),
                None => (0, name.as_str()),
            };
            match leaf.split('.').next().unwrap_or(leaf) {
                "embed" | "positions" => n.embedding += shape.count(),
                "ssm" => n.ssm += shape.count(),
                "hopfield" => n.hopfield += shape.count(),
                "mixer" => n.mixer += shape.count(),
                "ffn" => n.ffn += shape.count(),
                "controller" => n.controller += shape.count(),
                "flow" => n.flow += shape.count(),
                projection @ ("in_proj" | "out_proj") => {
                    let packed = if projection == "in_proj" { [4, 3, 3] } else { [1, 1, 1] };
                    let [s, h, a] = c.widths(block);
                    n.ssm += packed[0] * s * c.width;
                    n.hopfield += packed[1] * h * c.width;
                    n.attention += packed[2] * a * c.width;
                }
                _ => n.norms += shape.count(),
            }
        }
        n
    }

    /// The components by name.
    pub fn parts(&self) -> [(&'static str, usize); 9] {
        [
            ("embedding", self.embedding),
            ("ssm", self.ssm),
            ("hopfield", self.hopfield),
            ("attention", self.attention),
            ("mixer", self.mixer),
            ("ffn", self.ffn),
            ("norms", self.norms),
            ("controller", self.controller),
            ("flow", self.flow),
        ]
    }

    /// Total number of parameters.
    pub fn total(&self) -> usize {
        self.parts().iter().map(|(_, n)| n).sum()
    }
}

/// Bytes of the recurrent state of one sequence.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateBytes {
    /// Bytes that each further position adds, until a window is full.
    pub per_position: usize,
    /// Bytes independent of the length: recurrences, convolutions, Hebbian matrices, summaries.
    pub constant: usize,
    /// Total bytes at the given context.
    pub total: usize,
}

impl StateBytes {
    /// Counts the state that a session of this context allocates.
    pub fn of(c: &Config, context: usize, segments: usize) -> Self {
        let bytes = |c: &Config, context| {
            let Ok(state) = State::new(&mut MemoryMeter::new(Numbers::SINGLE), c, 1, context, segments);
            state.leaves().map(|tensor| tensor.0.count() * size_of::<f32>()).sum::<usize>()
        };
        // A window of one position would hide what a second position adds.
        let free = Config { hopfield_window: 0, attention_window: 0, ..c.clone() };
        let one = bytes(&free, 1);
        let per_position = bytes(&free, 2) - one;
        Self { per_position, constant: one - per_position, total: bytes(c, context) }
    }
}

/// Bytes per element of a backend's tensors, by precision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    compute: usize,
    /// Of the additional compute copy of a weight matrix.
    copy: usize,
}

impl Numbers {
    /// f32 throughout.
    pub const SINGLE: Self = Self { compute: 4, copy: 0 };
    /// bf16 activations, and bf16 copies of the weight matrices.
    pub const HALF: Self = Self { compute: 2, copy: 2 };

    fn bytes(self, shape: Shape, precision: Precision) -> usize {
        let each = match precision {
            Precision::Compute => self.compute,
            Precision::Master if shape.rank() == 2 => 4 + self.copy,
            Precision::Master | Precision::Full | Precision::Saved | Precision::Scratch => 4,
        };
        shape.count() * each
    }
}

/// A device that allocates nothing: its tensors are shapes, and it adds up their bytes.
pub(crate) struct MemoryMeter {
    numbers: Numbers,
    bytes: usize,
}

impl MemoryMeter {
    pub(crate) fn new(numbers: Numbers) -> Self {
        Self { numbers, bytes: 0 }
    }

    /// Returns the bytes since the last call and resets the counter.
    pub(crate) fn settle(&mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn take(&mut self, shape: Shape, precision: Precision) -> Result<Extents, Infallible> {
        self.bytes += self.numbers.bytes(shape, precision);
        Ok(Extents(shape))
    }
}

pub(crate) struct Extents(Shape);

impl Shaped for Extents {
    fn shape(&self) -> Shape {
        self.0
    }
}

impl Device for MemoryMeter {
    type Tensor = Extents;
    type Indices = Extents;
    type Error = Infallible;

    fn alloc(&mut self, shape: Shape, precision: Precision) -> Result<Extents, Infallible> {
        self.take(shape, precision)
    }
    fn alloc_indices(&mut self, shape: Shape) -> Result<Extents, Infallible> {
        self.bytes += 4 * shape.count();
        Ok(Extents(shape))
    }
    fn upload(&mut self, _: &[f32], _: &mut Extents) -> Result<(), Infallible> {
        Ok(())
    }
    fn upload_indices(&mut self, _: &[u32], _: &mut Extents) -> Result<(), Infallible> {
        Ok(())
    }
    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Extents, Infallible> {
        Ok(Extents(src.shape()))
    }
    fn download(&mut self, _: &Extents, _: &mut [f32]) -> Result<(), Infallible> {
        Ok(())
    }
    fn download_indices(&mut self, _: &Extents, _: &mut [u32]) -> Result<(), Infallible> {
        Ok(())
    }
    fn fill(&mut self, _: f32, _: &mut Extents) {}
    fn copy(&mut self, _: &Extents, _: &mut Extents) {}
}

/// Floating-point operations per token; a multiply-add counts as two. Matrix products are counted, element-wise operations
/// are not.
///
/// With `P` weights in the blocks' products, `P_c` in the controller's, `E·V` (and `2·D·E` where E and D differ) in the
/// embedding's, `S` segments, and `m` the operations of the memories:
///
/// ```text
/// memory of layer l   m_l = 4 w_attention n + 4 w_hopfield K n'        modern
///                         = … + 4 w_hopfield d (1 + K)                 classic
/// n, n'               positions that a query sees: n = min(t, window), n' = n + learned slots
/// segment             s = 2 P + Σ m_l
/// decoding            S·s + (S−1)·2 P_c + 2 E V                        at t = T
/// training            forward as above at the mean over t = 1..T; backward twice that of the last segment, of the controller
///                     before it and of the embedding, since earlier segments carry no gradient; 6 P_flow
/// ```
///
/// With one segment and one attention path this is the usual 6 N + 6 L w T.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub struct Flops {
    /// Operations to decode one token after a full context.
    pub decoding: f64,
    /// Operations to train on one token of a sequence as long as the context, forward and backward.
    pub training: f64,
}

impl Flops {
    /// Counts the operations of a configuration.
    pub fn of(c: &Config, context: usize, segments: usize) -> Self {
        let n = Parameters::of(c);
        // Vectors (gains, biases, decays) are element-wise; slots are counted in m, as positions.
        let products: usize = model::shapes(c)
            .iter()
            .filter(|(name, shape)| name.starts_with("blocks.") && shape.rank() == 2 && name.ends_with("weight"))
            .map(|(_, shape)| shape.count())
            .sum();
        let head = 2.0 * (c.embed_dim * c.vocab_size + if c.factorised() { 2 * c.width * c.embed_dim } else { 0 }) as f64;
        let (between, flow) = (2.0 * n.controller as f64, 2.0 * n.flow as f64);
        let forward = |seen: &dyn Fn(usize) -> f64| {
            let memories: f64 = (0..c.layers).map(|l| memory(c, l, seen)).sum();
            2.0 * products as f64 + memories
        };
        let passes = segments as f64;
        let earlier = if n.controller > 0 { passes - 1.0 } else { 0.0 };
        let last = |window: usize| if window == 0 { context as f64 } else { context.min(window) as f64 };
        let decoding = passes * forward(&last) + earlier * between + head;
        let segment = forward(&|window| mean_seen(context, window));
        let graded = segment + head + if earlier > 0.0 { between } else { 0.0 };
        let training = passes * segment + earlier * between + head + 2.0 * graded + 3.0 * flow;
        Self { decoding, training }
    }
}

/// Forward operations of a layer's memories, where a query sees `seen(window)` positions.
fn memory(c: &Config, layer: usize, seen: &dyn Fn(usize) -> f64) -> f64 {
    let [_, h, a] = c.widths(layer).map(|w| w as f64);
    let k = c.depth(layer) as f64;
    let attention = 4.0 * a * seen(c.attention_window);
    attention
        + match c.hopfield_kind {
            HopfieldKind::Modern => 4.0 * h * k * (seen(c.hopfield_window) + c.hopfield_slots as f64),
            HopfieldKind::Classic => 4.0 * h * c.head_dim as f64 * (1.0 + k),
        }
}

/// Mean over t = 1..T of min(t, window).
fn mean_seen(context: usize, window: usize) -> f64 {
    let (t, w) = (context as f64, if window == 0 { context } else { window.min(context) } as f64);
    (w * (w + 1.0) / 2.0 + (t - w) * w) / t
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::presets::{PRESETS, preset};

    #[test]
    fn the_components_sum_to_all_parameters() {
        for (name, _) in PRESETS {
            let c = preset(name).unwrap();
            let all: usize = model::shapes(&c).iter().map(|(_, shape)| shape.count()).sum();
            assert_eq!(Parameters::of(&c).total(), all, "{name}");
        }
        let gpt = Parameters::of(&preset("gpt-4.5m").unwrap());
        assert_eq!((gpt.ssm, gpt.hopfield, gpt.controller, gpt.flow), (0, 0, 0, 0));
        // Four projections of 256 × 256 in each of six layers.
        assert_eq!((gpt.embedding, gpt.attention, gpt.ffn), (65 * 256, 6 * 4 * 256 * 256, 6 * 3 * 256 * 640));
    }

    #[test]
    fn attention_alone_has_the_standard_count() {
        let c = preset("gpt-4.5m").unwrap();
        let n: usize = model::shapes(&c).iter().filter(|(_, shape)| shape.rank() == 2).map(|(_, shape)| shape.count()).sum();
        let flops = Flops::of(&c, 255, 1);
        // Causal: half of the positions, 6 L w T in all; the mean of 1..=T is (T + 1) / 2.
        assert_eq!(flops.training, (6 * n + 6 * 6 * 256 * 256) as f64);
        assert_eq!(flops.decoding, (2 * n + 4 * 6 * 256 * 255) as f64);
    }

    #[test]
    fn further_segments_cost_their_forward_pass_alone() {
        let c = preset("char-4.5m").unwrap();
        let [one, two, three] = [1, 2, 3].map(|s| Flops::of(&c, 256, s));
        let controller = 2.0 * Parameters::of(&c).controller as f64;
        assert!((three.training - two.training) < 0.4 * one.training);
        assert_eq!(three.decoding - two.decoding, two.decoding - one.decoding);
        assert_eq!(two.training - one.training, (three.training - two.training) + 2.0 * controller);
    }

    #[test]
    fn the_state_is_what_a_session_allocates() {
        // Six layers, two segments; rings of attention and Hopfield hold two values per channel.
        let c = preset("char-4.5m").unwrap();
        let state = StateBytes::of(&c, 256, 2);
        assert_eq!(state.per_position, 2 * 6 * 2 * (64 + 64) * 4);
        // Recurrence, three inputs of the convolution, previous pattern; the summary of the first segment.
        assert_eq!(state.constant, 2 * 6 * (160 + 3 * 160 + 64) * 4 + 128 * 4);
        assert_eq!(state.total, state.constant + 256 * state.per_position);
    }

    #[test]
    fn a_window_bounds_the_state_and_the_work() {
        let mut c = preset("gpt-4.5m").unwrap();
        let free = StateBytes::of(&c, 64, 1);
        for window in [1, 2, 32] {
            c.attention_window = window;
            let state = StateBytes::of(&c, 64, 1);
            assert_eq!((state.per_position, state.constant), (free.per_position, free.constant), "window {window}");
            assert_eq!(state.total, free.constant + window * free.per_position);
        }
        assert_eq!(Flops::of(&c, 64, 1).decoding, Flops::of(&c, 4096, 1).decoding);
        assert_eq!(mean_seen(4, 2), (1.0 + 2.0 + 2.0 + 2.0) / 4.0);
        assert_eq!(mean_seen(4, 0), 2.5);
    }
}
