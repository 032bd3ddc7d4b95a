//! Learned absolute position embeddings.

use crate::{Cpu, Float, Indices, Tensor, threads::Shared};
use hh_core::{
    ops::Positions,
    shape::{Shape, Shaped},
};

/// `[B, T, D]`; the positions of all chunks are rows of the table.
fn dims<F>(op: &Positions<Tensor<F>, Indices>, y: Shape) -> [usize; 3] {
    let (extents, table) = (op.dims(y), op.table.shape());
    let start = op.clock.map_or(0, Indices::most);
    assert!(start + extents[1] <= table.rows(), "positions: {start} + {} of {table} onto {y}", extents[1]);
    extents
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Positions<Tensor<F>, Indices>, y: &mut Tensor<F>) {
    let [batch, time, width] = dims(&op, y.shape());
    let (level, y) = (cpu.level, Shared::new(y.data_mut()));
    cpu.threads.rows(batch * time, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    let start = op.clock.map_or(0, |clock| clock.of(row / time));
                    let position = &op.table.data()[(start + row % time) * width..][..width];
                    // SAFETY: each row belongs to one task.
                    unsafe { y.slice(row * width, width) }.iter_mut().zip(position).for_each(|(y, &p)| *y += p);
                }
            },
        );
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Positions<Tensor<F>, Indices>, dy: &Tensor<F>, d_table: &mut Tensor<F>) {
    let [batch, time, width] = dims(&op, dy.shape());
    let start = op.clock.map_or(0, |clock| clock.of(0));
    assert_eq!(d_table.shape(), op.table.shape(), "positions: gradient of the table");
    let (level, d_table) = (cpu.level, Shared::new(d_table.data_mut()));
    cpu.threads.rows(time, batch * width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for t in run {
                    // SAFETY: each position belongs to one task.
                    let d = unsafe { d_table.slice((start + t) * width, width) };
                    for b in 0..batch {
                        d.iter_mut().zip(&dy.data()[(b * time + t) * width..][..width]).for_each(|(d, &dy)| *d += dy);
                    }
                }
            },
        );
    });
}
