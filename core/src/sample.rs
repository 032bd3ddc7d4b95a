//! From logits to a token.

use crate::{
    error::{ConfigError, Error, InputError},
    rng,
};
use alloc::vec::Vec;
use core::cmp::Ordering;

/// How to choose a token. The default draws from the model's own distribution.
///
/// The filters apply in the order of Hugging Face's `generate`: repetition penalty, temperature, top-k, top-p, min-p;
/// each sees the distribution that the one before has left, renormalised.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SamplerConfig {
    /// Divides the logits; 0 is greedy: always the most likely token, the lowest id among equals.
    pub temperature: f32,
    /// Keeps the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens whose probabilities sum to at least this (Holtzman et al. 2020); 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the likeliest (Nguyen et al. 2024); 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens (Keskar et al. 2019); 1 is off.
    pub repetition_penalty: f32,
    /// How many of the newest tokens count as recent.
    pub repetition_window: usize,
    /// Draw number `n` is a function of the seed and `n`.
    pub seed: u64,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, repetition_window: 64, seed: 0 }
    }
}

/// Longest memory of recent tokens.
const MAX_WINDOW: usize = 1 << 20;

impl SamplerConfig {
    /// Says what is wrong with a configuration.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value, and what it must be.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |name: &str, value: f32, range: &str| Err(ConfigError::field(name, value, range).into());
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return fail("temperature", self.temperature, "0 (greedy) or above");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail("top_p", self.top_p, "above 0 and at most 1 (off)");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fail("min_p", self.min_p, "between 0 (off) and 1");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return fail("repetition_penalty", self.repetition_penalty, "above 0; 1 is off, 1.1 is gentle");
        }
        if self.repetition_window > MAX_WINDOW {
            return Err(ConfigError::field("repetition_window", self.repetition_window, format_args!("at most {MAX_WINDOW}")).into());
        }
        Ok(())
    }
}

/// What a [`Sampler`] remembers between tokens, as plain values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SamplerState {
    /// How many tokens were drawn: the counter of the random numbers.
    pub draws: u64,
    /// Tokens that the repetition penalty still sees, oldest first.
    pub recent: Vec<u32>,
}

/// Draws tokens. Allocates in [`new`](Self::new) and [`state`](Self::state) only.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    vocab_size: usize,
    draws: u64,
    recent: Ring,
    /// Tokens that are still in the draw. `weight` is the logit first, then the probability up to a common factor.
    candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    weight: f32,
    id: u32,
}

/// The likelier first, the lower id among equals: a total order without equals, so that sorting has one result.
fn likelier_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// Separates the numbers drawn here from those of training with the same seed.
const SITE: u32 = 0x5341_4d50;

impl Sampler {
    /// A sampler for logits of length `vocab_size`.
    ///
    /// # Errors
    /// Those of [`SamplerConfig::validate`].
    pub fn new(config: SamplerConfig, vocab_size: usize) -> Result<Self, Error> {
        config.validate()?;
        let window = if config.repetition_penalty == 1.0 { 0 } else { config.repetition_window };
        Ok(Self { config, vocab_size, draws: 0, recent: Ring::new(window), candidates: Vec::with_capacity(vocab_size) })
    }

    /// What it was built from.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// Makes the repetition penalty aware of a token that was not drawn here, as of a prompt.
    /// One outside of the vocabulary takes its place in the window and has no other effect.
    pub fn observe(&mut self, token: u32) {
        self.recent.push(token);
    }

    /// Draws a token from the logits of one position, and [observes](Self::observe) it.
    ///
    /// # Errors
    /// [`Error::Input`] if a logit is NaN or +∞, or all are −∞ (a single −∞ rules a token out). Nothing changes then.
    ///
    /// # Panics
    /// If there are not as many logits as tokens.
    pub fn next(&mut self, logits: &[f32]) -> Result<u32, Error> {
        assert_eq!(logits.len(), self.vocab_size, "sampler: logits for a vocabulary");
        self.load(logits)?;
        let token = if self.config.temperature == 0.0 { self.most_likely() } else { self.draw() };
        self.draws += 1;
        self.observe(token);
        Ok(token)
    }

    /// How many tokens were drawn.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// What it remembers.
    pub fn state(&self) -> SamplerState {
        SamplerState { draws: self.draws, recent: self.recent.oldest_first().collect() }
    }

    /// Continues where another sampler of the same configuration was. Of more tokens than its window, it keeps the newest.
    pub fn restore(&mut self, state: &SamplerState) {
        self.draws = state.draws;
        self.recent.clear();
        for &token in &state.recent {
            self.recent.push(token);
        }
    }

