//! A text may be cut anywhere: what a session remembers is all that the past can say.

use hh_core::{
    backend::Forward,
    config::Config,
    model::Model,
    session::{Options, Session},
    state::Snapshot,
};
use hh_tests::{
    compare::distance,
    kernels::math::unit,
    model::{Numbers, cpu, hidden, kinds, model, text, wide},
};

const TIME: usize = 13;
const BATCH: usize = 2;
/// Cuts after each position.
pub(crate) const EVERYWHERE: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, TIME];

#[test]
fn a_text_cut_anywhere_is_the_whole_text() {
    for (name, c) in kinds() {
        check(|| cpu::<f64>(1), || cpu::<f64>(1), &c, 64, EVERYWHERE, 1e-11).unwrap_or_else(|e| panic!("{name}, f64: {e}"));
        check(|| cpu::<f32>(1), || cpu::<f32>(1), &c, 64, EVERYWHERE, 1e-4).unwrap_or_else(|e| panic!("{name}, f32: {e}"));
    }
}

/// A session that holds fewer positions than the text has is the model with windows of that many.
#[test]
fn a_session_that_forgets_is_a_model_with_windows() {
    for (name, c) in kinds() {
        for context in [1, 3, 5] {
            let cpu = || cpu::<f64>(1);
            check(cpu, cpu, &c, context, EVERYWHERE, 1e-11).unwrap_or_else(|e| panic!("{name}, context {context}: {e}"));
        }
    }
}

/// The configuration whose windows are no wider than a session's context.
fn narrowed(c: &Config, context: usize) -> Config {
    let narrow = |window: usize| if window == 0 { context } else { window.min(context) };
    Config { attention_window: narrow(c.attention_window), hopfield_window: narrow(c.hopfield_window), ..c.clone() }
}

/// Compares ways of going through a text on one machine with all of it at once on another; says what differs.
pub(crate) fn check<S: Forward<Tensor: Numbers>, B: Forward<Tensor = S::Tensor>>(
    sound: impl Fn() -> S,
    make: impl Fn() -> B,
    c: &Config,
    context: usize,
    cuts: &[usize],
    bound: f64,
) -> Result<(), String> {
    let model = model(&mut sound(), c);
    let tokens = text(c, 8, BATCH * TIME);
    let whole = Whole::new(sound(), c, context, &tokens);
    for &cut in cuts {
        for chunk in [1, 2, 8] {
            let options = Options { batch: BATCH, context, segments: None, chunk, episodes: None };
            let session = || Session::new(make(), &model, options).expect("a session");
            let mut first = session();
            whole.compare(&mut first, 0..cut, bound).map_err(|e| format!("up to {cut} in chunks of {chunk}: {e}"))?;
            let bytes = first.snapshot().expect("no device to lose").to_bytes();
            whole.compare(&mut first, cut..TIME, bound).map_err(|e| format!("on from {cut} in chunks of {chunk}: {e}"))?;

            // A saved state is f32, whatever the backend computes in.
            let bound = bound.max(1e-5);
            let snapshot = Snapshot::from_bytes(&bytes).expect("what was just written");
            let mut second = session();
            second.restore(&snapshot).expect("a state of the same model");
            whole.compare(&mut second, cut..TIME, bound).map_err(|e| format!("restored at {cut}, in chunks of {chunk}: {e}"))?;
            second.restore(&snapshot).expect("a state of the same model");
            whole.compare(&mut second, cut..TIME, bound).map_err(|e| format!("rolled back to {cut}, in chunks of {chunk}: {e}"))?;
        }
    }
    Ok(())
}

/// A text with the hidden states and logits that it has at once.
struct Whole<'a> {
    tokens: &'a [u32],
    hidden: Vec<f64>,
    table: Vec<f64>,
    down: Option<Vec<f64>>,
    width: usize,
    episodic: Option<Plain>,
}

impl<'a> Whole<'a> {
    fn new<B: Forward<Tensor: Numbers>>(mut b: B, c: &Config, context: usize, tokens: &'a [u32]) -> Self {
        let narrow = hh_tests::model::model(&mut b, &narrowed(c, context));
        let down = narrow.params.embedding.factors.as_ref().map(|[_, down]| wide(down));
        let table = wide(&narrow.params.embedding.table);
        let episodic = narrow.params.episodic.as_ref().map(|p| Plain::new(p, c.episodic_window));
        Self { tokens, hidden: hidden(&mut b, &narrow, tokens, BATCH), table, down, width: c.width, episodic }
    }

