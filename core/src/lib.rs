//! The composition of the hh language model, written once for every machine.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod backend;
pub mod config;
pub mod error;
pub mod ops;
pub mod presets;
pub mod rng;
pub mod shape;
