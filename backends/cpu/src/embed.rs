//! Token embedding lookup.

use crate::{Cpu, Float, Indices, Tensor, quant, tensor::Values, threads::Shared};
use hh_core::{
    ops::{Embed, EmbedDims},
    shape::Shaped,
};

/// Columns of the table that one task adds to. Tasks split columns, not rows, so that repeated tokens cause no conflict.
const BAND: usize = 64;

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Embed<Tensor<F>, Indices>, y: &mut Tensor<F>) {
    let EmbedDims { rows, width } = op.dims(y.shape());
    let y = Shared::new(y.data_mut());
    cpu.threads.rows(rows, width, |run| {
        for row in run {
            let token = op.tokens.data()[row] as usize;
            // SAFETY: each row belongs to one task.
            let y = unsafe { y.slice(row * width, width) };
            match op.table.values() {
                Values::Dense(table) => y.copy_from_slice(&table[token * width..][..width]),
                Values::Quant(table) => quant::row(table.blocks(), token, y),
            }
        }
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Embed<Tensor<F>, Indices>, dy: &Tensor<F>, d_table: &mut Tensor<F>) {
    let EmbedDims { rows, width } = op.dims(dy.shape());
    assert_eq!(d_table.shape(), op.table.shape(), "embed: gradient of the table");
    let (level, d_table) = (cpu.level, Shared::new(d_table.data_mut()));
    cpu.threads.each(width.div_ceil(BAND), |task| {
        let start = task * BAND;
        let band = BAND.min(width - start);
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in 0..rows {
                    let token = op.tokens.data()[row] as usize;
                    // SAFETY: each band of columns belongs to one task.
                    let d = unsafe { d_table.slice(token * width + start, band) };
                    d.iter_mut().zip(&dy.data()[row * width + start..][..band]).for_each(|(d, &dy)| *d += dy);
                }
            },
        );
    });
}
