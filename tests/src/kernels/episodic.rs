//! The episodic memory: what it says of given targets, from the chunk's own items and from a ring that went before; and its
//! distribution over all tokens.

use super::prelude::*;
use hh_core::{
    backend::Precision,
    ops::{EpisodicGrad, EpisodicItems, EpisodicStore, IGNORE, UNKNOWN},
};

/// [`ops::EpisodicStore`] and, of the same chunk, [`ops::Episodic`].
#[derive(Clone, Copy, Debug)]
pub struct Episodic {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `m`
    pub width: usize,
    /// How many items a position sees; 0 means all.
    pub window: usize,
    /// Rows of the ring of a stream.
    pub rows: usize,
}

/// Ids that a sequence is made of: few, so that many items have the target.
const IDS: usize = 5;

impl Episodic {
    fn new(size: [usize; 2], width: usize, window: usize) -> Self {
        // A chunk may be the whole sequence, and all that it sees must fit beside it.
        Self { size, width, window, rows: size[1] + window + 1 }
    }

    fn rows(&self, width: usize) -> Shape {
        Shape::cube(self.size[0], self.size[1], width)
    }

    fn ids(&self, salt: usize) -> Vec<f32> {
        (0..self.size[0] * self.size[1]).map(|i| ((i * i + salt * i / 3) % IDS) as f32).collect()
    }

    /// Runs a kernel on the chunk, stored in a ring that the state has or that begins with it.
    fn run<B: Testable, R>(
        d: &mut Desk<B>,
        x: &[Held<B::Tensor>],
        window: usize,
        state: Option<(&mut [B::Tensor], &B::Indices)>,
        kernel: impl FnOnce(&mut Desk<B>, ops::Episodic<B::Tensor, B::Indices>, &B::Tensor) -> R,
    ) -> R {
        let [keys, gate, log_beta, match_weight, tokens, targets] = all(x);
        let [batch, time, width] = keys.whole().shape().extents();
        let [tokens, targets] = [tokens, targets].map(|ids| {
            let ids: Vec<u32> = ids.read().0.into_iter().map(|id| if id == f64::from(UNKNOWN) { IGNORE } else { id as u32 }).collect();
            d.indices(Shape::matrix(batch, time), &ids)
        });
        let own = [Shape::cube(batch, time, width), Shape::matrix(batch, time)];
        let mut own = own.map(|shape| d.tensor(shape, Precision::Full, &vec![f32::NAN; shape.count()]));
        let (ring, clock) = state.map_or((&mut own[..], None), |(ring, clock)| (ring, Some(clock)));
        let [ring_keys, ring_tokens] = all_mut(ring);
        d.b.episodic_store(EpisodicStore { keys: keys.whole(), tokens: &tokens, clock }, ring_keys, ring_tokens);
        let (items, targets) = (EpisodicItems { keys: ring_keys, tokens: ring_tokens }, &targets);
        let (gate, log_beta, match_weight) = (gate.whole(), log_beta.whole(), match_weight.whole());
        kernel(d, ops::Episodic { items, gate, log_beta, match_weight, targets, clock, window }, keys.whole())
    }
}

/// Items of one sequence, by number.
struct Items<'a> {
    keys: Vec<&'a [f64]>,
    tokens: Vec<f64>,
}

impl Items<'_> {
    /// Of the items `from ..` with a query: scores, best score, and for each token the weight of its items.
    fn look_up(&self, query: &[f64], range: std::ops::Range<usize>, beta: f64) -> (Vec<f64>, f64, impl Fn(f64) -> f64) {
        let scores: Vec<f64> = range.clone().map(|j| inner(query, self.keys[j])).collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let scaled: Vec<f64> = scores.iter().map(|s| beta * (s - best)).collect();
        let weights = softmax(&scaled);
        let tokens = self.tokens[range].to_vec();
        let of = weights.clone();
        (weights, best, move |token| of.iter().zip(&tokens).filter(|(_, t)| **t == token).map(|(w, _)| w).sum())
    }
}

fn log_sigmoid(x: f64) -> f64 {
    -(-x).exp().ln_1p()
}

