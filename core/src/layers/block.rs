//! A block: one packed projection, three paths side by side, mixer, residual; then the feed-forward half.

use super::{ChunkShape, DropoutKey, Leaf, WithGrad, attention, ffn, hopfield, mixer, ssm};
use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    hooks::{BlockId, Hooks},
    ops::*,
    shape::Shape,
};
use alloc::format;

/// Weights of a block; paths that are off are absent.
pub struct Params<T> {
    /// `[D]`
    pub norm: T,
    /// `[rows, D]`, rows packed: ssm x|gate|g_in|g_forget, hopfield q|pattern|value, attention q|k|v
    pub in_proj: T,
    /// The state-space path.
    pub ssm: Option<ssm::Params<T>>,
    /// The Hopfield path.
    pub hopfield: Option<hopfield::Params<T>>,
    /// Norms and gates.
    pub mixer: mixer::Params<T>,
    /// `[D, w]`
    pub out_proj: T,
    /// The feed-forward half.
    pub ffn: ffn::Params<T>,
}

/// Activations of a block.
pub struct Acts<T> {
    /// `[B, T, D]`: u
    pub normed: T,
    /// `[B, T, rows]`: z, packed as the rows of `in_proj`; attention's q and k are rotated in place
    pub packed: T,
    /// The state-space path.
    pub ssm: Option<ssm::Acts<T>>,
    /// The Hopfield path.
    pub hopfield: Option<hopfield::Acts<T>>,
    /// Attention.
    pub attention: Option<attention::Acts<T>>,
    /// `[B, T, w]`: outputs of the paths, side by side
    pub paths: T,
    /// Norms and gates.
    pub mixer: mixer::Acts<T>,
    /// `[B, T, D]`: between the halves
    pub middle: T,
    /// The feed-forward half.
    pub ffn: ffn::Acts<T>,
}

/// What a block remembers.
pub struct State<T> {
    /// The state-space path.
    pub ssm: Option<ssm::State<T>>,
    /// The Hopfield path.
    pub hopfield: Option<hopfield::State<T>>,
    /// Attention.
    pub attention: Option<attention::State<T>>,
}

fn when<X, E>(on: bool, make: impl FnOnce() -> Result<X, E>) -> Result<Option<X>, E> {
    if on { make().map(Some) } else { Ok(None) }
}

impl<T> Params<T> {
    /// Leaves in file order.
    pub fn new<E>(c: &Config, layer: usize, leaf: Leaf<'_, T, E>) -> Result<Self, E> {
        let name = &format!("blocks.{layer}.");
        let [ssm, hopfield, _] = c.on(layer);
        Ok(Self {
            norm: leaf(&format!("{name}norm_mix.weight"), Shape::vector(c.width))?,
            in_proj: leaf(&format!("{name}in_proj.weight"), Shape::matrix(c.in_rows(layer), c.width))?,
            ssm: when(ssm, || ssm::Params::new(c, layer, name, leaf))?,
            hopfield: when(hopfield, || hopfield::Params::new(c, layer, name, leaf))?,
            mixer: mixer::Params::new(c, layer, name, leaf)?,
            out_proj: leaf(&format!("{name}out_proj.weight"), Shape::matrix(c.width, c.mixed(layer)))?,
            ffn: ffn::Params::new(c, name, leaf)?,
        })
    }
    /// All leaves in file order.
    pub fn leaves(&self) -> impl Iterator<Item = &T> {
        let paths = self.ssm.iter().flat_map(|p| p.leaves()).chain(self.hopfield.iter().flat_map(|p| p.leaves()));
        let tail = self.mixer.leaves().chain([&self.out_proj]).chain(self.ffn.leaves());
        [&self.norm, &self.in_proj].into_iter().chain(paths).chain(tail)
    }
    /// All leaves in file order.
    pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let paths = self.ssm.iter_mut().flat_map(|p| p.leaves_mut()).chain(self.hopfield.iter_mut().flat_map(|p| p.leaves_mut()));
        let tail = self.mixer.leaves_mut().chain([&mut self.out_proj]).chain(self.ffn.leaves_mut());
        [&mut self.norm, &mut self.in_proj].into_iter().chain(paths).chain(tail)
    }
}

impl<T> Acts<T> {
    /// Room for a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        let [ssm, hopfield, attention] = c.on(layer);
        Ok(Self {
            normed: x.alloc(b, c.width)?,
            packed: x.alloc(b, c.in_rows(layer))?,
            ssm: when(ssm, || ssm::Acts::new(b, c, layer, x))?,
            hopfield: when(hopfield, || hopfield::Acts::new(b, c, layer, x))?,
            attention: when(attention, || attention::Acts::new(b, c, layer, x))?,
            paths: x.alloc(b, c.mixed(layer))?,
            mixer: mixer::Acts::new(b, c, layer, x)?,
            middle: x.alloc(b, c.width)?,
            ffn: ffn::Acts::new(b, c, x)?,
        })
    }
}

