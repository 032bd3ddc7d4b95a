//! MoRHopfield: K refinements of a query in an associative memory, mixed over their depths.

use super::{ChunkShape, Leaf, WithGrad, attention::ring_rows, tree::tree};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::{Association, Config, HopfieldKind},
    ops::*,
    pass::Pass,
    shape::Shape,
};
use alloc::format;

tree! {
    /// Weights of the path. `name` is the block's prefix.
    pub struct Params(c: &Config, layer: usize, name: &str; leaf; heads = c.hopfield_width[layer] / c.head_dim; depth = c.depth(layer)) {
        /// `[H]`
        log_beta: T as leaf = leaf(&format!("{name}hopfield.log_beta"), Shape::vector(heads))?,
        /// What the kind of memory adds.
        memory: Memory<T> as tree = Memory::new(c, heads, name, leaf)?,
        /// `[K, D]`
        depth_weight: T as leaf = leaf(&format!("{name}hopfield.depth.weight"), Shape::matrix(depth, c.width))?,
        /// `[K]`
        depth_bias: T as leaf = leaf(&format!("{name}hopfield.depth.bias"), Shape::vector(depth))?,
    }
}

/// Weights that only one kind of memory has.
pub enum Memory<T> {
    /// `[H, M, d]` patterns and values of the learned items, if there are any.
    Modern(Option<[T; 2]>),
    /// `[H]`: decay
    Classic(T),
}

impl<T> Memory<T> {
    fn new<E>(c: &Config, heads: usize, name: &str, leaf: Leaf<'_, T, E>) -> Result<Self, E> {
        let slots = Shape::cube(heads, c.hopfield_slots, c.head_dim);
        Ok(match c.hopfield_kind {
            HopfieldKind::Classic => Self::Classic(leaf(&format!("{name}hopfield.decay"), Shape::vector(heads))?),
            HopfieldKind::Modern if c.hopfield_slots == 0 => Self::Modern(None),
            HopfieldKind::Modern => Self::Modern(Some([
                leaf(&format!("{name}hopfield.slot_patterns"), slots)?,
                leaf(&format!("{name}hopfield.slot_values"), slots)?,
            ])),
        })
    }
    fn leaves(&self) -> impl Iterator<Item = &T> {
        match self {
            Self::Modern(slots) => slots.as_ref().map_or(&[][..], |s| s),
            Self::Classic(decay) => core::slice::from_ref(decay),
        }
        .iter()
    }
    fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        match self {
            Self::Modern(slots) => slots.as_mut().map_or(&mut [][..], |s| s),
            Self::Classic(decay) => core::slice::from_mut(decay),
        }
        .iter_mut()
    }
}

/// Activations of the path.
pub struct Acts<T> {
    /// `[B, T, K]`: logits of the mixture over depths
    pub depth: T,
    /// What the modern memory keeps for its gradient.
    pub saved: Option<RecallSaved<T>>,
}

/// What the path remembers.
pub struct State<T> {
    /// `[B, N, 2w]`, the items (modern), or `[B, 2w, d]`, the matrices (classic)
    pub memory: T,
    /// `[B, w]`: the unit pattern of the position before
    pub last: T,
}

impl<T> Params<T> {
    fn recall<'a>(&'a self, c: &Config, slots: &'a Option<[T; 2]>, qpv: Columns<'a, T>, depth: &'a T) -> Recall<'a, T> {
        Recall {
            qpv,
            depth,
            log_beta: &self.log_beta,
            slots: slots.as_ref().map(|[patterns, values]| Slots { patterns, values }),
            head_dim: c.head_dim,
            window: c.hopfield_window,
            successor: c.hopfield_association == Association::Successor,
        }
    }
    fn hebbian<'a>(&'a self, c: &Config, decay: &'a T, qpv: Columns<'a, T>, depth: &'a T) -> Hebbian<'a, T> {
        let successor = c.hopfield_association == Association::Successor;
        Hebbian { qpv, depth, log_beta: &self.log_beta, decay, head_dim: c.head_dim, successor }
    }
    fn depth<'a>(&'a self, u: &'a T) -> Matmul<'a, T> {
        Matmul { x: u, w: &self.depth_weight, bias: Some(&self.depth_bias), add: None }
    }
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        let (w, k) = (c.hopfield_width[layer], c.depth(layer));
        let saved = if x.saved && c.hopfield_kind == HopfieldKind::Modern {
            Some(RecallSaved { reads: x.full(b, k * w)?, moved: x.full(b, k * w)?, log_sum: x.full(b, k * w / c.head_dim)? })
        } else {
            None
        };
        Ok(Self { depth: x.full(b, k)?, saved })
    }
}

