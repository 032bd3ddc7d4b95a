//! Text vectors: the objectives against their formulas, written down here once more over texts that run alone, and their
//! gradients against finite differences.

use crate::differences::{along, near, nudge, slope};
use hh_core::{
    backend::Backward,
    config::Config,
    embed::Pooling,
    model::Model,
    train::{
        EmbeddingWorkspace, HyperParams, Trainer,
        embedding::{Goal, Options, Texts},
    },
};
use hh_cpu::{Cpu, Tensor};
#[cfg(feature = "cuda")]
use hh_tests::compare::{all_within, distance};
use hh_tests::{
    fault::Fault,
    instrumented::Instrumented,
    kernels::math::inner,
    model::{Numbers, config, cpu, hidden, hyper, model, named, text, weights},
};

/// Texts of many lengths, and how their vectors are trained.
pub(crate) struct Case {
    config: Config,
    options: Options,
    texts: Vec<Vec<u32>>,
    candidates: Vec<Vec<u32>>,
    teacher: Vec<f32>,
}

const LENGTHS: [usize; 6] = [5, 1, 9, 3, 12, 2];
const TEMPERATURE: f64 = 0.25;
const PAIRS: f64 = 3.0;

fn texts(c: &Config, seed: u32, count: usize) -> Vec<Vec<u32>> {
    (0..count).map(|i| text(c, seed + i as u32, LENGTHS[(i + seed as usize) % LENGTHS.len()])).collect()
}

fn options(goal: Goal, pooling: Pooling) -> Options {
    Options { goal, pooling, dims: vec![4, 2], texts: 6, time: 12, at_once: 1000 }
}

