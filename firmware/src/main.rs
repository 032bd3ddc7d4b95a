//! A language model on a microcontroller, a Cortex-M4 or an RV32IMAC. The checkpoint is part of the program, and its 8-bit block-quantised matrices are read in
//! place from flash. Prints a prompt with the model's continuation, then memory and instruction counts.
//!
//! ```text
//! cargo run --release                                            in this folder, with qemu-system-arm installed
//! cargo run --release --target riscv32imac-unknown-none-elf      with qemu-system-riscv32
//! ```
//!
//! With `-append 'FROM TO TOKENS SEED'` behind it, it continues the text of the state in the file FROM, which `hh-runtime sample
//! --state` or a page has saved, and saves its state in TO.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod heap;
mod host;
mod resume;

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use board::Clock;
use core::panic::PanicInfo;
use hh_core::{
    checkpoint::Checkpoint,
    error::Error,
    sample::{Sampler, SamplerConfig},
    session::{Options, Session},
    tokenizer::{self, Tokenizer, Utf8Stream},
    weights::Model,
};
use hh_cpu::{Cpu, Tensor, Threads};
use semihosting::{print, println, process};

/// Trained and exported by the commands in README.md.
static MODEL: &[u8] = &Aligned(*include_bytes!("../model.safetensors")).0;

/// Aligned so that f32 values are read in place.
#[repr(align(8))]
struct Aligned<T>(T);

const PROMPT: &str = "ROMEO:\n";
const TOKENS: usize = 96;
const TEMPERATURE: f32 = 0.8;
const SEED: u64 = 1;
/// Positions that the rings of attention and Hopfield memories hold: the model's windows.
const CONTEXT: usize = 32;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    board::paint_stack();
    heap::begin();
    process::exit(match run() {
        Ok(()) => 0,
        Err(e) => {
            println!("error: {e}");
            1
        }
    })
}

/// Not inlined: the stack must be painted before its frame is there.
#[inline(never)]
fn run() -> Result<(), String> {
    match host::words().iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [from, to, tokens, seed] => resume(from, to, tokens, seed),
        _ => write().map_err(|e| e.to_string()),
    }
}

fn resume(from: &str, to: &str, tokens: &str, seed: &str) -> Result<(), String> {
    let numbers = tokens.parse().ok().zip(seed.parse().ok());
    let (tokens, seed) = numbers.ok_or("the command line is FROM TO TOKENS SEED, the last two numbers")?;
    let text = resume::run(from, to, tokens, SamplerConfig { temperature: TEMPERATURE, seed, ..SamplerConfig::default() })?;
    println!("{text}");
    Ok(())
}

fn write() -> Result<(), Error> {
    let clock = Clock::start();
    let (cpu, model, words) = load()?;
    let [weights, ..] = heap::count();
    // A chunk of one position: a prompt needs no more memory than a step.
    let options = Options { context: CONTEXT, chunk: 1, ..Options::default() };
    let mut session = Session::new(cpu, &*model, options)?;
    let mut sampler = Sampler::new(SamplerConfig { temperature: TEMPERATURE, seed: SEED, ..SamplerConfig::default() }, words.vocab_size())?;
    session.prefill(&words.encode(PROMPT)?)?;
    print!("{PROMPT}");

    // The text is printed at the end: the console would count as time.
    let mut text = Vec::with_capacity(TOKENS);
    let [used, _, before] = heap::count();
    let mut instructions = 0;
    for _ in 0..TOKENS {
        let mut step = || {
            let token = sampler.next(session.logits())?;
            text.push(token);
            session.step(&[token]).map(drop)
        };
        let mut done = Ok(());
        instructions += clock.count(|| done = step());
        done?;
    }
    let [_, peak, after] = heap::count();

    let (mut stream, mut line) = (Utf8Stream::default(), String::new());
    for token in text {
        stream.push(words.token_bytes(token).unwrap_or_default(), &mut line);
    }
    println!("{line}");
    println!("--");
    println!("allocations in {TOKENS} steps: {}", after - before);
    println!("flash: {} bytes, {} of them the checkpoint", board::flash(), MODEL.len());
    println!(
        "RAM: {} bytes at peak: {} of stack, {peak} of heap while loading; {used} of heap in a step",
        peak.max(used) + board::stack(),
        board::stack(),
    );
    println!("heap in a step: {weights} bytes of weights and vocabulary, {} of state and activations", used - weights);
    println!("instructions per token: {}", instructions / TOKENS as u64);
    Ok(())
}

/// The processor, weights and tokenizer.
type Loaded = (Cpu<f32>, Box<Model<Tensor<f32>>>, Box<dyn Tokenizer>);

/// The checkpoint's weights and tokenizer. Not inlined: the stack that this takes is free again when the text begins.
#[inline(never)]
fn load() -> Result<Loaded, Error> {
    let mut cpu = Cpu::<f32>::new(Threads::one());
    let checkpoint = Checkpoint::parse(MODEL)?;
    let words = tokenizer::from_json(checkpoint.tokenizer_json().unwrap_or(r#"{"kind":"bytes"}"#))?;
    let model = Box::new(Model::in_place(&mut cpu, &checkpoint)?);
    Ok((cpu, model, words))
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("{info}");
    process::exit(1)
}