impl Case for Episodic {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [0, 1, 5].map(|window| Self::new(size, 3, window))).collect()
    }
    fn large() -> Vec<Self> {
        let of = |(size, width)| [0, 1, 7, 100].map(|window| Self::new(size, width, window));
        [([2, 63], 1), ([1, 64], 17), ([3, 129], 64), ([1, 500], 33)].into_iter().flat_map(of).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self::new([8, 256], 64, 0)]
    }
    fn tolerance(&self) -> f64 {
        1e-5
    }
    fn inputs(&self) -> Vec<Input> {
        let targets = self.ids(4).into_iter().enumerate().map(|(i, id)| if i % 7 == 3 { UNKNOWN } else { id }).collect();
        let ids = |name, values| Input { timed: true, ..Input::full(name, self.rows(1)).with(values) };
        let activation = |name, width| Input { precision: Precision::Full, ..Input::activation(name, self.rows(width)) };
        vec![
            activation("keys", self.width),
            activation("gate", 1),
            Input::parameter("log_beta", Shape::vector(1)).with(vec![1.25]),
            Input::parameter("match_weight", Shape::vector(1)).with(vec![-0.75]),
            ids("tokens", self.ids(1)),
            ids("targets", targets),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::full("mixture", self.rows(2))]
    }
    fn state(&self) -> Vec<Shape> {
        vec![Shape::cube(self.size[0], self.rows, self.width), Shape::matrix(self.size[0], self.rows)]
    }
    fn is_ring(&self, _: usize) -> bool {
        true
    }
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>> {
        let ([_, time], m) = (self.size, self.width);
        let clock = state.as_ref().map_or(0, |s| s.clock);
        let rows = if state.is_some() { self.rows } else { time };
        let units: Vec<Vec<f64>> = x[0].chunks_exact(m).map(unit).collect();
        let mut y = vec![];
        let mut after = state;
        for (b, units) in units.chunks_exact(time).enumerate() {
            let (tokens, targets) = (&x[4][b * time..][..time], &x[5][b * time..][..time]);
            let before = after.as_ref().map(|s| s.tensors.clone());
            let items = Items {
                keys: (0..clock + time)
                    .map(|j| match (j.checked_sub(clock), &before) {
                        (Some(t), _) => &units[t][..],
                        (None, Some(before)) => &before[0][(b * rows + j % rows) * m..][..m],
                        (None, None) => unreachable!("nothing came before"),
                    })
                    .collect(),
                tokens: (0..clock + time)
                    .map(|j| match ((j + 1).checked_sub(clock), &before) {
                        (Some(0), Some(before)) if before[1][b * rows + j % rows] != f64::from(UNKNOWN) => before[1][b * rows + j % rows],
                        (Some(t), _) => tokens.get(t).copied().unwrap_or(f64::from(UNKNOWN)),
                        (None, before) => before.as_ref().expect("a state")[1][b * rows + j % rows],
                    })
                    .collect(),
            };
            for t in 0..time {
                let end = clock + t;
                let oldest = (clock + time).saturating_sub(rows);
                let first = if self.window == 0 { 0 } else { end.saturating_sub(self.window) }.max(oldest).min(end);
                if first == end {
                    y.extend([0.0, -1e30]);
                    continue;
                }
                let (_, best, of_token) = items.look_up(&units[t], first..end, x[2][0].exp());
                let z = x[1][b * time + t] + x[3][0] * best;
                let matched = if targets[t] == f64::from(UNKNOWN) { 0.0 } else { of_token(targets[t]) };
                y.extend([log_sigmoid(-z), log_sigmoid(z) + matched.max(1e-30).ln()]);
            }
            if let Some(state) = &mut after {
                for j in (clock + time).saturating_sub(rows).max(clock.saturating_sub(1))..clock + time {
                    if j >= clock {
                        state.tensors[0][(b * rows + j % rows) * m..][..m].copy_from_slice(items.keys[j]);
                    }
                    state.tensors[1][b * rows + j % rows] = items.tokens[j];
                }
            }
        }
        vec![y]
    }
    /// Without the logarithms of nothing, beside which all else would have no digits.
    fn objective(&self, _: &[Vec<f64>], y: &[Vec<f64>], dy: &[f64]) -> f64 {
        y[0].iter().zip(dy).filter(|(y, _)| **y > -1e29).map(|(y, dy)| y * dy).sum()
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let (state, _) = mode.split();
        Self::run(d, x, self.window, state, |d, op, _| d.b.episodic(op, y[0].whole_mut()));
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [keys, gate, log_beta, match_weight] = all_mut(grads);
        let grad = EpisodicGrad {
            keys: keys.whole_mut(),
            gate: gate.whole_mut(),
            log_beta: log_beta.whole_mut(),
            match_weight: match_weight.whole_mut(),
        };
        Self::run(d, x, self.window, None, |d, op, keys| d.b.episodic_grad(op, keys, done.dy.whole(), grad));
    }
}

