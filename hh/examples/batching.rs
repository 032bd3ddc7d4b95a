//! What batching, the prefix cache and saved states cost and save:
//! `cargo run --release -p hh --example batching -- char-4.5m f32 [THREADS [STREAMS]]`.
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

/// Time of this thread where it is the only one and the system tells it, so that other work on the machine counts little; else
/// time of day.
struct Clock {
    begun: Instant,
    thread: Option<f64>,
}

impl Clock {
    fn now(threads: usize) -> Self {
        Self { begun: Instant::now(), thread: (threads == 1).then(Self::thread).flatten() }
    }

    fn thread() -> Option<f64> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
    }

    fn seconds(&self) -> f64 {
        self.thread
            .and_then(|begun| Some((begun, Self::thread()?)))
            .map_or_else(|| self.begun.elapsed().as_secs_f64(), |(begun, now)| now - begun)
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

/// The middle of three.
fn median(mut seconds: [f64; 3]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[1]
}

/// Streams one after the other and in a batch, alternating; tokens per second. A first round, which touches all memory, does not
/// count.
fn rates(model: &TextModel, threads: usize, streams: usize, tokens: usize) -> Result<[f64; 2], hh::Error> {
    let options = |seed| GenerateOptions {
        max_tokens: tokens,
        sampler: SamplerConfig { seed: seed as u64, ..Default::default() },
        ..Default::default()
    };
    let (mut session, mut batch) = (model.session()?, TextBatch::new(model, streams)?);
    session.prefill("a prompt of some length")?;
    let start = session.snapshot()?;
    let mut seconds = [[0.0; 2]; 4];
    for seconds in &mut seconds {
        let begun = Clock::now(threads);
        for seed in 0..streams {
            session.restore(&start)?;
            let mut decoder = session.decoder(&options(seed))?;
            for _ in 0..tokens {
                session.draw(&mut decoder)?;
            }
        }
        seconds[0] = begun.seconds();
        session.restore(&start)?;
        let begun = Clock::now(threads);
        let ids = (0..streams).map(|seed| {
            let decoder = session.decoder(&options(seed))?;
            batch.join(&mut session, decoder, tokens)
        });
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        while batch.active() > 0 {
            batch.step()?;
        }
        for id in ids {
            batch.leave(id, None)?;
        }
        seconds[1] = begun.seconds();
    }
    let [_, a, b, c] = seconds;
    Ok([0, 1].map(|i| streams as f64 * tokens as f64 / median([a[i], b[i], c[i]])))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, format, ..] = &args[..] else { return Err("give a preset and f32 or q8".into()) };
    let number = |at: usize| args.get(at).map(|n| n.parse::<usize>()).transpose();
    let (threads, streams) = (number(2)?.unwrap_or(1), number(3)?);
    let dtype = if format == "q8" { Stored::Quantised(Format::Q8) } else { Stored::Numbers(Dtype::F32) };
    let model = model(name, dtype)?.with_threads(threads);
    let tokens = if name == "bpe-97m" { 32 } else { 128 };

    println!("{name} {format}, {threads} threads, context 256; streams: medians of three");
    for streams in streams.map_or(vec![1, 2, 4, 8, 16, 32], |n| vec![n]) {
        let [alone, batched] = rates(&model, threads, streams, tokens)?;
        println!("{streams:3} streams: {alone:8.0} tokens/s one after the other, {batched:8.0} in a batch, {:.2} x", batched / alone);
    }
    if streams.is_some() {
        return Ok(());
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
