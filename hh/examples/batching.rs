//! What batching, the prefix cache and saved states cost and save: `cargo run --release -p hh --example batching -- char-4.5m f32`.
//!
//! Weights are random, which changes no time; texts are bytes.

use hh::{GenerateOptions, PrefixCache, SamplerConfig, TextBatch, TextModel, TextState};
use hh_core::{
    checkpoint::{Dtype, Metadata, Stored, TOKENIZER, write},
    init,
    model::shapes,
    presets::preset,
    quant::Format,
    tokenizer::{Bytes, Tokenizer},
};
use std::{env, error::Error, fs, time::Instant};

/// Time of this thread where the system tells it, so that other work on the machine counts little; else time of day.
struct Clock {
    begun: Instant,
    thread: Option<f64>,
}

impl Clock {
    fn now() -> Self {
        Self { begun: Instant::now(), thread: Self::thread() }
    }

    fn thread() -> Option<f64> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    }

    fn seconds(&self) -> f64 {
        self.thread.zip(Self::thread()).map_or_else(|| self.begun.elapsed().as_secs_f64(), |(begun, now)| now - begun)
    }
}

fn model(name: &str, stored: Stored) -> Result<TextModel, Box<dyn Error>> {
    let mut config = preset(name).ok_or("there is no such preset: give char-4.5m or bpe-97m")?;
    config.vocab_size = config.vocab_size.max(256);
    let tensors: Vec<_> = shapes(&config)
        .into_iter()
        .map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            init::value(&name, shape, &config, 5, &mut values);
            (name, shape, values)
        })
        .collect();
    let notes = Metadata::from([(TOKENIZER.to_owned(), Bytes.to_json()), ("context".to_owned(), "256".to_owned())]);
    let bytes = write(&config, &notes, tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), stored)?;
    drop(tensors);
    Ok(TextModel::from_bytes(&bytes)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, format, ..] = &args[..] else { return Err("give a preset and f32 or q8".into()) };
    let dtype = if format == "q8" { Stored::Quantised(Format::Q8) } else { Stored::Numbers(Dtype::F32) };
    let model = model(name, dtype)?;
    let tokens = if name == "bpe-97m" { 16 } else { 64 };
    let options =
        |seed| GenerateOptions { max_tokens: tokens, sampler: SamplerConfig { seed, ..Default::default() }, ..Default::default() };

    println!("{name} {format}, one thread, context 256; streams: seconds of the thread, all else: time of day");
    let mut session = model.session()?;
    session.prefill("a prompt of some length")?;
    for rows in [1, 2, 4, 8, 16, 32] {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..3 {
            let begun = Clock::now();
            for seed in 0..rows {
                let mut fork = session.fork()?;
                let mut decoder = fork.decoder(&options(seed))?;
                for _ in 0..tokens {
                    fork.draw(&mut decoder)?;
                }
            }
            best[0] = best[0].min(begun.seconds());
            let mut batch = TextBatch::new(&model, rows as usize)?;
            let begun = Clock::now();
            for seed in 0..rows {
                let decoder = session.decoder(&options(seed))?;
                batch.join(&mut session, decoder, tokens)?;
            }
            while batch.active() > 0 {
                batch.step()?;
            }
            best[1] = best[1].min(begun.seconds());
        }
        let rate = best.map(|seconds| rows as f64 * tokens as f64 / seconds);
        println!("{rows:3} streams: {:8.0} tokens/s one after the other, {:8.0} in a batch, {:.2} x", rate[0], rate[1], rate[1] / rate[0]);
    }

    let text = |n: usize| (0..n as u32).map(|i| (i * i / 7 + i) % 251).collect::<Vec<_>>();
    for n in [0, 100, 1000, 10_000] {
        if name == "bpe-97m" && n > 1000 {
            continue;
        }
        let mut session = model.session()?;
        session.prefill_tokens(&text(n))?;
        let state = session.snapshot()?;
        let begun = Instant::now();
        let bytes = state.to_bytes();
        let saved = begun.elapsed().as_secs_f64();
        let best = |mut work: Box<dyn FnMut() -> Result<(), hh::Error> + '_>| -> Result<f64, hh::Error> {
            // Time of day: the thread's moves in steps that are longer than this work.
            let mut best = f64::INFINITY;
            for _ in 0..9 {
                let begun = Instant::now();
                work()?;
                best = best.min(1e3 * begun.elapsed().as_secs_f64());
            }
            Ok(best)
        };
        let restored = best(Box::new(|| session.restore(&state)))?;
        let read = best(Box::new(|| session.restore(&TextState::from_bytes(&bytes)?)))?;
        println!(
            "{n:6} tokens: {:8} bytes saved in {:.2} ms; restored from memory in {restored:.3} ms, from bytes in {read:.3} ms",
            bytes.len(),
            1e3 * saved
        );
    }
    let n = if name == "bpe-97m" { 2000 } else { 50_000 };
    let (cache, mut ids) = (PrefixCache::new(4 << 30), text(n));
    let mut session = model.session()?;
    let begun = Instant::now();
    cache.prefill(&mut session, &ids)?;
    let first = begun.elapsed().as_secs_f64();
    ids.extend(text(20));
    let begun = Instant::now();
    let known = cache.prefill(&mut session, &ids)?;
    let second = begun.elapsed().as_secs_f64();
    let stats = cache.stats();
    println!(
        "{n} tokens read in {first:.3} s; with 20 more, {known} known, {:.2} ms, {:.0} x sooner; {} states, {} MB",
        1e3 * second,
        first / second,
        stats.states,
        stats.bytes >> 20
    );
    Ok(())
}
