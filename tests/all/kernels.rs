//! The kernel suite: a test for each kernel, on the processor here and on further backends where they are tested.

use hh_tests::{
    compare::F32,
    for_each_kernel,
    kernels::{self, check, check_native},
    model::cpu,
};

/// A test for each kernel that runs its small cases on a backend; for the module of that backend.
#[cfg(any(feature = "cuda", feature = "tch"))]
macro_rules! on_backend {
    (($backend:expr, $tolerance:expr); $($kernel:ident $case:ident),*) => {
        $(
            #[test]
            fn $kernel() {
                hh_tests::kernels::check::<hh_tests::kernels::$case, _>($backend, $tolerance).unwrap();
            }
        )*
    };
}
#[cfg(any(feature = "cuda", feature = "tch"))]
pub(crate) use on_backend;

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