impl<T> State<T> {
    /// An empty past.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, batch: usize, context: usize) -> Result<Self, B::Error> {
        let [ssm, hopfield, attention] = c.on(layer);
        Ok(Self {
            ssm: when(ssm, || ssm::State::new(b, c, layer, batch))?,
            hopfield: when(hopfield, || hopfield::State::new(b, c, layer, batch, context))?,
            attention: when(attention, || attention::State::new(b, c, layer, batch, context))?,
        })
    }
    /// All leaves, in the order of a saved state.
    pub fn leaves(&self) -> impl Iterator<Item = &T> {
        let hopfield = self.hopfield.iter().flat_map(|s| s.leaves());
        self.ssm.iter().flat_map(|s| s.leaves()).chain(hopfield).chain(self.attention.iter().map(|s| &s.ring))
    }
    /// All leaves, in the order of a saved state.
    pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let hopfield = self.hopfield.iter_mut().flat_map(|s| s.leaves_mut());
        self.ssm.iter_mut().flat_map(|s| s.leaves_mut()).chain(hopfield).chain(self.attention.iter_mut().map(|s| &mut s.ring))
    }
}

/// Columns of each path of [`PATHS`](crate::config::PATHS): `(start, width)` in `packed`, and in `paths`, whose columns the mixer's gain has too.
pub fn columns(c: &Config, layer: usize) -> [[(usize, usize); 2]; 3] {
    let [s, h, a] = c.widths(layer);
    [[(0, 4 * s), (0, s)], [(4 * s, 3 * h), (s, h)], [(4 * s + 3 * h, 3 * a), (s + h, a)]]
}

fn of<T>(of: &T, (start, width): (usize, usize)) -> Columns<'_, T> {
    Columns { of, start, width }
}

fn of_mut<T>(of: &mut T, (start, width): (usize, usize)) -> ColumnsMut<'_, T> {
    ColumnsMut { of, start, width }
}

/// `y = x + branch`, the branch a matrix product that goes through dropout if there is noise.
pub(super) fn residual<B: Forward>(
    b: &mut B,
    branch: Matmul<B::Tensor>,
    x: &B::Tensor,
    site: u32,
    noise: Option<DropoutKey<B::Indices>>,
    y: &mut B::Tensor,
) {
    match noise {
        None => b.matmul(Matmul { add: Some(x), ..branch }, y),
        Some(noise) => {
            b.matmul(branch, y);
            b.dropout(noise.dropout(site, Some(x)), y);
        }
    }
}

/// The gradient of a [`residual`]'s branch: `dy` itself, or `dy` through the mask, in `room`.
pub(super) fn branch<'a, B: Backward>(
    b: &mut B,
    site: u32,
    noise: Option<DropoutKey<B::Indices>>,
    dy: &'a B::Tensor,
    room: &'a mut B::Tensor,
) -> &'a B::Tensor {
    match noise {
        None => dy,
        Some(noise) => {
            b.dropout_grad(noise.dropout(site, None), dy, room);
            room
        }
    }
}