    /// All tokens as candidates, by id, with penalised logits.
    fn load(&mut self, logits: &[f32]) -> Result<(), Error> {
        if let Some(id) = logits.iter().position(|&x| x.is_nan() || x == f32::INFINITY) {
            return Err(InputError::BrokenLogit { id, logit: logits[id] }.into());
        }
        self.candidates.clear();
        self.candidates.extend((0..).zip(logits).map(|(id, &weight)| Candidate { weight, id }));
        let penalty = self.config.repetition_penalty;
        for token in self.recent.oldest_first() {
            // From the logit itself, so that a token that occurs twice is penalised once.
            if let Some(&x) = logits.get(token as usize) {
                let penalised = if x > 0.0 { x / penalty } else { x * penalty };
                self.candidates[token as usize].weight = if x.is_finite() { penalised.clamp(f32::MIN, f32::MAX) } else { x };
            }
        }
        if logits.iter().all(|&x| x == f32::NEG_INFINITY) {
            return Err(InputError::NoCandidate.into());
        }
        Ok(())
    }

    fn most_likely(&self) -> u32 {
        self.candidates.iter().min_by(|a, b| likelier_first(a, b)).expect("a vocabulary is not empty").id
    }

    fn draw(&mut self) -> u32 {
        self.keep_top_k();
        self.soften();
        self.keep_top_p();
        self.keep_min_p();
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.weight)).sum();
        let mut left = total * self.uniform();
        let mut chosen = None;
        // Rounding may leave something over after the last: it then is the last that can be drawn at all.
        for candidate in self.candidates.iter().filter(|c| c.weight > 0.0) {
            chosen = Some(candidate.id);
            left -= f64::from(candidate.weight);
            if left < 0.0 {
                break;
            }
        }
        chosen.expect("the likeliest token has weight 1")
    }

    /// Before the temperature, which keeps the order: the two commute, and logits are not rounded to equals yet.
    fn keep_top_k(&mut self) {
        let k = self.config.top_k;
        if k > 0 && k < self.candidates.len() {
            self.sort_first(k);
            self.candidates.truncate(k);
        }
    }

    /// Logits become `exp((logit − max) / temperature)`.
    fn soften(&mut self) {
        let max = self.candidates.iter().map(|c| c.weight).fold(f32::NEG_INFINITY, f32::max);
        for candidate in &mut self.candidates {
            candidate.weight = libm::expf((candidate.weight - max) / self.config.temperature);
        }
    }

    fn keep_top_p(&mut self) {
        if self.config.top_p == 1.0 {
            return;
        }
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.weight)).sum();
        let wanted = total * f64::from(self.config.top_p);
        // Few tokens carry most of the mass: sort ever longer prefixes until one has enough of it.
        let mut sorted = 64;
        loop {
            sorted = self.sort_first(sorted);
            let mut mass = 0.0;
            let enough = self.candidates[..sorted].iter().position(|c| {
                mass += f64::from(c.weight);
                mass >= wanted
            });
            if let Some(last) = enough {
                return self.candidates.truncate(last + 1);
            }
            if sorted == self.candidates.len() {
                return;
            }
            sorted *= 8;
        }
    }

    fn keep_min_p(&mut self) {
        if self.config.min_p > 0.0 {
            let least = self.config.min_p * self.candidates.iter().map(|c| c.weight).fold(0.0, f32::max);
            self.candidates.retain(|c| c.weight >= least);
        }
    }

    /// Puts the `n` likeliest candidates first, in order, in O(V + n log n); returns how many there are.
    fn sort_first(&mut self, n: usize) -> usize {
        let n = n.min(self.candidates.len());
        if n < self.candidates.len() {
            self.candidates.select_nth_unstable_by(n, likelier_first);
        }
        self.candidates[..n].sort_unstable_by(likelier_first);
        n
    }

    /// Number `draws` on `[0, 1)`, with all bits of an f64.
    fn uniform(&self) -> f64 {
        let key = [self.config.seed as u32, (self.config.seed >> 32) as u32, self.draws as u32, (self.draws >> 32) as u32];
        let [high, low, ..] = rng::block(key, SITE, 0);
        let word = u64::from(high) << 32 | u64::from(low);
        (word >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The newest tokens, up to a capacity.
#[derive(Clone, Debug)]
struct Ring {
    tokens: Vec<u32>,
    capacity: usize,
    /// Index of the oldest, once full.
    oldest: usize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { tokens: Vec::with_capacity(capacity), capacity, oldest: 0 }
    }

    fn push(&mut self, token: u32) {
        if self.tokens.len() < self.capacity {
            self.tokens.push(token);
        } else if self.capacity > 0 {
            self.tokens[self.oldest] = token;
            self.oldest = (self.oldest + 1) % self.capacity;
        }
    }

    fn clear(&mut self) {
        self.tokens.clear();
        self.oldest = 0;
    }

    fn oldest_first(&self) -> impl Iterator<Item = u32> {
        let (newer, older) = self.tokens.split_at(self.oldest);
        older.iter().chain(newer).copied()
    }
}

#[cfg(test)]
mod tests;
