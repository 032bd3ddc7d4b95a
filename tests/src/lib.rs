//! Shared harness of the test suite: the kernel suite, golden vectors, small models, and a backend with planted faults.
//!
//! The tests themselves are the modules of `all/`, one binary.

pub mod against;
pub mod compare;
pub mod fault;
pub mod golden;
pub mod instrumented;
pub mod kernels;
pub mod model;
pub mod readers;
pub mod seeds;
