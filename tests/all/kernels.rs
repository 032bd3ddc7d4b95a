//! The kernel suite on the processor, a test for each kernel.

use hh_tests::{
    compare::F32,
    for_each_kernel,
    kernels::{self, Bound, Case, check, check_native},
    model::cpu,
};

macro_rules! on_processor {
    (; $($kernel:ident $case:ident),*) => {
        $(
            #[test]
            fn $kernel() {
                check_native::<kernels::$case>().unwrap();
                check::<kernels::$case, _>(cpu::<f32>(2), F32).unwrap();
            }
        )*
    };
}

for_each_kernel!(on_processor);

macro_rules! run_benchmarks {
    (; $($kernel:ident $case:ident),*) => {
        $(
            for case in kernels::$case::bench() {
                let mut bound = Bound::new(cpu::<f32>(2), &case);
                bound.forward();
                if bound.has_gradient() {
                    bound.train();
                    bound.backward();
                }
            }
        )*
    };
}

/// The cases that `benches/benches/kernels.rs` measures.
#[test]
fn benchmarks_run() {
    for_each_kernel!(run_benchmarks);
}
