//! A language model on a Cortex-M4. The checkpoint is part of the program, and its 8-bit block-quantised matrices are read in
//! place from flash. Prints a prompt with the model's continuation, then memory and instruction counts.
//!
//! ```text
//! cargo run --release      in this folder, with qemu-system-arm installed
//! ```
//!
//! With `-append 'FROM TO TOKENS SEED'` behind it, it continues the text of the state in the file FROM, which `hh-runtime sample
//! --state` or a page has saved, and saves its state in TO.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;
mod host;
mod resume;

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::panic::PanicInfo;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprint, hprintln};
use hh_core::{
    checkpoint::Checkpoint,
    error::Error,
    sample::{Sampler, SamplerConfig},
    session::{Options, Session},
    tokenizer::{self, Utf8Stream},
    weights::Model,
};
use hh_cpu::{Cpu, Threads};

/// Trained and exported by the commands in README.md.
static MODEL: &[u8] = include_bytes!("../model.safetensors");

const PROMPT: &str = "ROMEO:\n";
const TOKENS: usize = 96;
const TEMPERATURE: f32 = 0.8;
const SEED: u64 = 1;
/// Positions that the rings of attention and Hopfield memories hold: the model's windows.
const CONTEXT: usize = 32;
/// Instructions per tick: the clock of the board runs at 25 MHz, and the emulator executes one instruction per nanosecond.
const INSTRUCTIONS: usize = 40;

#[entry]
fn main() -> ! {
    heap::begin();
    let words = host::words();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [from, to, tokens, seed] => resume(from, to, tokens, seed),
        _ => write().map_err(|e| e.to_string()),
    };
    let status = match done {
        Ok(()) => debug::EXIT_SUCCESS,
        Err(e) => {
            hprintln!("error: {}", e);
            debug::EXIT_FAILURE
        }
    };
    debug::exit(status);
    loop {
        cortex_m::asm::wfi();
    }
}

fn resume(from: &str, to: &str, tokens: &str, seed: &str) -> Result<(), String> {
    let numbers = tokens.parse().ok().zip(seed.parse().ok());
    let (tokens, seed) = numbers.ok_or("the command line is FROM TO TOKENS SEED, the last two numbers")?;
    let text = resume::run(from, to, tokens, SamplerConfig { temperature: TEMPERATURE, seed, ..SamplerConfig::default() })?;
    hprintln!("{}", text);
    Ok(())
}

fn write() -> Result<(), Error> {
    let mut clock = cortex_m::Peripherals::take().expect("taken once").SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00ff_ffff);
    clock.clear_current();
    clock.enable_counter();

    let mut cpu = Cpu::<f32>::new(Threads::one());
    let (model, words) = {
        let checkpoint = Checkpoint::parse(MODEL)?;
        let words = tokenizer::from_json(checkpoint.tokenizer_json().unwrap_or(r#"{"kind":"bytes"}"#))?;
        (Model::in_place(&mut cpu, &checkpoint)?, words)
    };
    let [weights, ..] = heap::count();
    // A chunk of one position: a prompt needs no more memory than a step.
    let options = Options { context: CONTEXT, chunk: 1, ..Options::default() };
    let mut session = Session::new(cpu, &model, options)?;
    let mut sampler = Sampler::new(SamplerConfig { temperature: TEMPERATURE, seed: SEED, ..SamplerConfig::default() }, words.vocab_size())?;
    session.prefill(&words.encode(PROMPT)?)?;
    hprint!("{}", PROMPT);

    // The text is printed at the end: the console would count as time.
    let mut text = Vec::with_capacity(TOKENS);
    let [used, _, before] = heap::count();
    let mut ticks = 0;
    for _ in 0..TOKENS {
        let start = cortex_m::peripheral::SYST::get_current();
        let token = sampler.next(session.logits())?;
        text.push(token);
        session.step(&[token])?;
        // The counter counts down in 24 bits.
        ticks += (start.wrapping_sub(cortex_m::peripheral::SYST::get_current()) & 0x00ff_ffff) as usize;
    }
    let [_, peak, after] = heap::count();

    let (mut stream, mut line) = (Utf8Stream::default(), String::new());
    for token in text {
        stream.push(words.token_bytes(token).unwrap_or_default(), &mut line);
    }
    hprintln!("{}", line);
    hprintln!("--");
    hprintln!("allocations in {} steps: {}", TOKENS, after - before);
    hprintln!("flash: {} bytes, {} of them the checkpoint", flash(), MODEL.len());
    hprintln!(
        "RAM: {} bytes at peak: {} of stack, {} of heap while loading; {} of heap in a step",
        peak.max(used) + stack(),
        stack(),
        peak,
        used
    );
    hprintln!("heap in a step: {} bytes of weights and vocabulary, {} of state and activations", weights, used - weights);
    hprintln!("instructions per token: {}", ticks / TOKENS * INSTRUCTIONS);
    Ok(())
}

/// Bytes of code and constants.
fn flash() -> usize {
    unsafe extern "C" {
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
    }
    let at = |symbol: *const u32| symbol as usize;
    at(&raw const __sidata) + at(&raw const __edata) - at(&raw const __sdata)
}

/// Peak stack usage in bytes: memory below it still holds the pattern painted at startup.
fn stack() -> usize {
    unsafe extern "C" {
        static _stack_end: u32;
        static _stack_start: u32;
    }
    const PAINT: u32 = 0xcccc_cccc;
    let (mut at, top) = (&raw const _stack_end, &raw const _stack_start);
    // SAFETY: the addresses are between the linker's symbols.
    while at < top && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    top as usize - at as usize
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    hprintln!("{}", info);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
