//! Counter-based random numbers, the same bits as every backend's.
//!
//! On the CPU the words come from [`hh_core::rng`]. On other devices that would need a download of the key and a
//! synchronisation in every step; there torch's 64-bit integers emulate u32, in a few dozen small operations on the device.

use crate::{Indices, Tch, value::Value};
use hh_core::{ops::Draw, rng};
use std::thread;
use tch::{Kind, Tensor};

/// Smallest number of words per thread.
const SHARE: usize = 1 << 15;

/// `count` numbers, computed from each block of four words by `four`.
fn on_host(b: &Tch, key: &Value, site: u32, count: usize, four: impl Fn([u32; 4]) -> [f32; 4] + Sync) -> Value {
    let key = key.map(|key| {
        let mut words = [0i64; 4];
        key.f_copy_data(&mut words, 4)?;
        let key = words.map(|w| w as u32);
        let mut numbers = vec![0f32; count];
        let share = count.div_ceil(count.div_ceil(SHARE).clamp(1, tch::get_num_threads().max(1) as usize)).next_multiple_of(4);
        thread::scope(|scope| {
            for (i, part) in numbers.chunks_mut(share.max(4)).enumerate() {
                let (start, four) = (i * share / 4, &four);
                let mut work = move || {
                    for (block, out) in part.chunks_mut(4).enumerate() {
                        out.copy_from_slice(&four(rng::block(key, site, (start + block) as u32))[..out.len()]);
                    }
                };
                if share >= count { work() } else { drop(scope.spawn(work)) }
            }
        });
        Tensor::f_from_slice(&numbers)
    });
    key.to(b.full)
}

/// `count` words as 64-bit integers: [`rng::philox`] in torch operations.
pub(crate) fn words(b: &Tch, key: &Value, site: u32, count: usize) -> Value {
    const LOW: i64 = u32::MAX as i64;
    let low = |x: &Value| x.map(|x| x.f_bitwise_and(LOW));
    let high = |x: &Value| low(&x.map(|x| x.f_bitwise_right_shift_tensor_scalar(32i64)));
    let xor = |a: &Value, b: &Value, c: &Value| a.with(b, Tensor::f_bitwise_xor_tensor).with(c, Tensor::f_bitwise_xor_tensor);
    let key = |i: usize| key.part(0, i, 1);
    let block = b.count(count.div_ceil(4));
    let site = block.map(|block| block.f_full_like(i64::from(site)));
    let mut c = [block, site, key(2), key(3)];
    let mut k = [key(0), key(1)];
    for _ in 0..10 {
        // A product of two 32-bit numbers fills 64 bits; the sign bit is its highest bit.
        let [p0, p1] = [(0, 0xD251_1F53i64), (2, 0xCD9E_8D57)].map(|(i, by): (usize, i64)| c[i].map(|c| c.f_mul_scalar(by)));
        c = [xor(&high(&p1), &c[1], &k[0]), low(&p1), xor(&high(&p0), &c[3], &k[1]), low(&p0)];
        k = [(0, 0x9E37_79B9i64), (1, 0xBB67_AE85)].map(|(i, by): (usize, i64)| low(&k[i].map(|k| k.f_add_scalar(by))));
    }
    Value::stack(&c, 1).flat().part(0, 0, count)
}

/// [`rng::unit_interval`] of 64-bit words.
fn unit_interval(words: &Value) -> Value {
    words.map(|w| w.f_bitwise_right_shift_tensor_scalar(8i64)).to(Kind::Float).scaled(1.0 / f64::from(1 << 24))
}

/// `count` numbers uniform on `[0, 1)`, in full precision.
pub(crate) fn uniform(b: &Tch, draw: Draw<Indices>, count: usize) -> Value {
    let key = draw.key.vector();
    if b.device == tch::Device::Cpu {
        return on_host(b, &key, draw.site, count, |words| words.map(rng::unit_interval));
    }
    b.wide(&unit_interval(&words(b, &key, draw.site, count)))
}

/// `count` standard normal numbers (Box and Muller 1958), in full precision.
pub(crate) fn normal(b: &Tch, draw: Draw<Indices>, count: usize) -> Value {
    let key = draw.key.vector();
    if b.device == tch::Device::Cpu {
        return on_host(b, &key, draw.site, count, rng::normals);
    }
    normal_on_device(b, &key, draw.site, count)
}

/// Box and Muller's formula in torch operations: equal to [`rng::normal`] up to the last bits of the logarithm.
pub(crate) fn normal_on_device(b: &Tch, key: &Value, site: u32, count: usize) -> Value {
    let pairs = unit_interval(&words(b, key, site, count.next_multiple_of(4))).view(&[count.div_ceil(4) * 2, 2]);
    let [radius, angle] = [pairs.columns(0, 1), pairs.columns(1, 1).scaled(f64::from(std::f32::consts::TAU))];
    let radius = radius.scaled(-1.0).shifted(1.0).map(Tensor::f_log).scaled(-2.0).sqrt();
    let both = [angle.map(Tensor::f_cos), angle.map(Tensor::f_sin)].map(|turn| radius.times(&turn));
    b.wide(&Value::cat(&both, 1).flat().part(0, 0, count))
}
