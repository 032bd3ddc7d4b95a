//! A block: one packed projection, three paths side by side, mixer, residual; then the feed-forward half.

pub(crate) mod acts;

use super::{
    WithGrad, attention, ffn, hopfield, mixer,
    residual::{Branch, residual, residual_grad},
    ssm,
    tree::{tree, when},
};
use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    hooks::Hooks,
    ops::*,
    pass::Pass,
    shape::Shape,
};
use alloc::format;

pub use acts::Acts;

tree! {
    /// Weights of a block; paths that are off are absent.
    pub struct Params(c: &Config, layer: usize; leaf; prefix = format!("blocks.{layer}."); name = prefix.as_str(); on = c.on(layer)) {
        /// `[D]`
        norm: T as leaf = leaf(&format!("{name}norm_mix.weight"), Shape::vector(c.width))?,
        /// `[rows, D]`, rows packed: ssm x|gate|g_in|g_forget, hopfield q|pattern|value, attention q|k|v
        in_proj: T as leaf = leaf(&format!("{name}in_proj.weight"), Shape::matrix(c.in_rows(layer), c.width))?,
        /// The state-space path.
        ssm: Option<ssm::Params<T>> as trees = when(on[0], || ssm::Params::new(c, layer, name, leaf))?,
        /// The Hopfield path.
        hopfield: Option<hopfield::Params<T>> as trees = when(on[1], || hopfield::Params::new(c, layer, name, leaf))?,
        /// Norms and gates.
        mixer: mixer::Params<T> as tree = mixer::Params::new(c, layer, name, leaf)?,
        /// `[D, w]`
        out_proj: T as leaf = leaf(&format!("{name}out_proj.weight"), Shape::matrix(c.width, c.mixed(layer)))?,
        /// The feed-forward half.
        ffn: ffn::Params<T> as tree = ffn::Params::new(c, name, leaf)?,
    }
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

impl<T> State<T> {
    tree!(leaves(ssm as trees, hopfield as trees, attention as trees,));

    /// An empty past.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, batch: usize, context: usize) -> Result<Self, B::Error> {
        let [ssm, hopfield, attention] = c.on(layer);
        Ok(Self {
            ssm: when(ssm, || ssm::State::new(b, c, layer, batch))?,
            hopfield: when(hopfield, || hopfield::State::new(b, c, layer, batch, context))?,
            attention: when(attention, || attention::State::new(b, c, layer, batch, context))?,
        })
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

/// From the residual stream `x` to the residual stream `y`. `control` holds the controller's biases of all layers, `[B, T, 3L]`.
///
/// # Errors
/// Those of the hooks.
pub fn forward<B: Forward, H: Hooks<B>>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    mut s: Option<&mut State<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    x: &B::Tensor,
    control: Option<&B::Tensor>,
    y: &mut B::Tensor,
) -> Result<(), H::Error> {
    let (b, c, at) = (&mut *pass.backend, pass.config, pass.block);
    b.norm(Norm { x, gain: &p.norm, eps: c.norm_eps }, &mut a.normed);
    b.matmul(Matmul::new(&a.normed, &p.in_proj), &mut a.packed);
    pass.hooks.packed(b, at, &mut a.packed)?;
    let [ssm, hopfield, attention] = columns(c, at.layer);
    if let (Some(p), Some(a_ssm)) = (&p.ssm, &mut a.ssm) {
        let s = s.as_mut().and_then(|s| s.ssm.as_mut());
        ssm::forward(pass, p, s, a_ssm, of(&a.packed, ssm[0]), of_mut(&mut a.paths, ssm[1]));
    }
    if let (Some(p), Some(a_hop)) = (&p.hopfield, &mut a.hopfield) {
        let s = s.as_mut().and_then(|s| s.hopfield.as_mut());
        hopfield::forward(pass, p, s, a_hop, &a.normed, of(&a.packed, hopfield[0]), of_mut(&mut a.paths, hopfield[1]));
    }
    if let Some(a_att) = &mut a.attention {
        let s = s.as_mut().and_then(|s| s.attention.as_mut());
        attention::forward(pass, s, a_att, of_mut(&mut a.packed, attention[0]), of_mut(&mut a.paths, attention[1]));
    }
    mixer::forward(pass, &p.mixer, &mut a.mixer, &a.normed, &a.paths, control);
    residual(pass, Branch::Mixing, Matmul::new(&a.mixer.mixed, &p.out_proj), x, &mut a.middle);
    ffn::forward(pass, &p.ffn, &mut a.ffn, &a.middle, y);
    pass.hooks.block(pass.backend, at, a)
}

/// [`forward`] read upwards, for a chunk that began with an empty state.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    x: &B::Tensor,
    control: Option<WithGrad<B::Tensor>>,
    dy: &B::Tensor,
    dx: &mut B::Tensor,
) {
    let (WithGrad { value: p, grad: dp }, WithGrad { value: a, grad: da }) = (p, a);
    let half = WithGrad { value: &p.ffn, grad: &mut dp.ffn };
    ffn::backward(pass, half, WithGrad { value: &a.ffn, grad: &mut da.ffn }, &a.middle, dy, &mut da.middle);

    let branch = residual_grad(pass, Branch::Mixing, &da.middle, &mut da.normed);
    let d = MatmulGrad { x: GradOut::Write(&mut da.mixer.mixed), w: &mut dp.out_proj, bias: None };
    pass.backend.matmul_grad(Matmul::new(&a.mixer.mixed, &p.out_proj), branch, d);
    // Three consumers share u and every one adds its share: projection, depths, gates.
    pass.backend.fill(0.0, &mut da.normed);
    mixer::backward(
        pass,
        WithGrad { value: &p.mixer, grad: &mut dp.mixer },
        WithGrad { value: &a.mixer, grad: &mut da.mixer },
        WithGrad { value: &a.normed, grad: &mut da.normed },
        WithGrad { value: &a.paths, grad: &mut da.paths },
        control,
    );

    let [ssm, hopfield, attention] = columns(pass.config, pass.block.layer);
    if let (Some(p), Some(dp), Some(at), Some(d)) = (&p.ssm, &mut dp.ssm, &a.ssm, &mut da.ssm) {
        let (dy, dz) = (of(&da.paths, ssm[1]), of_mut(&mut da.packed, ssm[0]));
        ssm::backward(pass, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, of(&a.packed, ssm[0]), dy, dz);
    }
    if let (Some(p), Some(dp), Some(at), Some(d)) = (&p.hopfield, &mut dp.hopfield, &a.hopfield, &mut da.hopfield) {
        let (dy, dz) = (of(&da.paths, hopfield[1]), of_mut(&mut da.packed, hopfield[0]));
        let u = WithGrad { value: &a.normed, grad: &mut da.normed };
        hopfield::backward(pass, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, u, of(&a.packed, hopfield[0]), dy, dz);
    }
    if let Some(at) = &a.attention {
        let (y, dy, dz) = (of(&a.paths, attention[1]), of(&da.paths, attention[1]), of_mut(&mut da.packed, attention[0]));
        attention::backward(pass, at, of(&a.packed, attention[0]), y, dy, dz);
    }

    let (b, c) = (&mut *pass.backend, pass.config);
    let d = MatmulGrad { x: GradOut::Add(&mut da.normed), w: &mut dp.in_proj, bias: None };
    b.matmul_grad(Matmul::new(&a.normed, &p.in_proj), &da.packed, d);
    let norm = Norm { x, gain: &p.norm, eps: c.norm_eps };
    b.norm_grad(norm, &da.normed, Some(&da.middle), NormGrad { x: dx, gain: &mut dp.norm });
}
