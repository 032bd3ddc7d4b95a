//! Measures what bounds a model on this machine: memory read bandwidth and matrix-product throughput.

use hh_core::backend::{Device, Forward, Precision};
use hh_core::ops::Matmul;
use hh_core::shape::Shape;
use hh_cpu::{Cpu, Threads};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes read per thread, far more than its share of the caches; less if all threads would exceed [`ALL_BYTES`].
const BYTES: usize = 96 << 20;
/// Maximum bytes of all threads together.
const ALL_BYTES: usize = 2 << 30;

/// Read bandwidth of `threads` threads together in bytes per second, the best of four passes.
pub fn read_bandwidth(threads: usize) -> f64 {
    let bytes = BYTES.min(ALL_BYTES / threads);
    let memory: Vec<Vec<u64>> = thread::scope(|scope| {
        let makers: Vec<_> = (0..threads).map(|_| scope.spawn(|| vec![1; bytes / 8])).collect();
        makers.into_iter().map(|maker| maker.join().expect("filling a vector does not panic")).collect()
    });
    let pass = || {
        let began = Instant::now();
        thread::scope(|scope| {
            for part in &memory {
                scope.spawn(move || black_box(black_box(part).iter().fold(0u64, |sum, x| sum.wrapping_add(*x))));
            }
        });
        (threads * bytes) as f64 / began.elapsed().as_secs_f64()
    };
    (0..4).map(|_| pass()).fold(0.0, f64::max)
}

/// Floating-point operations per second of a square f32 matrix product, the best within `budget`.
pub fn gemm(threads: usize, budget: Duration) -> f64 {
    const N: usize = 512;
    let mut backend = Cpu::<f32>::new(Threads::new(threads));
    let shape = Shape::matrix(N, N);
    let tensor = |backend: &mut Cpu<f32>| backend.alloc(shape, Precision::Compute);
    let (Ok(mut x), Ok(w), Ok(mut y)) = (tensor(&mut backend), tensor(&mut backend), tensor(&mut backend)) else { return 0.0 };
    backend.fill(1.0, &mut x);
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    while began.elapsed() < budget {
        let once = Instant::now();
        backend.matmul(Matmul::new(&x, &w), &mut y);
        black_box(&y);
        best = best.min(once.elapsed().as_secs_f64());
    }
    2.0 * (N as f64).powi(3) / best
}
