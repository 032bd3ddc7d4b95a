//! Rectified-flow head: a regulariser of training that is not needed to run the model.
//!
//! From the hidden state it must tell in which direction the next token's embedding lies, seen from a point on the
//! straight path between noise and that embedding (Liu et al. 2022).

use super::{ChunkShape, WithGrad, tree::tree};
use crate::{
    backend::{Backward, Device},
    config::Config,
    ops::*,
    shape::Shape,
};

/// First site of the draws of this head; dropout stays below.
const SITE: u32 = 1 << 31;

tree! {
    /// Weights of the head.
    pub struct Params(c: &Config; leaf; r = c.flow_hidden) {
        /// `[R, E]`
        point: T as leaf = leaf("flow.point.weight", Shape::matrix(r, c.embed_dim))?,
        /// `[R, D]`
        context: T as leaf = leaf("flow.context.weight", Shape::matrix(r, c.width))?,
        /// `[R]`
        time: T as leaf = leaf("flow.time.weight", Shape::vector(r))?,
        /// `[R]`
        bias: T as leaf = leaf("flow.bias", Shape::vector(r))?,
        /// `[E, R]`
        out: T as leaf = leaf("flow.out.weight", Shape::matrix(c.embed_dim, r))?,
    }
}

/// Activations of the head.
pub struct Acts<T> {
    /// `[B, T, E]`, standard normal
    pub noise: T,
    /// `[B, T, 1]`: τ
    pub time: T,
    /// `[B, T, E]`: (1 − τ) noise + τ x₁
    pub point: T,
    /// `[B, T, E]`: x₁ − noise
    pub goal: T,
    /// `[B, T, R]`: W_point point
    pub from_point: T,
    /// `[B, T, R]`: the same with context and bias
    pub inp: T,
    /// `[B, T, R]`
    pub hidden: T,
    /// `[B, T, E]`: v
    pub velocity: T,
    /// `[B, T, 1]`: mean squared error of each row
    pub losses: T,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        let (e, r) = (c.embed_dim, c.flow_hidden);
        Ok(Self {
            noise: x.alloc(b, e)?,
            time: x.full(b, 1)?,
            point: x.alloc(b, e)?,
            goal: x.alloc(b, e)?,
            from_point: x.alloc(b, r)?,
            inp: x.alloc(b, r)?,
            hidden: x.alloc(b, r)?,
            velocity: x.alloc(b, e)?,
            losses: x.full(b, 1)?,
        })
    }
}

/// What the velocity is to be, and how much its error counts.
pub struct Goal<'a, T, I> {
    /// The table of the token embedding `[V, E]`.
    pub table: &'a T,
    /// Ids `[B, T]`: the rows of the table to go to.
    pub targets: &'a I,
    /// Weight of the loss.
    pub weight: f32,
}

/// Draws fresh noise and times.
pub fn draw<B: Backward>(b: &mut B, key: &B::Indices, a: &mut Acts<B::Tensor>) {
    b.normal(Draw { key, site: SITE }, &mut a.noise);
    b.uniform(Draw { key, site: SITE + 1 }, &mut a.time);
}

/// Loss of each row, from the noise and times in `a` and the hidden states `h`, and where the gradient starts: `da.velocity`.
pub fn forward<B: Backward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    da: &mut Acts<B::Tensor>,
    h: &B::Tensor,
    goal: Goal<B::Tensor, B::Indices>,
) {
    let Goal { table, targets, weight } = goal;
    b.flow_point(FlowPoint { targets, table, noise: &a.noise, time: &a.time }, &mut a.point, &mut a.goal);
    b.matmul(Matmul::new(&a.point, &p.point), &mut a.from_point);
    b.matmul(Matmul { x: h, w: &p.context, bias: Some(&p.bias), add: Some(&a.from_point) }, &mut a.inp);
    b.flow_hidden(FlowHidden { x: &a.inp, time: &a.time, weight: &p.time }, &mut a.hidden);
    b.matmul(Matmul::new(&a.hidden, &p.out), &mut a.velocity);
    b.squared_error(SquaredError { x: &a.velocity, goal: &a.goal, scale: weight }, &mut a.losses, &mut da.velocity);
}

/// [`forward`] read upwards; adds to the gradient of the hidden states. Nothing flows into the embedding.
pub fn backward<B: Backward>(b: &mut B, p: WithGrad<Params<B::Tensor>>, a: WithGrad<Acts<B::Tensor>>, h: WithGrad<B::Tensor>) {
    let (WithGrad { value: p, grad: dp }, WithGrad { value: a, grad: da }) = (p, a);
    let d = MatmulGrad { x: GradOut::Write(&mut da.hidden), w: &mut dp.out, bias: None };
    b.matmul_grad(Matmul::new(&a.hidden, &p.out), &da.velocity, d);
    let d = FlowHiddenGrad { x: &mut da.inp, weight: &mut dp.time };
    b.flow_hidden_grad(FlowHidden { x: &a.inp, time: &a.time, weight: &p.time }, &da.hidden, d);
    let d = MatmulGrad { x: GradOut::Add(h.grad), w: &mut dp.context, bias: Some(&mut dp.bias) };
    b.matmul_grad(Matmul { x: h.value, w: &p.context, bias: Some(&p.bias), add: None }, &da.inp, d);
    let d = MatmulGrad { x: GradOut::Skip, w: &mut dp.point, bias: None };
    b.matmul_grad(Matmul::new(&a.point, &p.point), &da.inp, d);
}
