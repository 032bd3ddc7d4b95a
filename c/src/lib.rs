//! The C interface: handles, statuses and sentences in place of Rust's types and errors. `include/hh.h` is made from this file's
//! functions, and its comments are their documentation.
//!
//! Every function is a thin call of [`rust`], the crate `hh`, behind [`status::guard`], which keeps panics from crossing into C.
#![deny(unsafe_op_in_unsafe_fn)]

pub mod arguments;
pub mod embedder;
pub mod model;
pub mod session;
pub mod status;
pub mod version;