/// Texts with a partner and one further candidate each.
pub(crate) fn contrast() -> Case {
    let config = config(r#""pooled_dim": 7, "segments": 1"#);
    let goal = Goal::Contrast { temperature: TEMPERATURE as f32, candidates: 2 };
    let (texts, candidates) = (texts(&config, 1, 6), texts(&config, 40, 12));
    Case { options: options(goal, Pooling::Weighted), texts, candidates, teacher: vec![], config }
}

fn distil(changes: &str, pooling: Pooling) -> Case {
    let config = config(changes);
    let teacher = (0..6 * config.vector_dim()).map(|i| ((i * 37) % 17) as f32 / 8.0 - 1.0).collect();
    let texts = texts(&config, 1, 6);
    Case { options: options(Goal::Distill { pairs: PAIRS as f32 }, pooling), texts, candidates: vec![], teacher, config }
}

fn cases() -> [Case; 3] {
    // Blocks of the last are alike, so that one of them can be overwritten by the other.
    let alike = r#""segments": 1, "hopfield_depths": [2, 2]"#;
    [contrast(), distil(r#""pooled_dim": 7, "segments": 1"#, Pooling::Mean), distil(alike, Pooling::Last)]
}

fn silent(c: &Config) -> HyperParams {
    HyperParams { flow_weight: 0.0, ..hyper(c) }
}

fn trainer(case: &Case, h: HyperParams, fault: Option<Fault>) -> Trainer<Instrumented<f64>, EmbeddingWorkspace<Instrumented<f64>>> {
    let mut b = Instrumented { fault, ..Instrumented::new(cpu(1)) };
    let weights = weights(&mut b, &case.config);
    Trainer::for_vectors(b, case.config.clone(), h, weights, case.options.clone()).unwrap()
}

impl Case {
    fn batch(&self) -> Texts<'_> {
        Texts { texts: &self.texts, candidates: &self.candidates, teacher: &self.teacher }
    }

    /// What is minimised, from texts that run alone; then the parts of it that [`Trainer::losses`] names: nll, cosine, pairs.
    fn loss(&self, b: &mut Cpu<f64>, m: &Model<Tensor<f64>>) -> (f64, [f64; 3]) {
        let left: Vec<_> = self.texts.iter().map(|ids| self.vector(b, m, ids)).collect();
        let right: Vec<_> = self.candidates.iter().map(|ids| self.vector(b, m, ids)).collect();
        let whole = self.config.vector_dim();
        let teacher: Vec<Vec<f64>> = self.teacher.chunks(whole).map(|row| row.iter().map(|&x| x.into()).collect()).collect();
        let n = left.len() as f64;
        let mut parts = [0.0; 3];
        for m in [whole, 4, 2] {
            if teacher.is_empty() {
                for (i, x) in left.iter().enumerate() {
                    let logits: Vec<f64> = right.iter().map(|y| cosine(&x[..m], &y[..m]) / TEMPERATURE).collect();
                    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
                    parts[0] += (sum.ln() - logits[i]) / n / 3.0;
                }
            } else {
                for (x, t) in left.iter().zip(&teacher) {
                    for (y, u) in left.iter().zip(&teacher) {
                        parts[2] += (cosine(&x[..m], &y[..m]) - cosine(t, u)).powi(2) / n / n / 3.0;
                    }
                }
            }
        }
        parts[1] = left.iter().zip(&teacher).map(|(x, t)| 1.0 - cosine(x, t)).sum::<f64>() / n;
        (parts[0] + parts[1] + PAIRS * parts[2], parts)
    }

    fn vector(&self, b: &mut Cpu<f64>, m: &Model<Tensor<f64>>, ids: &[u32]) -> Vec<f64> {
        let (d, n) = (m.config.width, ids.len());
        let states = hidden(b, m, ids, 1);
        let mut pooled = vec![0.0; d];
        for (t, row) in states.chunks(d).enumerate() {
            let weight = match self.options.pooling {
                Pooling::Mean => 1.0 / n as f64,
                Pooling::Last => f64::from(u8::from(t + 1 == n)),
                Pooling::Weighted => (t + 1) as f64 / (n * (n + 1) / 2) as f64,
            };
            pooled.iter_mut().zip(row).for_each(|(p, x)| *p += weight * x);
        }
        match &m.params.pooled {
            Some(w) => w.data().chunks(d).map(|row| inner(row, &pooled)).collect(),
            None => pooled,
        }
    }
}

fn cosine(x: &[f64], y: &[f64]) -> f64 {
    inner(x, y) / (inner(x, x) * inner(y, y)).sqrt()
}

/// Along lines through the space of weights, one for each tensor.
pub(crate) fn gradients_are_slopes(case: &Case, fault: Option<Fault>) -> Result<(), String> {
    let mut trainer = trainer(case, silent(&case.config), fault);
    trainer.accumulate(case.batch()).unwrap();
    let mut b = cpu::<f64>(1);
    let mut at = model(&mut b, &case.config);
    named(&case.config, &trainer.train_state().grads).iter().enumerate().try_for_each(|(i, (name, gradient))| {
        let slope = slope(2e-5 / (gradient.len() as f64).sqrt(), |by| {
            nudge(&mut at.params, i, by);
            case.loss(&mut b, &at).0
        });
        near(name, along(i, gradient), slope, 1e-6 * (gradient.len() as f64).sqrt())
    })
}

#[test]
fn every_gradient_is_the_slope_of_the_loss_of_texts_that_run_alone() {
    for case in cases() {
        gradients_are_slopes(&case, None).unwrap();
    }
}

#[test]
fn losses_are_those_of_texts_that_run_alone() {
    for case in cases() {
        let mut b = cpu::<f64>(1);
        let at = model(&mut b, &case.config);
        let (_, wanted) = case.loss(&mut b, &at);
        let mut trainer = trainer(&case, silent(&case.config), None);
        trainer.accumulate(case.batch()).unwrap();
        let found = trainer.losses().unwrap();
        assert_eq!(found, trainer.evaluate(false, case.batch()).unwrap());
        assert_eq!(found, trainer.evaluate(true, case.batch()).unwrap());
        for (found, wanted) in [found.nll, found.cosine, found.pairs].into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted), "{found} {wanted}");
        }
    }
}

/// Gradients with these many tokens at once and this dropout.
fn gradients(case: &Case, at_once: usize, dropout: f32) -> Vec<Vec<f64>> {
    let case = Case {
        options: Options { at_once, ..case.options.clone() },
        config: case.config.clone(),
        texts: case.texts.clone(),
        candidates: case.candidates.clone(),
        teacher: case.teacher.clone(),
    };
    let mut trainer = trainer(&case, HyperParams { dropout, ..silent(&case.config) }, None);
    trainer.accumulate(case.batch()).unwrap();
    named(&case.config, &trainer.train_state().grads).into_iter().map(|(_, g)| g).collect()
}

#[test]
fn a_batch_in_parts_has_the_gradient_of_the_whole() {
    for case in cases() {
        let whole = gradients(&case, 1000, 0.0);
        for at_once in [1, 30, 50] {
            for (found, wanted) in gradients(&case, at_once, 0.0).iter().flatten().zip(whole.iter().flatten()) {
                assert!((found - wanted).abs() < 1e-12 + 1e-9 * wanted.abs(), "{found} {wanted}");
            }
        }
    }
}

