//! Sample text of a checkpoint, with the mean gates of each layer.

use crate::loading::Source;
use anyhow::Result;
use hh::{Decoder, StopStrings, TextSession};
use hh_core::config::PATHS;
use hh_core::sample::{Sampler, SamplerConfig};
use hh_core::tokenizer;
use hh_cpu::{Cpu, Threads};
use std::path::Path;

/// A generated text.
pub struct Sample {
    /// The text.
    pub text: String,
    /// The random seed.
    pub seed: u64,
    /// The sampling temperature.
    pub temperature: f32,
    /// Gates of each layer; empty if the model has none.
    pub gates: Vec<LayerGates>,
}

/// Mean gates of a layer over the tokens of a sample: ssm, hopfield, attention; they sum to the number of paths.
pub type LayerGates = [Option<f32>; PATHS.len()];

impl Sample {
    /// Generates `tokens` tokens, or as many as the context allows, from the best weights of a run.
    ///
    /// # Errors
    /// A checkpoint that cannot be read or does not fit into memory.
    pub fn of(run: &Path, tokens: usize, threads: usize) -> Result<Self> {
        let mut cpu = Cpu::<f32>::new(Threads::new(threads));
        let loaded = Source::open(run)?.load(&mut cpu, None)?;
        let words = &*loaded.tokenizer;
        let context = loaded.context.max(tokens + 1).min(hh::context_limit(&loaded.model.config));
        let config = SamplerConfig { temperature: 0.8, seed: 1, ..SamplerConfig::default() };
        let (seed, temperature) = (config.seed, config.temperature);
        let sampler = Sampler::new(config, words.vocab_size())?;
        let mut decoder = Decoder::new(sampler, StopStrings::default(), words).ignoring_end_of_text();
        let mut session = TextSession::new(cpu, &loaded, Some(context), None)?;
        session.inspect(1);
        let start = words.encode("\n").ok().filter(|ids| !ids.is_empty()).unwrap_or_else(|| vec![0]);
        session.prefill_tokens(&start)?;
        let (mut written, mut sums) = (Vec::new(), vec![[(0.0, 0u32); PATHS.len()]; loaded.model.config.layers]);
        while written.len() < tokens.min(context - start.len()) {
            written.push(session.draw(&mut decoder)?.token);
            session.catch_up()?;
            let seen = session.inspection().into_iter().flat_map(|inspector| inspector.layers(0));
            for (sums, seen) in sums.iter_mut().zip(seen) {
                for ((sum, count), gate) in sums.iter_mut().zip(seen.gates) {
                    *sum += gate.unwrap_or(0.0);
                    *count += u32::from(gate.is_some());
                }
            }
        }
        let gates: Vec<LayerGates> = sums.into_iter().map(|layer| layer.map(|(sum, n)| (n > 0).then(|| sum / n as f32))).collect();
        let gates = if gates.iter().flatten().all(Option::is_none) { Vec::new() } else { gates };
        Ok(Self { text: tokenizer::decode(words, &written), seed, temperature, gates })
    }
}
