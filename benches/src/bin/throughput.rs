//! Tokens per second of training steps and decoding steps, with random weights.
//!
//! ```text
//! throughput train  PRESET [--batch B] [--len T] [--threads N] [--steps N]
//! throughput decode PRESET [--batch B] [--len T] [--threads N] [--steps N] [--segments S] [--quant q8|q4]
//! ```
//!
//! `train` times forward, backward and AdamW like the reference's `bench` and prints the same line, and then steps with Muon, which
//! take turns with those of AdamW so that both see the same load of the machine; `decode` also prints the
//! bytes of weights that a token reads and the memory bandwidth.

use hh_core::backend::{Device, Precision};
use hh_core::{
    config::Config,
    init,
    model::{Model, Params},
    presets,
    quant::Format,
    schedule::Schedule,
    session::{Options, Session},
    shape::{Shape, Shaped},
    train::{HyperParams, Optimizer, Trainer},
};
use hh_cpu::{Cpu, Threads};
use std::{hint::black_box, time::Instant};

struct Args {
    batch: usize,
    len: usize,
    threads: usize,
    steps: usize,
    segments: Option<usize>,
    quant: Option<Format>,
}

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(mode), Some(preset)) = (words.next(), words.next()) else {
        eprintln!("usage: throughput train|decode PRESET [--batch B] [--len T] [--threads N] [--steps N] [--segments S] [--quant q8|q4]");
        std::process::exit(2);
    };
    let mut args = Args { batch: 1, len: 256, threads: 2, steps: 8, segments: None, quant: None };
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        if flag == "--quant" {
            args.quant = Some([Format::Q8, Format::Q4].into_iter().find(|f| f.name() == value).expect("--quant takes q8 or q4"));
            continue;
        }
        let value = value.parse().unwrap_or_else(|_| panic!("{flag} takes a number, not {value}"));
        match flag.as_str() {
            "--batch" => args.batch = value,
            "--len" => args.len = value,
            "--threads" => args.threads = value,
            "--steps" => args.steps = value,
            "--segments" => args.segments = Some(value),
            _ => panic!("unknown flag {flag}"),
        }
    }
    let threads = Threads::new(args.threads);
    match mode.as_str() {
        "train" => train(&preset, &args, &threads),
        "decode" => decode(&preset, &args, &threads),
        _ => panic!("unknown mode {mode}"),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn model(preset: &str, cpu: &mut Cpu<f32>) -> Model<hh_cpu::Tensor<f32>> {
    let config = presets::preset(preset).unwrap_or_else(|| panic!("no preset {preset}"));
    Model::init(cpu, config, 0).expect("memory for the weights")
}

/// As `reference.py bench`: two warm-up steps, then the median.
fn train(preset: &str, args: &Args, threads: &Threads) {
    let trainers = [Optimizer::AdamW, Optimizer::Muon].map(|optimizer| {
        let mut cpu = Cpu::<f32>::new(threads.clone());
        let Model { config, params } = model(preset, &mut cpu);
        let hyper = HyperParams {
            optimizer,
            schedule: Schedule { peak_lr: 1e-4, min_lr: 1e-4, warmup: 0, steps: 1 << 20 },
            beta2: 0.999,
            weight_decay: 0.01,
            muon_lr: 1e-4,
            ema: 0.999,
            seed: 0,
            ..HyperParams::default()
        };
        Trainer::new(cpu, config, hyper, params, args.batch, args.len).expect("memory for a step")
    });
    let [mut adamw, mut muon] = trainers;
    let count: usize = adamw.train_state().weights.leaves().map(|t| t.shape().count()).sum();
    let vocab = adamw.config().vocab_size as u32;
    let ids = |shift: usize| -> Vec<u32> {
        (0..args.batch * args.len).map(|i| ((i + shift) as u32).wrapping_mul(2_654_435_761) % vocab).collect()
    };
    let (tokens, targets) = (ids(0), ids(1));
    let step = |trainer: &mut Trainer<Cpu<f32>>| {
        let start = Instant::now();
        trainer.accumulate(&tokens, &targets).expect("a step");
        trainer.apply().expect("a step");
        start.elapsed().as_secs_f64()
    };
    for _ in 0..2 {
        step(&mut adamw);
        step(&mut muon);
    }
    let times: Vec<[f64; 2]> = (0..args.steps).map(|_| [step(&mut adamw), step(&mut muon)]).collect();
    let [seconds, with_muon] = [0, 1].map(|i| median(times.iter().map(|pair| pair[i]).collect()));
    let rate = (args.batch * args.len) as f64 / seconds;
    println!("{count} parameters, {rate:.0} tokens/s, {:.1} ms/step, {} threads", seconds * 1e3, args.threads);
    println!("Muon: {:.1} ms/step, {:.3} × AdamW", with_muon * 1e3, with_muon / seconds);
}

/// One token at a time after a context of `len`, in 7 rounds.
fn decode(preset: &str, args: &Args, threads: &Threads) {
    let mut cpu = Cpu::<f32>::new(threads.clone());
    let config = presets::preset(preset).unwrap_or_else(|| panic!("no preset {preset}"));
    let segments = args.segments.unwrap_or(1);
    let (model, bytes) = weights(&mut cpu, config, segments, args.quant);
    let c = &model.config;
    let options = Options { batch: args.batch, segments: Some(segments), context: 1024, ..Options::default() };
    let mut session = Session::new(cpu, &model, options).expect("memory for a session");
    let prompt: Vec<u32> = (0..args.batch * args.len).map(|i| (i * 7 % c.vocab_size) as u32).collect();
    session.prefill(&prompt).expect("a prompt");
    let tokens = vec![1; args.batch];
    // Allocated like weights, on huge pages if available.
    let mut read = session.backend_mut().alloc(Shape::matrix(1 << 14, 1 << 14), Precision::Compute).expect("memory for 1 GiB");
    read.data_mut().fill(1.0);
    // The load of a shared machine varies: both are timed alternately and compared within a round.
    let (mut rates, mut reads, mut shares) = (vec![], vec![], vec![]);
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..args.steps {
            black_box(session.step(&tokens).expect("a step"));
        }
        let rate = args.steps as f64 / start.elapsed().as_secs_f64();
        let reading = bandwidth(read.data(), args.threads);
        rates.push(rate);
        reads.push(reading);
        shares.push(rate * bytes as f64 / reading * 100.0);
    }
    let (rate, reading, share) = (median(rates), median(reads), median(shares));
    println!(
        "{rate:.1} steps/s of {} sequence(s), {:.1} MB of weights per step: {:.1} GB/s, {share:.0} % of the {:.1} GB/s of a plain read, {} threads",
        args.batch,
        bytes as f64 / 1e6,
        rate * bytes as f64 / 1e9,
        reading / 1e9,
        args.threads,
    );
}

