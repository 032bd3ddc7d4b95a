//! Random tensors from the counter-based generator.

use crate::{Cpu, Float, Indices, Tensor, threads::Shared};
use hh_core::{
    ops::Draw,
    rng::{block, normals, unit_interval},
};

pub(crate) fn normal<F: Float>(cpu: &mut Cpu<F>, draw: Draw<Indices>, y: &mut Tensor<F>) {
    write(cpu, draw, y, normals);
}

pub(crate) fn uniform<F: Float>(cpu: &mut Cpu<F>, draw: Draw<Indices>, y: &mut Tensor<F>) {
    write(cpu, draw, y, |words| words.map(unit_interval));
}

fn write<F: Float>(cpu: &mut Cpu<F>, draw: Draw<Indices>, y: &mut Tensor<F>, numbers: impl Fn([u32; 4]) -> [f32; 4] + Sync) {
    let count = y.data().len();
    let y = Shared::new(y.data_mut());
    blocks(cpu, draw, count, |start, words| {
        // SAFETY: each block of four belongs to one task.
        let y = unsafe { y.slice(start, 4.min(count - start)) };
        y.iter_mut().zip(numbers(words)).for_each(|(y, x)| *y = F::of_f32(x));
    });
}

/// Calls `f(i, words)` for `i` = 0, 4, 8, … below `count`, with the random words of elements `i .. i + 4`.
#[inline(always)]
pub(crate) fn blocks<F: Float>(cpu: &mut Cpu<F>, draw: Draw<Indices>, count: usize, f: impl Fn(usize, [u32; 4]) + Sync) {
    let key: [u32; 4] = draw.key.data().try_into().expect("a random key of four words");
    let level = cpu.level;
    cpu.threads.rows(count.div_ceil(4), 4, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for b in run {
                    f(4 * b, block(key, draw.site, b as u32));
                }
            },
        );
    });
}
