//! The kernel suite on the processor, a test for each kernel.

use hh_tests::{
    compare::F32,
    for_each_kernel,
    kernels::{self, check, check_native},
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
