//! Unit keys and the tokens that followed, into the ring.

use crate::{
    Cpu, Float, Indices, Tensor,
    tile::{put_scaled, unit_scale},
};
use hh_core::{
    ops::{EpisodicStore, UNKNOWN},
    shape::Shaped,
};

pub(crate) fn store<F: Float>(cpu: &mut Cpu<F>, op: EpisodicStore<Tensor<F>, Indices>, keys: &mut Tensor<F>, tokens: &mut Tensor<F>) {
    let d = op.dims(keys.shape(), tokens.shape());
    let clock = op.clock.map_or(0, |clock| clock.data()[0] as usize);
    let level = cpu.level;
    F::vectorise(
        level,
        #[inline(always)]
        || {
            for sequence in 0..d.batch {
                let (keys, tokens) = (&mut keys.data_mut()[sequence * d.rows * d.width..], &mut tokens.data_mut()[sequence * d.rows..]);
                for t in d.time.saturating_sub(d.rows)..d.time {
                    let (at, row) = (sequence * d.time + t, (clock + t) % d.rows);
                    let key = &op.keys.data()[at * d.width..][..d.width];
                    put_scaled(key, unit_scale::<F, false>(key), &mut keys[row * d.width..][..d.width]);
                    if clock + t > 0 {
                        let before = &mut tokens[(clock + t - 1) % d.rows];
                        if t > 0 || *before == F::of_f32(UNKNOWN) {
                            *before = F::of(f64::from(op.tokens.data()[at]));
                        }
                    }
                    tokens[row] = F::of_f32(UNKNOWN);
                }
            }
        },
    );
}
