//! Accuracy and nll of a model's answers.

use super::{Stream, Task, batch};
use hh_core::backend::{Forward, Precision};
use hh_core::config::Config;
use hh_core::error::Error;
use hh_core::layers::{ChunkShape, lm_head};
use hh_core::model::{self, Acts, Params};
use hh_core::ops::IGNORE;
use hh_core::pass::Pass;
use hh_core::shape::{Shape, Shaped};

/// Sums over answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Number of answers.
    pub asked: u64,
    /// Answers whose target has the largest logit.
    pub right: u64,
    /// Negative log-likelihood, in nats.
    pub nats: f64,
}

impl Score {
    /// Fraction of correct answers.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.asked.max(1) as f64
    }

    /// Nats per answer.
    pub fn nll(&self) -> f64 {
        self.nats / self.asked.max(1) as f64
    }

    /// Adds one answer: its logits and its target id. On ties, the lower id is the answer.
    fn add(&mut self, logits: &[f32], target: u32) {
        let best = logits.iter().enumerate().fold(0, |best, (id, logit)| if *logit > logits[best] { id } else { best });
        let top = f64::from(logits[best]);
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - top).exp()).sum();
        self.asked += 1;
        self.right += u64::from(best == target as usize);
        self.nats += top + sum.ln() - f64::from(logits[target as usize]);
    }
}

/// Maximum answers per LM head product.
const ROWS: usize = 512;

/// Computes logits at the positions with a target only, which are few, in batches.
pub(super) struct Answers<B: Forward> {
    hidden: B::Tensor,
    head: lm_head::Acts<B::Tensor>,
    logits: B::Tensor,
    host: Vec<f32>,
    /// Hidden states collected for the next batch.
    pending: Vec<f32>,
    targets: Vec<u32>,
    rows: usize,
    width: usize,
}

impl<B: Forward> Answers<B> {
    pub(super) fn new(b: &mut B, c: &Config) -> Result<Self, B::Error> {
        let rows = b.logit_rows(ROWS, c.vocab_size);
        let head = lm_head::Acts::new(b, c, ChunkShape { batch: 1, time: rows, saved: false })?;
        let mut alloc = |width, precision| b.alloc(Shape::cube(1, rows, width), precision);
        let (hidden, logits) = (alloc(c.width, Precision::Compute)?, alloc(c.vocab_size, Precision::Full)?);
        let host = vec![0.0; rows * c.vocab_size];
        Ok(Self { hidden, head, logits, host, pending: Vec::new(), targets: Vec::new(), rows, width: c.width })
    }

    /// Collects the hidden state of one answer, and scores the batch when it is full.
    pub(super) fn push(
        &mut self,
        b: &mut B,
        p: &Params<B::Tensor>,
        hidden: &[f32],
        target: u32,
        score: &mut Score,
    ) -> Result<(), B::Error> {
        self.pending.extend_from_slice(hidden);
        self.targets.push(target);
        if self.targets.len() == self.rows { self.finish(b, p, score) } else { Ok(()) }
    }

    /// Scores the collected answers.
    pub(super) fn finish(&mut self, b: &mut B, p: &Params<B::Tensor>, score: &mut Score) -> Result<(), B::Error> {
        if self.targets.is_empty() {
            return Ok(());
        }
        self.pending.resize(self.rows * self.width, 0.0);
        b.upload(&self.pending, &mut self.hidden)?;
        lm_head::forward(b, &p.embedding, &mut self.head, &self.hidden, &mut self.logits);
        b.download(&self.logits, &mut self.host)?;
        let vocabulary = self.logits.shape().width();
        for (logits, &target) in self.host.chunks_exact(vocabulary).zip(&self.targets) {
            score.add(logits, target);
        }
        self.pending.clear();
        self.targets.clear();
        Ok(())
    }
}

/// Examples `0 .. count` of a stream of a task.
#[derive(Clone, Copy)]
pub struct Examples<'a> {
    /// The task that generates them.
    pub task: &'a dyn Task,
    /// Seed of the stream.
    pub seed: u64,
    /// The stream.
    pub stream: Stream,
    /// Number of examples.
    pub count: usize,
}

/// Scores batches of examples in parallel over time, from an empty state, as in training.
pub struct Scorer<B: Forward> {
    ids: B::Indices,
    acts: Acts<B::Tensor>,
    answers: Answers<B>,
    host: Vec<f32>,
    batch: usize,
}

impl<B: Forward> Scorer<B> {
    /// Allocates buffers for `batch` examples of `time` positions.
    ///
    /// # Errors
    /// [`Error::Device`] if the device is out of memory.
    pub fn new(b: &mut B, c: &Config, batch: usize, time: usize) -> Result<Self, Error> {
        let mut make = || -> Result<_, B::Error> {
            let acts = Acts::new(b, c, ChunkShape { batch, time, saved: false })?;
            Ok((b.alloc_indices(Shape::matrix(batch, time))?, acts, Answers::new(b, c)?))
        };
        let (ids, acts, answers) = make().map_err(Error::device)?;
        Ok(Self { ids, acts, answers, host: vec![0.0; batch * time * c.width], batch })
    }

    /// Scores examples. `None` if `stop`, called before each batch, returns true.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn score(
        &mut self,
        b: &mut B,
        c: &Config,
        p: &Params<B::Tensor>,
        examples: Examples<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Score>, Error> {
        let Examples { task, seed, stream, count } = examples;
        let (n, mut score) = (self.batch * task.length(), Score::default());
        let (mut tokens, mut targets) = (vec![0; n], vec![0; n]);
        for first in (0..count).step_by(self.batch) {
            if stop() {
                return Ok(None);
            }
            let numbers = first..count.min(first + self.batch);
            batch(task, seed, stream, numbers.map(|n| n as u64), &mut tokens, &mut targets);
            self.run(b, c, p, &tokens, &targets, &mut score).map_err(Error::device)?;
        }
        self.answers.finish(b, p, &mut score).map_err(Error::device)?;
        Ok(Some(score))
    }

    fn run(
        &mut self,
        b: &mut B,
        c: &Config,
        p: &Params<B::Tensor>,
        tokens: &[u32],
        targets: &[u32],
        score: &mut Score,
    ) -> Result<(), B::Error> {
        b.upload_indices(tokens, &mut self.ids)?;
        let Ok(()) = model::forward(Pass::new(b, c), p, None, &mut self.acts, &self.ids);
        b.download(&self.acts.hidden, &mut self.host)?;
        for (hidden, &target) in self.host.chunks_exact(c.width).zip(targets).filter(|&(_, &target)| target != IGNORE) {
            self.answers.push(b, p, hidden, target, score)?;
        }
        Ok(())
    }
}