/// See [`ops::EpisodicLogProbs`].
#[derive(Clone, Copy, Debug)]
pub struct EpisodicLogProbs {
    /// `B`
    pub batch: usize,
    /// `m`
    pub width: usize,
    /// `R`
    pub rows: usize,
    /// `V`
    pub vocab: usize,
    /// Positions that the ring has seen.
    pub clock: usize,
    /// How many items are seen; 0 means all.
    pub window: usize,
}

impl EpisodicLogProbs {
    /// Items that the newest position sees.
    fn seen(&self) -> std::ops::Range<usize> {
        let newest = self.clock - 1;
        let first = if self.window == 0 { 0 } else { newest.saturating_sub(self.window) };
        first.max(self.clock.saturating_sub(self.rows)).min(newest)..newest
    }
}

impl Case for EpisodicLogProbs {
    fn cases() -> Vec<Self> {
        let of = |(batch, rows, clock, window)| Self { batch, width: 3, rows, vocab: 9, clock, window };
        [(1, 4, 1, 0), (2, 5, 3, 0), (2, 5, 5, 2), (3, 5, 6, 0), (1, 7, 23, 0), (2, 7, 23, 4), (1, 1, 9, 0)].map(of).into()
    }
    fn large() -> Vec<Self> {
        let of = |(batch, width, rows, vocab, clock)| Self { batch, width, rows, vocab, clock, window: 0 };
        [(1, 64, 300, 65, 300), (2, 33, 257, 1000, 1000), (1, 65, 70, 3, 71)].map(of).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self { batch: 1, width: 64, rows: 4097, vocab: 65, clock: 4097, window: 0 }]
    }
    fn tolerance(&self) -> f64 {
        1e-5
    }
    fn inputs(&self) -> Vec<Input> {
        let tokens = (0..self.batch * self.rows).map(|i| ((i * 5 + i / 3) % (self.vocab - 1)) as f32).collect();
        vec![
            Input::full("keys", Shape::cube(self.batch, self.rows, self.width)),
            Input::full("tokens", Shape::matrix(self.batch, self.rows)).with(tokens),
            Input::full("gate", Shape::cube(self.batch, 1, 1)),
            Input::full("log_beta", Shape::vector(1)).with(vec![1.25]),
            Input::full("match_weight", Shape::vector(1)).with(vec![0.75]),
            Input::full("logits", Shape::cube(self.batch, 1, self.vocab)),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::full("logits", Shape::cube(self.batch, 1, self.vocab)), Output::full("weights", Shape::matrix(self.batch, self.rows))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let (mut y, mut all) = (vec![], vec![]);
        for b in 0..self.batch {
            let at = |j: usize| b * self.rows + j % self.rows;
            let items = Items {
                keys: (0..self.clock).map(|j| &x[0][at(j) * self.width..][..self.width]).collect(),
                tokens: (0..self.clock).map(|j| x[1][at(j)]).collect(),
            };
            let (range, mut weights) = (self.seen(), vec![0.0; self.rows]);
            let own = softmax(&x[5][b * self.vocab..][..self.vocab]);
            if range.is_empty() {
                y.extend(own.iter().map(|p| p.ln()));
            } else {
                let (found, best, of_token) = items.look_up(items.keys[self.clock - 1], range.clone(), x[3][0].exp());
                let g = sigmoid(x[2][b] + x[4][0] * best);
                y.extend(own.iter().enumerate().map(|(v, p)| ((1.0 - g) * p + g * of_token(v as f64)).ln()));
                range.zip(found).for_each(|(j, w)| weights[j % self.rows] = w);
            }
            all.extend(weights);
        }
        vec![y, all]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let ([keys, tokens, gate, log_beta, match_weight, logits], [to, weights]) = (all(x), all_mut(y));
        start_from(d, logits, to);
        let (clock, items) = (d.clock(self.clock as u32), EpisodicItems { keys: keys.whole(), tokens: tokens.whole() });
        let (gate, log_beta, match_weight) = (gate.whole(), log_beta.whole(), match_weight.whole());
        let op = ops::EpisodicLogProbs { items, gate, log_beta, match_weight, clock: &clock, window: self.window };
        d.b.episodic_log_probs(op, weights.whole_mut(), to.whole_mut());
    }
}
