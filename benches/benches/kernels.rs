//! Every kernel and its gradient on the CPU, over the kernel suite's cases of training `char-4.5m`: 8 sequences of 256 tokens.
//! `cargo bench -p hh-benches --bench kernels -- scan` runs one of them. Matrix products are compared with other crates in
//! `matmul.rs`.
//!
//! The throughput counts inputs and outputs once, in f32. In-place kernels copy their input first, which is measured too.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hh_core::shape::Shape;
use hh_cpu::{Cpu, Threads};
use hh_tests::{
    for_each_kernel,
    kernels::{self, Bound, Case},
};
use std::time::Duration;

fn measure<C: Case>(criterion: &mut Criterion, name: &str) {
    for case in C::bench() {
        let mut group = criterion.benchmark_group(format!("{name} {case:?}"));
        let (inputs, outputs) = (case.inputs(), case.outputs());
        let shapes = inputs.iter().map(|x| x.shape).chain(outputs.iter().map(|y| y.shape));
        group.throughput(Throughput::Bytes(4 * shapes.map(Shape::count).sum::<usize>() as u64));
        for threads in [1, 2] {
            let mut bound = Bound::new(Cpu::<f32>::new(Threads::new(threads)), &case);
            group.bench_function(format!("forward, {threads} threads"), |bench| bench.iter(|| bound.forward()));
            if bound.has_gradient() {
                bound.train();
                group.bench_function(format!("gradient, {threads} threads"), |bench| bench.iter(|| bound.backward()));
            }
        }
    }
}

macro_rules! measure_all {
    ($criterion:ident; $($kernel:ident $case:ident),*) => {
        $(measure::<kernels::$case>($criterion, stringify!($kernel));)*
    };
}

fn all(criterion: &mut Criterion) {
    for_each_kernel!(measure_all, criterion);
}

criterion_group! {
    name = suite;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(suite);
