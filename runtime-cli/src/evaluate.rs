//! Evaluation of a model on a text: nll, perplexity, bits per byte.

use crate::data::Windows;
use anyhow::Result;
use hh_core::backend::Forward;
use hh_core::error::Error;
use hh_core::hooks::Hooks;
use hh_core::layers::ChunkShape;
use hh_core::layers::episodic;
use hh_core::model::output::{self, Ids, Output};
use hh_core::model::{self, Acts, Model, State};
use hh_core::ops::IGNORE;
use hh_core::pass::Pass;
use hh_core::shape::Shape;
use hh_core::tokenizer::Tokenizer;
use serde::Serialize;
use std::ops::Deref;

/// Sums over the scored targets.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Score {
    /// Negative log-likelihood, in nats.
    pub nats: f64,
    /// Number of targets.
    pub tokens: u64,
    /// Bytes of the targets' text.
    pub bytes: u64,
}

/// The metrics of a [`Score`].
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// Mean negative log-likelihood, in nats per token.
    pub nll: f64,
    /// `exp(nll)`
    pub perplexity: f64,
    /// Bits per byte of the text, comparable between tokenizers.
    pub bits_per_byte: f64,
    /// Number of targets.
    pub tokens: u64,
    /// Bytes of the targets' text.
    pub bytes: u64,
}

impl Score {
    fn add(&mut self, target: u32, nats: f64, tokenizer: &dyn Tokenizer) {
        self.nats += nats;
        self.tokens += 1;
        self.bytes += tokenizer.token_bytes(target).map_or(0, |bytes| bytes.len() as u64);
    }

    /// The means over the targets.
    pub fn figures(&self) -> Figures {
        let nll = self.nats / self.tokens.max(1) as f64;
        let bits_per_byte = self.nats / std::f64::consts::LN_2 / self.bytes.max(1) as f64;
        Figures { nll, perplexity: nll.exp(), bits_per_byte, tokens: self.tokens, bytes: self.bytes }
    }
}

/// What a stream carries from chunk to chunk.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Items that a position sees in the episodic memory; at least 1.
    pub episodes: usize,
    /// The states of the layers; attention and modern Hopfield memories hold as many positions as a chunk has.
    pub layers: bool,
}

/// The losses of a batch.
#[derive(Clone, Copy)]
pub struct Losses<'a> {
    /// `[B, T, 3]`, as written by the cross-entropy kernel; the first value is the negative log-likelihood.
    rows: &'a [f32],
    targets: &'a [u32],
    time: usize,
}

impl<'a> Losses<'a> {
    /// Row of the batch, target, and its negative log-likelihood in nats, for each target that is not [`IGNORE`].
    pub fn iter(self) -> impl Iterator<Item = (usize, u32, f64)> + 'a {
        let all = self.rows.chunks_exact(3).zip(self.targets).enumerate();
        let counted = all.filter(|&(_, (_, &target))| target != IGNORE);
        counted.map(move |(at, (row, &target))| (at / self.time, target, f64::from(row[0])))
    }
}