/// From the residual stream `x` to the residual stream `y`. `s` comes with the clock of its past; `control` holds
/// the controller's biases of all layers, `[B, T, 3L]`.
///
/// # Errors
/// Those of the hooks.
#[expect(clippy::too_many_arguments, reason = "weights, state and activations of one layer")]
pub fn forward<B: Forward, H: Hooks<B>>(
    b: &mut B,
    c: &Config,
    at: BlockId,
    p: &Params<B::Tensor>,
    s: Option<(&mut State<B::Tensor>, &B::Indices)>,
    a: &mut Acts<B::Tensor>,
    x: &B::Tensor,
    control: Option<&B::Tensor>,
    y: &mut B::Tensor,
    noise: Option<DropoutKey<B::Indices>>,
    hooks: &mut H,
) -> Result<(), H::Error> {
    let layer = at.layer;
    b.norm(Norm { x, gain: &p.norm, eps: c.norm_eps }, &mut a.normed);
    b.matmul(Matmul::new(&a.normed, &p.in_proj), &mut a.packed);
    hooks.packed(b, at, &mut a.packed)?;
    let [ssm, hopfield, attention] = columns(c, layer);
    let (mut state, clock) = s.unzip();
    if let (Some(p), Some(a_ssm)) = (&p.ssm, &mut a.ssm) {
        let s = state.as_mut().and_then(|s| s.ssm.as_mut());
        ssm::forward(b, p, s, a_ssm, of(&a.packed, ssm[0]), of_mut(&mut a.paths, ssm[1]));
    }
    if let (Some(p), Some(a_hop)) = (&p.hopfield, &mut a.hopfield) {
        let s = state.as_mut().and_then(|s| s.hopfield.as_mut()).zip(clock);
        hopfield::forward(b, c, p, s, a_hop, &a.normed, of(&a.packed, hopfield[0]), of_mut(&mut a.paths, hopfield[1]));
    }
    if let Some(a_att) = &mut a.attention {
        let s = state.as_mut().and_then(|s| s.attention.as_mut()).zip(clock);
        attention::forward(b, c, s, a_att, of_mut(&mut a.packed, attention[0]), of_mut(&mut a.paths, attention[1]));
    }
    mixer::forward(b, c, layer, &p.mixer, &mut a.mixer, &a.normed, &a.paths, control);
    residual(b, Matmul::new(&a.mixer.mixed, &p.out_proj), x, 2 * layer as u32, noise, &mut a.middle);
    ffn::forward(b, c, layer, &p.ffn, &mut a.ffn, &a.middle, y, noise);
    Ok(())
}

/// [`forward`] read upwards, for a chunk that began with an empty state.
#[expect(clippy::too_many_arguments, reason = "weights, activations and their gradients of one layer")]
pub fn backward<B: Backward>(
    b: &mut B,
    c: &Config,
    layer: usize,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    x: &B::Tensor,
    control: Option<WithGrad<B::Tensor>>,
    dy: &B::Tensor,
    dx: &mut B::Tensor,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let (WithGrad { value: p, grad: dp }, WithGrad { value: a, grad: da }) = (p, a);
    let half = WithGrad { value: &p.ffn, grad: &mut dp.ffn };
    ffn::backward(b, c, layer, half, WithGrad { value: &a.ffn, grad: &mut da.ffn }, &a.middle, dy, &mut da.middle, noise);

    let d = MatmulGrad { x: GradOut::Write(&mut da.mixer.mixed), w: &mut dp.out_proj, bias: None };
    let branch = branch(b, 2 * layer as u32, noise, &da.middle, &mut da.normed);
    b.matmul_grad(Matmul::new(&a.mixer.mixed, &p.out_proj), branch, d);
    // Three consumers share u and every one adds its share: projection, depths, gates.
    b.fill(0.0, &mut da.normed);
    mixer::backward(
        b,
        c,
        layer,
        WithGrad { value: &p.mixer, grad: &mut dp.mixer },
        WithGrad { value: &a.mixer, grad: &mut da.mixer },
        WithGrad { value: &a.normed, grad: &mut da.normed },
        WithGrad { value: &a.paths, grad: &mut da.paths },
        control,
    );

    let [ssm, hopfield, attention] = columns(c, layer);
    if let (Some(p), Some(dp), Some(at), Some(d)) = (&p.ssm, &mut dp.ssm, &a.ssm, &mut da.ssm) {
        let (dy, dz) = (of(&da.paths, ssm[1]), of_mut(&mut da.packed, ssm[0]));
        ssm::backward(b, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, of(&a.packed, ssm[0]), dy, dz);
    }
    if let (Some(p), Some(dp), Some(at), Some(d)) = (&p.hopfield, &mut dp.hopfield, &a.hopfield, &mut da.hopfield) {
        let (dy, dz) = (of(&da.paths, hopfield[1]), of_mut(&mut da.packed, hopfield[0]));
        let u = WithGrad { value: &a.normed, grad: &mut da.normed };
        hopfield::backward(b, c, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, u, of(&a.packed, hopfield[0]), dy, dz);
    }
    if let Some(at) = &a.attention {
        let (y, dy, dz) = (of(&a.paths, attention[1]), of(&da.paths, attention[1]), of_mut(&mut da.packed, attention[0]));
        attention::backward(b, c, at, of(&a.packed, attention[0]), y, dy, dz);
    }

    let d = MatmulGrad { x: GradOut::Add(&mut da.normed), w: &mut dp.in_proj, bias: None };
    b.matmul_grad(Matmul::new(&a.normed, &p.in_proj), &da.packed, d);
    let norm = Norm { x, gain: &p.norm, eps: c.norm_eps };
    b.norm_grad(norm, &da.normed, Some(&da.middle), NormGrad { x: dx, gain: &mut dp.norm });
}