    /// Runs positions `range` of both rows: every hidden state, then the logits of the last one.
    fn compare<B: Forward, M>(&self, session: &mut Session<B, M>, range: std::ops::Range<usize>, bound: f64) -> Result<(), String>
    where
        M: std::ops::Deref<Target = Model<B::Tensor>>,
    {
        if range.is_empty() {
            return Ok(());
        }
        let before = session.snapshot().expect("no device to lose");
        let rows: Vec<u32> = self.tokens.chunks(TIME).flat_map(|row| &row[range.clone()]).copied().collect();
        let mut at = range.start;
        let mut far: Vec<(usize, f64)> = Vec::new();
        session
            .hidden(&rows, |chunk| {
                let n = chunk.len() / (BATCH * self.width);
                for (row, found) in chunk.chunks(n * self.width).enumerate() {
                    for (i, found) in found.chunks(self.width).enumerate() {
                        let found: Vec<f64> = found.iter().map(|&x| x.into()).collect();
                        far.push((at + i, distance(&found, self.state(row, at + i), 1e-3)));
                    }
                }
                at += n;
            })
            .expect("ids of the vocabulary");
        // The host gets f32.
        let bound = bound.max(2e-7);
        if let Some((t, d)) = far.iter().find(|(_, d)| *d > bound) {
            return Err(format!("the state of position {t} is off by {d:.1e}"));
        }
        if session.snapshot().expect("no device to lose").position() != range.end as u64 {
            return Err("the session counts other positions".into());
        }
        session.restore(&before).expect("its own state");
        let logits: Vec<f64> = session.prefill(&rows).expect("ids of the vocabulary").iter().map(|&x| x.into()).collect();
        let wanted: Vec<f64> = (0..BATCH).flat_map(|row| self.logits(row, range.end - 1)).collect();
        let d = distance(&logits, &wanted, 1e-3);
        if d > bound.max(1e-5) { Err(format!("the logits are off by {d:.1e}")) } else { Ok(()) }
    }

    fn state(&self, row: usize, t: usize) -> &[f64] {
        &self.hidden[(row * TIME + t) * self.width..][..self.width]
    }

    /// What a session gives after position `t`: logits, or log-probabilities where there is an episodic memory.
    fn logits(&self, row: usize, t: usize) -> Vec<f64> {
        let hidden = self.state(row, t);
        let logits = match &self.down {
            Some(down) => products(&products(hidden, down), &self.table),
            None => products(hidden, &self.table),
        };
        let Some(episodic) = &self.episodic else { return logits };
        let states: Vec<&[f64]> = (0..=t).map(|t| self.state(row, t)).collect();
        episodic.log_probs(&states, &self.tokens[row * TIME..][..=t], &logits)
    }
}

fn products(x: &[f64], w: &[f64]) -> Vec<f64> {
    w.chunks(x.len()).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

/// The episodic memory in plain loops.
pub(crate) struct Plain {
    key: Vec<f64>,
    gate: Vec<f64>,
    beta: f64,
    match_weight: f64,
    gate_bias: f64,
    window: usize,
}

impl Plain {
    pub(crate) fn new<T: Numbers>(p: &hh_core::layers::episodic::Params<T>, window: usize) -> Self {
        let one = |t: &T| wide(t)[0];
        Self {
            key: wide(&p.key),
            gate: wide(&p.gate),
            beta: one(&p.log_beta).exp(),
            match_weight: one(&p.match_weight),
            gate_bias: one(&p.gate_bias),
            window,
        }
    }

    /// The distribution after the last of these states; `tokens` were read at them.
    pub(crate) fn log_probs(&self, states: &[&[f64]], tokens: &[u32], logits: &[f64]) -> Vec<f64> {
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        let mut p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
        let (newest, t) = (states[states.len() - 1], states.len() - 1);
        let keys: Vec<Vec<f64>> = states.iter().map(|h| unit(&products(h, &self.key))).collect();
        let first = if self.window == 0 { 0 } else { t.saturating_sub(self.window) };
        let scores: Vec<f64> = (first..t).map(|j| products(&keys[t], &keys[j])[0]).collect();
        if let Some(best) = scores.iter().copied().reduce(f64::max) {
            let z = products(newest, &self.gate)[0] + self.match_weight * best + self.gate_bias;
            let g = 1.0 / (1.0 + (-z).exp());
            let total: f64 = scores.iter().map(|s| (self.beta * s).exp()).sum();
            p.iter_mut().for_each(|p| *p *= 1.0 - g);
            for (j, s) in (first..t).zip(&scores) {
                p[tokens[j + 1] as usize] += g * (self.beta * s).exp() / total;
            }
        }
        p.into_iter().map(f64::ln).collect()
    }
}
