//! Shared harness of the test suite: golden vectors, small models, and backends that are not to be trusted.
//!
//! The tests themselves are the modules of `all/`, one binary.

pub mod against;
pub mod compare;
pub mod desk;
pub mod fault;
pub mod golden;
pub mod model;
pub mod probe;
pub mod readers;
