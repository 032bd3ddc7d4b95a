//! The composition of the hh language model, written once for every machine.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

#[cfg(feature = "ndarray")]
pub mod arrays;
pub mod backend;
pub mod checkpoint;
pub mod collective;
pub mod config;
pub mod embed;
pub mod error;
pub mod half;
pub mod hooks;
pub mod init;
pub mod inspect;
pub mod json;
pub mod layers;
pub mod model;
pub mod ops;
pub mod pass;
pub mod presets;
pub mod quant;
pub mod rng;
pub mod sample;
pub mod schedule;
pub mod session;
pub mod shape;
pub mod state;
pub mod tokenizer;
pub mod train;
pub mod weights;
