//! Knock-outs that change activations: a shuffle over time, or noise.

use super::knockout::Change;
use hh_core::backend::Device;
use hh_core::config::Config;
use hh_core::hooks::{BlockId, Hooks};
use hh_core::layers::block;
use hh_core::rng;
use hh_core::shape::Shaped;
use std::ops::Range;

/// The windows of a batch: the index of each in the text, and its number of valid positions.
pub(super) type Rows = [(u64, usize)];

/// Permutes the identity `order` as a function of `(key, site)`.
pub(super) type Reorder = fn(key: [u32; 4], site: u32, order: &mut [usize]);

/// Hooks that change the activations of a forward pass, if `change` is one of activations.
///
/// Randomness is a function of the seed, the window's index in the text, the pass, the layer and the path, so the batching of
/// windows changes nothing. Positions after the end of a text are not changed.
pub(super) struct Disturbance<'a> {
    pub(super) config: &'a Config,
    pub(super) change: Change,
    pub(super) layers: Range<usize>,
    pub(super) seed: u64,
    pub(super) rows: &'a Rows,
    pub(super) reorder: Reorder,
}

/// A uniformly distributed permutation (Fisher–Yates).
pub(super) fn shuffled(key: [u32; 4], site: u32, order: &mut [usize]) {
    for left in (1..order.len()).rev() {
        let word = rng::block(key, site, left as u32 / 4)[left % 4];
        order.swap(left, ((u64::from(word) * (left as u64 + 1)) >> 32) as usize);
    }
}

impl Disturbance<'_> {
    /// Changes each window of a tensor `[B, T, width]`: `change` gets its random key, the values of its valid positions, and the
    /// width.
    fn each_row<B: Device>(
        &self,
        b: &mut B,
        tensor: &mut B::Tensor,
        mut change: impl FnMut([u32; 4], &mut [f32], usize),
    ) -> Result<(), B::Error> {
        let [_, time, width] = tensor.shape().extents();
        let mut host = vec![0.0; tensor.shape().count()];
        b.download(tensor, &mut host)?;
        for (&(window, counted), row) in self.rows.iter().zip(host.chunks_exact_mut(time * width)) {
            let key = [self.seed as u32, (self.seed >> 32) as u32, window as u32, (window >> 32) as u32];
            change(key, &mut row[..counted * width], width);
        }
        b.upload(&host, tensor)
    }

    fn shuffle<B: Device>(&self, b: &mut B, tensor: &mut B::Tensor, columns: Range<usize>, site: u32) -> Result<(), B::Error> {
        self.each_row(b, tensor, |key, values, width| {
            let mut order: Vec<usize> = (0..values.len() / width).collect();
            (self.reorder)(key, site, &mut order);
            reordered(values, width, columns.clone(), &order);
        })
    }
}

/// Permutes some columns over time: position `t` gets those of position `order[t]`.
pub(super) fn reordered(values: &mut [f32], width: usize, columns: Range<usize>, order: &[usize]) {
    let before = values.to_vec();
    for (row, &from) in values.chunks_exact_mut(width).zip(order) {
        row[columns.clone()].copy_from_slice(&before[from * width..][columns.clone()]);
    }
}

/// Replaces each column by normal noise of the same mean and standard deviation.
pub(super) fn noise(values: &mut [f32], width: usize, key: [u32; 4], site: u32) {
    let rows = (values.len() / width).max(1) as f64;
    for column in 0..width {
        let all = || values.iter().skip(column).step_by(width).map(|&x| f64::from(x));
        let mean = all().sum::<f64>() / rows;
        let deviation = (all().map(|x| (x - mean).powi(2)).sum::<f64>() / rows).sqrt();
        for (t, x) in values.iter_mut().skip(column).step_by(width).enumerate() {
            *x = (mean + deviation * f64::from(rng::normal(key, site, (t * width + column) as u32))) as f32;
        }
    }
}

impl<B: Device> Hooks<B> for Disturbance<'_> {
    type Error = B::Error;

    fn packed(&mut self, b: &mut B, at: BlockId, packed: &mut B::Tensor) -> Result<(), B::Error> {
        let Change::Shuffle(path) = self.change else { return Ok(()) };
        let [(start, width), _] = block::columns(self.config, at.layer)[path];
        if width == 0 || !self.layers.contains(&at.layer) {
            return Ok(());
        }
        let site = 3 * (at.segment * self.config.layers + at.layer) + path;
        self.shuffle(b, packed, start..start + width, site as u32)
    }

    fn summary(&mut self, b: &mut B, segment: usize, summary: &mut B::Tensor) -> Result<(), B::Error> {
        // From the end of the range, so that it differs from the sites of the paths.
        let site = u32::MAX - segment as u32;
        match self.change {
            Change::ShuffledController => self.shuffle(b, summary, 0..summary.shape().width(), site),
            Change::RandomController => self.each_row(b, summary, |key, values, width| noise(values, width, key, site)),
            _ => Ok(()),
        }
    }
}
