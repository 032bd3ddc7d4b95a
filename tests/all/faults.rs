//! Tests of the tests: each planted fault must turn one of them red.

use crate::{cuts, differences, golden, optimiser, vectors};
use hh_tests::{
    compare::F64,
    fault::Fault,
    golden::names,
    model::{config, cpu},
    probe::Probe,
};

#[test]
fn every_planted_fault_is_noticed() {
    let missed: Vec<Fault> = Fault::ALL.into_iter().filter(|&fault| !noticed(fault)).collect();
    assert!(missed.is_empty(), "nothing noticed {missed:?}");
}

/// Whether a test that passes without the fault fails with it.
fn noticed(fault: Fault) -> bool {
    let probe = || Probe { fault: Some(fault), ..Probe::new(cpu::<f64>(1)) };
    names().iter().any(|name| golden::check(probe(), name, F64.model).is_err())
        || optimiser::check(probe(), 1e-6).is_err()
        || differences::dropped_out(Some(fault)).is_err()
        || vectors::gradients_are_slopes(&vectors::contrast(), Some(fault)).is_err()
        || cuts::check(|| cpu::<f64>(1), probe, &config(""), 64, cuts::EVERYWHERE, 1e-11).is_err()
}
