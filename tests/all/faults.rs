//! Tests of the tests: each planted fault must turn one of them red.

use crate::{cuts, differences, golden, optimiser};
use hh_tests::{fault::Fault, golden::names, model::config};

#[test]
fn every_planted_fault_is_noticed() {
    let missed: Vec<Fault> = Fault::ALL.into_iter().filter(|&fault| !noticed(fault)).collect();
    assert!(missed.is_empty(), "nothing noticed {missed:?}");
}

/// Whether a test that passes without the fault fails with it.
fn noticed(fault: Fault) -> bool {
    let some = Some(fault);
    names().iter().any(|name| golden::check::<f64>(name, some, 1e-9).is_err())
        || optimiser::check(some).is_err()
        || differences::dropped_out(some).is_err()
        || cuts::check::<f64>(&config(""), 64, some, 1e-11).is_err()
}
