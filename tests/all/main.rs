//! The one test binary: the whole model on the CPU backend, the readers of foreign bytes, and the program.

mod agreement;
mod allocation;
mod causality;
mod cuts;
mod differences;
mod dropout;
mod energy;
mod faults;
mod golden;
mod lengths;
mod optimiser;
mod program;
mod readers;
mod resume;

#[global_allocator]
static HEAP: allocation::Counting = allocation::Counting;