/// Random weights, block-quantised with `quant`, and the bytes of them that a step reads: every block in each segment; the
/// embedding once, as the LM head; the controller between segments; the flow head never.
fn weights(cpu: &mut Cpu<f32>, config: Config, segments: usize, quant: Option<Format>) -> (Model<hh_cpu::Tensor<f32>>, usize) {
    let (mut bytes, mut host) = (0, Vec::new());
    let params = Params::new(&config, &mut |name, shape| {
        let times = match name {
            _ if name.starts_with("blocks.") => segments,
            _ if name.starts_with("embed.") => 1,
            _ if name.starts_with("controller.") => segments - 1,
            _ => 0,
        };
        host.clear();
        host.resize(shape.count(), 0.0);
        init::value(name, shape, &config, 0, &mut host);
        if let Some(format) = quant.and_then(|quant| quant.of(name, shape)) {
            let made = format.quantise(&host, shape.width());
            bytes += times * (made.blocks().codes().len() + 2 * made.blocks().scales().len());
            return cpu.upload_quantised(made.blocks());
        }
        bytes += times * 4 * shape.count();
        let mut leaf = cpu.alloc(shape, Precision::Full)?;
        cpu.upload(&host, &mut leaf)?;
        Ok::<_, hh_cpu::OutOfMemory>(leaf)
    });
    (Model { params: params.expect("memory for the weights"), config }, bytes)
}

/// Bytes per second of summing `data`.
fn bandwidth(data: &[f32], threads: usize) -> f64 {
    let start = Instant::now();
    let sum: f32 = std::thread::scope(|s| {
        let parts: Vec<_> = data.chunks(data.len() / threads).map(|part| s.spawn(move || sum(part))).collect();
        parts.into_iter().map(|p| p.join().expect("a sum")).sum()
    });
    black_box(sum);
    size_of_val(data) as f64 / start.elapsed().as_secs_f64()
}

fn sum(part: &[f32]) -> f32 {
    let mut lanes = [0.0; 32];
    for row in part.chunks_exact(32) {
        for (lane, x) in lanes.iter_mut().zip(row) {
            *lane += *x;
        }
    }
    lanes.iter().sum()
}