impl<T> State<T> {
    tree!(leaves(memory as leaf, last as leaf,));

    /// An empty past; a modern memory holds at most `context` items.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, batch: usize, context: usize) -> Result<Self, B::Error> {
        let w = c.hopfield_width[layer];
        let memory = match c.hopfield_kind {
            HopfieldKind::Modern => Shape::cube(batch, ring_rows(c.hopfield_window, context), 2 * w),
            HopfieldKind::Classic => Shape::cube(batch, 2 * w, c.head_dim),
        };
        Ok(Self { memory: b.alloc(memory, Precision::Full)?, last: b.alloc(Shape::matrix(batch, w), Precision::Full)? })
    }
}

/// `u` is the block's normalised input, `qpv` the packed columns `q | pattern | value`; `y` takes `w` columns.
pub fn forward<B: Forward, H>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    s: Option<&mut State<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    u: &B::Tensor,
    qpv: Columns<B::Tensor>,
    y: ColumnsMut<B::Tensor>,
) {
    let (b, c) = (&mut *pass.backend, pass.config);
    b.matmul(p.depth(u), &mut a.depth);
    match &p.memory {
        Memory::Modern(slots) => {
            let state = s.zip(pass.clock).map(|(s, clock)| RecallState { ring: Ring { items: &mut s.memory, clock }, last: &mut s.last });
            b.recall(p.recall(c, slots, qpv, &a.depth), state, a.saved.as_mut(), y);
        }
        Memory::Classic(decay) => {
            let state = s.map(|s| HebbianState { matrices: &mut s.memory, last: &mut s.last });
            b.hebbian(p.hebbian(c, decay, qpv, &a.depth), state, y);
        }
    }
}

/// [`forward`] read upwards; adds to the gradient of `u`.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    u: WithGrad<B::Tensor>,
    qpv: Columns<B::Tensor>,
    dy: Columns<B::Tensor>,
    d: ColumnsMut<B::Tensor>,
) {
    let (b, c) = (&mut *pass.backend, pass.config);
    let (depth, d_depth) = (&a.value.depth, &mut a.grad.depth);
    match (&p.value.memory, &mut p.grad.memory) {
        (Memory::Modern(slots), Memory::Modern(d_slots)) => {
            let saved = a.value.saved.as_ref().expect("activations of a training step");
            let d_slots = d_slots.as_mut().map(|[patterns, values]| SlotsGrad { patterns, values });
            let d = RecallGrad { qpv: d, depth: d_depth, log_beta: &mut p.grad.log_beta, slots: d_slots };
            b.recall_grad(p.value.recall(c, slots, qpv, depth), saved, dy, d);
        }
        (Memory::Classic(decay), Memory::Classic(d_decay)) => {
            let d = HebbianGrad { qpv: d, depth: d_depth, log_beta: &mut p.grad.log_beta, decay: d_decay };
            b.hebbian_grad(p.value.hebbian(c, decay, qpv, depth), dy, d);
        }
        _ => unreachable!("weights and gradients come from one configuration"),
    }
    let d = MatmulGrad { x: GradOut::Add(u.grad), w: &mut p.grad.depth_weight, bias: Some(&mut p.grad.depth_bias) };
    b.matmul_grad(p.value.depth(u.value), &a.grad.depth, d);
}
