//! Tests of the tests: each planted fault must turn one of them red.

use crate::{cuts, differences, golden, optimiser, sums, vectors};
use hh_tests::{
    compare::F64,
    fault::Fault,
    for_each_kernel,
    golden::names,
    instrumented::Instrumented,
    kernels::{self, check},
    model::{config, cpu},
};

#[test]
fn every_planted_fault_is_noticed() {
    let missed: Vec<Fault> = Fault::ALL.iter().copied().filter(|&fault| !noticed(fault)).collect();
    assert!(missed.is_empty(), "nothing noticed {missed:?}");
}

/// Every planted fault is one of a kernel, so that the kernel suite must notice it without any model.
#[test]
fn the_kernel_suite_alone_notices_every_planted_fault() {
    assert!(!fails_in_the_kernel_suite(None), "it passes without a fault");
    let missed: Vec<Fault> = Fault::ALL.iter().copied().filter(|&fault| !fails_in_the_kernel_suite(Some(fault))).collect();
    assert!(missed.is_empty(), "the kernel suite passes with {missed:?}");
}

fn fails_in_the_kernel_suite(fault: Option<Fault>) -> bool {
    let faulty = || Instrumented { fault, ..Instrumented::new(cpu::<f64>(1)) };
    macro_rules! any_fails {
        (; $($kernel:ident $case:ident),*) => {
            false $(|| check::<kernels::$case, _>(faulty(), F64).is_err())*
        };
    }
    for_each_kernel!(any_fails)
}

/// Whether a test that passes without the fault fails with it.
fn noticed(fault: Fault) -> bool {
    let faulty = || Instrumented { fault: Some(fault), ..Instrumented::new(cpu::<f64>(1)) };
    names().iter().any(|name| golden::check(faulty(), name, F64.model).is_err())
        || optimiser::check(faulty(), 1e-6).is_err()
        || sums::check(faulty(), 1e-6).is_err()
        || optimiser::check_muon(faulty(), 1e-6).is_err()
        || differences::dropped_out(Some(fault)).is_err()
        || vectors::gradients_are_slopes(&vectors::contrast(), Some(fault)).is_err()
        || [config(""), config(r#""episodic_width": 6"#)]
            .iter()
            .any(|c| cuts::check(|| cpu::<f64>(1), faulty, c, 64, cuts::EVERYWHERE, 1e-11).is_err())
}