#[test]
fn a_part_that_goes_through_again_drops_out_what_it_dropped_before() {
    let case = contrast();
    let h = HyperParams { dropout: 0.3, ..silent(&case.config) };
    let case = Case { options: Options { at_once: 30, ..case.options }, ..case };
    let mut first = trainer(&case, h.clone(), None);
    first.accumulate(case.batch()).unwrap();
    let grads = named(&case.config, &first.train_state().grads);
    let found: f64 = grads.iter().enumerate().map(|(i, (_, g))| along(i, g)).sum();
    let loss = |by: f64| {
        let mut moved = trainer(&case, h.clone(), None);
        let (_, train_state) = moved.train_state_mut();
        (0..grads.len()).for_each(|i| nudge(&mut train_state.weights, i, by));
        moved.accumulate(case.batch()).unwrap();
        moved.losses().unwrap().nll
    };
    let step = 1e-4;
    let slope = (loss(step) - loss(-step)) / (2.0 * step);
    // Losses come back in 32 bits.
    assert!((found - slope).abs() < 1e-2 * slope.abs() + 2e-3, "gradient {found}, slope {slope}");
}

/// Gradients on a device, with dropout.
fn gradients_on<B: Backward<Tensor: Numbers>>(mut b: B, case: &Case, recompute: bool) -> Vec<(String, Vec<f64>)> {
    let weights = weights(&mut b, &case.config);
    let h = HyperParams { dropout: 0.3, recompute, ..silent(&case.config) };
    let mut trainer = Trainer::for_vectors(b, case.config.clone(), h, weights, case.options.clone()).unwrap();
    trainer.accumulate(case.batch()).unwrap();
    named(&case.config, &trainer.train_state().grads)
}

#[test]
fn recomputing_changes_no_bit() {
    for case in cases() {
        let [kept, anew] = [false, true].map(|recompute| gradients_on(cpu::<f32>(1), &case, recompute));
        assert!(kept == anew);
    }
}

/// Every objective on a device that `make` makes, against the processor in f64.
#[cfg(feature = "cuda")]
pub(crate) fn agrees<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, bound: f64) -> Result<(), String> {
    cases().iter().try_for_each(|case| {
        let (found, wanted) = (gradients_on(make(), case, false), gradients_on(cpu::<f64>(1), case, false));
        let far = found.into_iter().zip(wanted).map(|((name, found), (_, wanted))| (name, distance(&found, &wanted, 1e-3)));
        all_within(bound, far.collect())
    })
}

/// Every number that comes of some steps of each objective, in parts of several lengths, with a validation after each.
#[cfg(feature = "cuda")]
pub(crate) fn trained<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, mut after: impl FnMut(B)) -> Vec<Vec<f64>> {
    let mut all = Vec::new();
    for case in cases() {
        let mut b = make();
        let case = Case { options: Options { at_once: 30, ..case.options }, ..case };
        let (h, weights) = (HyperParams { dropout: 0.3, ..silent(&case.config) }, weights(&mut b, &case.config));
        let mut trainer = Trainer::for_vectors(b, case.config.clone(), h, weights, case.options.clone()).unwrap();
        for step in 0..4 {
            trainer.accumulate(case.batch()).unwrap();
            let learned = trainer.losses().unwrap();
            trainer.apply().unwrap();
            let [now, average] = [false, true].map(|average| trainer.evaluate(average, case.batch()).unwrap());
            assert!(step == 0 || now != average, "the average is of other weights");
            all.extend([learned, now, average].map(|l| vec![l.nll, l.cosine, l.pairs]));
        }
        all.extend(named(&case.config, &trainer.train_state().weights).into_iter().map(|(_, numbers)| numbers));
        after(trainer.backend);
    }
    all
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let case = contrast();
    let mut trainer = trainer(&case, silent(&case.config), None);
    let mut refuse = |batch: Texts<'_>, word: &str| {
        let message = trainer.accumulate(batch).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    };
    refuse(Texts { texts: &case.texts[1..], ..case.batch() }, "5 texts");
    refuse(Texts { candidates: &case.texts, ..case.batch() }, "6 candidates");
    refuse(Texts { teacher: &[1.0], ..case.batch() }, "1 numbers of a teacher");
    let mut texts = case.texts.clone();
    texts[2] = vec![];
    refuse(Texts { texts: &texts, ..case.batch() }, "without tokens");
    texts[2] = vec![99];
    refuse(Texts { texts: &texts, ..case.batch() }, "token 99");
}
