//! Gradients against finite differences in f64: no formula of the model is trusted here but its own values.

use hh_core::{
    backend::Device,
    config::Config,
    layers::{ChunkShape, DropoutKey, episodic, flow},
    model::{
        self, Acts, Params,
        output::{self, Ids, Output},
    },
    pass::Pass,
    shape::Shape,
    train::{HyperParams, Trainer},
};
use hh_cpu::{Cpu, Indices, Tensor};
use hh_tests::{
    fault::Fault,
    instrumented::Instrumented,
    model::{batch, config, cpu, hyper, kinds, named, trainer, weights, wide},
};

type Wide = Tensor<f64>;

#[test]
fn every_gradient_is_the_slope_of_the_loss() {
    let c = config(r#""segments": 1"#);
    every_weight(&c, &hyper(&c));
    let c =
        config(r#""segments": 1, "layers": 1, "hopfield_kind": "classic", "hopfield_slots": 0, "hopfield_depths": [3], "embed_dim": 5"#);
    every_weight(&c, &hyper(&c));
}

#[test]
fn in_every_architecture_the_gradient_is_a_slope() {
    for (name, c) in kinds() {
        along_lines(&c, &hyper(&c), 9, None).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn dropout_goes_back_through_the_mask_that_it_came_by() {
    dropped_out(None).unwrap();
}

/// A model that drops out at every place where the product does; says where its gradient is no slope.
pub(crate) fn dropped_out(fault: Option<Fault>) -> Result<(), String> {
    let c = config("");
    along_lines(&c, &HyperParams { dropout: 0.3, ..hyper(&c) }, 9, fault)
}

/// Along lines through the space of weights, one for each tensor.
///
/// With several segments the slope is that of the last one: the controller sees what the earlier ones left, unmoved.
pub(crate) fn along_lines(c: &Config, h: &HyperParams, time: usize, fault: Option<Fault>) -> Result<(), String> {
    let c = &Config { segments: 1, ..c.clone() };
    let (mut loss, gradients) = (Loss::new(c, h, time), gradients(c, h, time, fault));
    gradients.iter().enumerate().try_for_each(|(i, (name, gradient))| {
        let slope = loss.slope(2e-5 / (gradient.len() as f64).sqrt(), |p, by| nudge(p, i, by));
        near(name, along(i, gradient), slope, 1e-6 * (gradient.len() as f64).sqrt())
    })
}

/// Along one line, on which all weights move.
pub(crate) fn along_one_line(c: &Config, h: &HyperParams, time: usize) -> Result<(), String> {
    let c = &Config { segments: 1, ..c.clone() };
    let (mut loss, gradients) = (Loss::new(c, h, time), gradients(c, h, time, None));
    let found = gradients.iter().enumerate().map(|(i, (_, gradient))| along(i, gradient)).sum();
    let size: usize = gradients.iter().map(|(_, gradient)| gradient.len()).sum();
    let slope = loss.slope(2e-5 / (size as f64).sqrt(), |p, by| (0..gradients.len()).for_each(|i| nudge(p, i, by)));
    near("all together", found, slope, 1e-6 * (size as f64).sqrt())
}

/// Whether element `j` of tensor `i` goes up or down along a line.
fn direction(i: usize, j: usize) -> f64 {
    if (j * 7 + i).is_multiple_of(3) { 1.0 } else { -1.0 }
}

pub(crate) fn along(i: usize, gradient: &[f64]) -> f64 {
    gradient.iter().enumerate().map(|(j, g)| g * direction(i, j)).sum()
}

pub(crate) fn nudge(p: &mut Params<Wide>, i: usize, by: f64) {
    let leaf = p.leaves_mut().nth(i).expect("a leaf");
    leaf.data_mut().iter_mut().enumerate().for_each(|(j, x)| *x += by * direction(i, j));
}

fn every_weight(c: &Config, h: &HyperParams) {
    let mut loss = Loss::new(c, h, 5);
    for (i, (name, gradient)) in gradients(c, h, 5, None).iter().enumerate() {
        for (j, &found) in gradient.iter().enumerate() {
            let slope = loss.slope(1e-4, |p, by| p.leaves_mut().nth(i).expect("a leaf").data_mut()[j] += by);
            near(&format!("{name}[{j}]"), found, slope, 1e-7).unwrap();
        }
    }
}

pub(crate) fn near(name: &str, found: f64, slope: f64, bound: f64) -> Result<(), String> {
    let error = (found - slope).abs();
    if error < bound + 1e-6 * slope.abs() { Ok(()) } else { Err(format!("{name}: gradient {found:e}, slope {slope:e}")) }
}

/// What the trainer says.
fn gradients(c: &Config, h: &HyperParams, time: usize, fault: Option<Fault>) -> Vec<(String, Vec<f64>)> {
    let [tokens, targets] = batch(c, 4, 2, time);
    let mut trainer: Trainer<Instrumented<f64>> = trainer(Instrumented { fault, ..Instrumented::new(cpu(1)) }, c, h.clone(), 2, time);
    trainer.accumulate(&tokens, &targets).expect("no device to lose");
    named(c, &trainer.train_state().grads)
}

/// What training minimises, computed forwards alone.
struct Loss {
    cpu: Cpu<f64>,
    config: Config,
    hyper: HyperParams,
    weights: Params<Wide>,
    /// The embedding that the flow head aims at: it is seen through a stop-gradient, so it stays where it was.
    goals: Wide,
    tokens: Indices,
    targets: Indices,
    key: Indices,
    acts: Acts<Wide>,
    flow: [flow::Acts<Wide>; 2],
    output: Output<Wide>,
    memory: Option<episodic::State<Wide, Indices>>,
}

impl Loss {
    fn new(c: &Config, h: &HyperParams, time: usize) -> Self {
        let mut b = cpu::<f64>(1);
        let extent = ChunkShape { batch: 2, time, saved: false };
        let mut ids = |shape, numbers: &[u32]| {
            let mut ids = b.alloc_indices(shape).expect("memory");
            b.upload_indices(numbers, &mut ids).expect("no device to lose");
            ids
        };
        let [tokens, targets] = batch(c, 4, 2, time).map(|numbers| ids(Shape::matrix(2, time), &numbers));
        let key = ids(Shape::vector(4), &[h.seed as u32, (h.seed >> 32) as u32, 0, 0]);
        let weights = weights(&mut b, c);
        let acts = Acts::new(&mut b, c, extent).expect("memory");
        let mut flow = [(); 2].map(|()| flow::Acts::new(&mut b, c, extent).expect("memory"));
        flow::draw(&mut b, &key, &mut flow[0]);
        let output = Output::new(&mut b, c, extent).expect("memory");
        let memory = output::memory(&mut b, c, extent, 0).expect("memory");
        let (config, hyper, goals) = (c.clone(), h.clone(), weights.embedding.table.clone());
        Self { cpu: b, config, hyper, weights, goals, tokens, targets, key, acts, flow, output, memory }
    }

    fn total(&mut self) -> f64 {
        let Self { cpu: b, config: c, hyper: h, weights: p, acts, .. } = self;
        let dropout = (h.dropout > 0.0).then_some(DropoutKey { rate: h.dropout, key: &self.key });
        let Ok(()) = model::forward(Pass { dropout, ..Pass::new(b, c) }, p, None, acts, &self.tokens);
        let ids = Ids { tokens: &self.tokens, targets: &self.targets };
        self.output.losses(b, p, self.memory.as_mut(), &acts.hidden, ids);
        let weights = [1.0 - h.smoothing, h.z_weight, h.smoothing].map(f64::from);
        let mut total =
            mean(&wide(&self.output.losses).chunks(3).map(|row| row.iter().zip(weights).map(|(l, w)| l * w).sum()).collect::<Vec<_>>());
        if let (Some(p), [at, d], true) = (&p.flow, &mut self.flow, h.flow_weight > 0.0) {
            flow::forward(b, p, at, d, &acts.hidden, flow::Goal { table: &self.goals, targets: &self.targets, weight: 1.0 });
            total += f64::from(h.flow_weight) * mean(&wide(&at.losses));
        }
        total
    }

    fn slope(&mut self, step: f64, mut nudge: impl FnMut(&mut Params<Wide>, f64)) -> f64 {
        slope(step, |by| {
            nudge(&mut self.weights, by);
            self.total()
        })
    }
}

/// `(8 (L(w + h v) − L(w − h v)) − (L(w + 2h v) − L(w − 2h v))) / 12h`: the error is of order h⁴. `after` is the loss after a move
/// by so much along the line; the last move leads back.
pub(crate) fn slope(step: f64, mut after: impl FnMut(f64) -> f64) -> f64 {
    let mut at = |from: f64, to: f64| after((to - from) * step);
    let [up, up2, down2, down] = [at(0.0, 1.0), at(1.0, 2.0), at(2.0, -2.0), at(-2.0, -1.0)];
    at(-1.0, 0.0);
    (8.0 * (up - down) - (up2 - down2)) / (12.0 * step)
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}