/// Scores batches of `batch` windows of `time` tokens in preallocated inference buffers. `M` is a reference to the model, `&` or
/// `&mut`.
pub struct Evaluator<B: Forward, M> {
    backend: B,
    model: M,
    tokens: B::Indices,
    targets: B::Indices,
    acts: Acts<B::Tensor>,
    output: Output<B::Tensor>,
    memory: Option<episodic::State<B::Tensor, B::Indices>>,
    batch: usize,
    time: usize,
    host: Vec<f32>,
    /// Tokens and targets of the current batch.
    ids: [Vec<u32>; 2],
}

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Evaluator<B, M> {
    /// Allocates the buffers.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is out of memory.
    pub fn new(mut backend: B, model: M, batch: usize, time: usize) -> Result<Self, Error> {
        let (b, c) = (&mut backend, &model.config);
        let (ids, x) = (Shape::matrix(batch, time), ChunkShape { batch, time, saved: false });
        let mut make = || -> Result<_, B::Error> {
            let (acts, output, memory) = (Acts::new(b, c, x)?, Output::new(b, c, x)?, output::memory(b, c, x, 0)?);
            Ok((b.alloc_indices(ids)?, b.alloc_indices(ids)?, acts, output, memory))
        };
        let (tokens, targets, acts, output, memory) = make().map_err(Error::device)?;
        let (host, ids) = (vec![0.0; 3 * batch * time], [vec![0; batch * time], vec![0; batch * time]]);
        Ok(Self { backend, model, tokens, targets, acts, output, memory, batch, time, host, ids })
    }

    /// Scores a text in consecutive windows, each from an empty state, so every token except the first is a target exactly once.
    /// `each` is called after every batch with the number of batches done and the total.
    ///
    /// # Errors
    /// A text that cannot be read, or a device error.
    ///
    /// # Panics
    /// If the windows are not `time` tokens long.
    pub fn score(
        &mut self,
        windows: Windows<'_>,
        tokenizer: &dyn Tokenizer,
        segments: usize,
        mut each: impl FnMut(u64, u64),
    ) -> Result<Score> {
        let mut score = Score::default();
        let batches = windows.batches(self.batch);
        for index in 0..batches {
            for (_, target, nats) in self.batch(windows, index, segments, &mut ())?.iter() {
                score.add(target, nats, tokenizer);
            }
            each(index + 1, batches);
        }
        Ok(score)
    }

    /// Scores the windows from `index · batch` on, a full batch where the text has as many, with hooks in the forward pass.
    ///
    /// # Errors
    /// A text that cannot be read, an error of the hooks, or a device error.
    ///
    /// # Panics
    /// If the windows are not `time` tokens long.
    pub fn batch<H>(&mut self, windows: Windows<'_>, index: u64, segments: usize, hooks: &mut H) -> Result<Losses<'_>>
    where
        H: Hooks<B, Error: std::error::Error + Send + Sync + 'static>,
    {
        let [tokens, targets] = &mut self.ids;
        windows.batch(index, self.batch, tokens, targets)?;
        let (b, model) = (&mut self.backend, &*self.model);
        b.upload_indices(tokens, &mut self.tokens).map_err(Error::device)?;
        b.upload_indices(targets, &mut self.targets).map_err(Error::device)?;
        let pass = Pass { segments, ..Pass::new(b, &model.config) }.with_hooks(hooks);
        model::forward(pass, &model.params, None, &mut self.acts, &self.tokens).map_err(Error::device)?;
        self.losses().map_err(Error::device)?;
        Ok(Losses { rows: &self.host, targets: &self.ids[1], time: self.time })
    }

    /// Scores a text as one stream, in chunks of `time` tokens: the episodic memory holds the newest `episodes` items across chunks,
    /// and with `layers` the states of the layers are carried as well. `each` is called after every chunk with the number of chunks
    /// done and the total.
    ///
    /// # Errors
    /// A text that cannot be read, or a device error.
    ///
    /// # Panics
    /// If the evaluator is not for one window, or the windows are not `time` tokens long.
    pub fn stream(
        &mut self,
        windows: Windows<'_>,
        tokenizer: &dyn Tokenizer,
        segments: usize,
        carried: Carried,
        mut each: impl FnMut(u64, u64),
    ) -> Result<Score> {
        assert_eq!(self.batch, 1, "a stream is one sequence");
        let (b, Model { config: c, params: p }) = (&mut self.backend, &*self.model);
        let x = ChunkShape { batch: 1, time: self.time, saved: false };
        let mut memory = output::memory(b, c, x, carried.episodes).map_err(Error::device)?;
        let mut state = if carried.layers { Some(State::new(b, c, 1, self.time, segments).map_err(Error::device)?) } else { None };
        let (mut score, chunks) = (Score::default(), windows.batches(1));
        for index in 0..chunks {
            let [tokens, targets] = &mut self.ids;
            windows.batch(index, 1, tokens, targets)?;
            b.upload_indices(tokens, &mut self.tokens).map_err(Error::device)?;
            b.upload_indices(targets, &mut self.targets).map_err(Error::device)?;
            let Ok(()) = model::forward(Pass { segments, ..Pass::new(b, c) }, p, state.as_mut(), &mut self.acts, &self.tokens);
            let ids = Ids { tokens: &self.tokens, targets: &self.targets };
            self.output.losses(b, p, memory.as_mut(), &self.acts.hidden, ids);
            memory.iter_mut().for_each(|memory| episodic::advance(b, memory, self.time));
            b.download(&self.output.losses, &mut self.host).map_err(Error::device)?;
            for (_, target, nats) in (Losses { rows: &self.host, targets: &self.ids[1], time: self.time }).iter() {
                score.add(target, nats, tokenizer);
            }
            each(index + 1, chunks);
        }
        Ok(score)
    }

    /// The backend and the model reference.
    pub fn parts(&mut self) -> (&mut B, &mut M) {
        (&mut self.backend, &mut self.model)
    }

    /// Computes the losses from the hidden states and downloads them.
    fn losses(&mut self) -> Result<(), B::Error> {
        let (b, Model { params: p, .. }) = (&mut self.backend, &*self.model);
        let ids = Ids { tokens: &self.tokens, targets: &self.targets };
        self.output.losses(b, p, self.memory.as_mut(), &self.acts.hidden, ids);
        b.download(&self.output.losses, &mut self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::TokenStream;
    use crate::loading::{Source, tests as models};
    use hh_core::session::{Options, Session};

    #[test]
    fn a_score_equals_that_of_stepping_through_the_windows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        std::fs::write(&path, models::good()).unwrap();
        let loaded = Source::open(&path).unwrap().load(&mut models::cpu(), None).unwrap();
        let text = "abcde\u{e9} edcba\n".repeat(3) + "ae";
        let ids = loaded.tokenizer.encode(&text).unwrap();
        let stream = TokenStream::from_ids(&ids, 8);
        for (segments, time, batch) in [(1, 7, 1), (2, 7, 3), (3, 64, 2)] {
            let mut evaluator = Evaluator::new(models::cpu(), &loaded.model, batch, time).unwrap();
            let mut batches = 0;
            let score = evaluator
                .score(Windows::new(&stream, time), &*loaded.tokenizer, segments, |done, of| {
                    assert!(done <= of);
                    batches += 1;
                })
                .unwrap();
            assert_eq!(batches, (ids.len() - 1).div_ceil(time).div_ceil(batch));

            let options = Options { segments: Some(segments), ..Options::default() };
            let mut session = Session::new(models::cpu(), &loaded.model, options).unwrap();
            let mut nats = 0.0;
            for (i, pair) in ids.windows(2).enumerate() {
                if i % time == 0 {
                    session.reset().unwrap();
                }
                let logits = session.step(&pair[..1]).unwrap();
                let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
                nats += sum.ln() - f64::from(logits[pair[1] as usize]);
            }
            assert!((score.nats - nats).abs() < 1e-4 * nats, "{segments} segments: {} and {nats}", score.nats);
            assert_eq!((score.tokens, score.bytes), (ids.len() as u64 - 1, text.len() as u64 - 1));
        }
    }

    /// In chunks of any length: the layers hold as many positions as the longest chunk of a window has.
    #[test]
    fn a_stream_equals_stepping_through_the_whole_text() {
        let mut b = models::cpu();
        let config = r#"{"vocab_size": 11, "width": 16, "layers": 1, "ffn": 16, "head_dim": 8, "ssm_width": 8, "attention_width": 8, "episodic_width": 4}"#;
        let model = Model::init(&mut b, hh_core::config::Config::from_json(config).unwrap(), 3).unwrap();
        let ids: Vec<u32> = (0..70).map(|i| (i * i + i / 3) % 11).collect();
        let stream = TokenStream::from_ids(&ids, 11);
        for (episodes, time) in [(5, 8), (1000, 8), (1, 16)] {
            let mut evaluator = Evaluator::new(models::cpu(), &model, 1, time).unwrap();
            let carried = Carried { episodes, layers: true };
            let score = evaluator.stream(Windows::new(&stream, time), &hh_core::tokenizer::Bytes, 1, carried, |_, _| ()).unwrap();
            let options = Options { context: time, episodes: Some(episodes), ..Options::default() };
            let mut session = Session::new(models::cpu(), &model, options).unwrap();
            let mut nats = 0.0;
            for pair in ids.windows(2) {
                nats -= f64::from(session.step(&pair[..1]).unwrap()[pair[1] as usize]);
            }
            assert!((score.nats - nats).abs() < 1e-4 * nats, "{episodes} items: {} and {nats}", score.nats);
        }
    }

    #[test]
    fn the_figures_of_a_fair_coin() {
        let figures = Score { nats: 8.0 * 2f64.ln(), tokens: 4, bytes: 8 }.figures();
        assert!((figures.perplexity - 4.0).abs() < 1e-12 && (figures.bits_per_byte - 1.0).abs() < 1e-12);
    }
}
