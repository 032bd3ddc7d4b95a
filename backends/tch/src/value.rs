//! A tensor in a formula, or the first error of its computation.

use crate::error::DeviceError;
use std::borrow::Borrow;
use tch::{Kind, TchError, Tensor};

/// An operand of formulas. Operations propagate errors, so that formulas need no error handling and the result carries the
/// first error.
///
/// No operation changes a tensor in place, and several return views: the memory may be shared.
#[derive(Debug)]
pub(crate) struct Value(Result<Tensor, DeviceError>);

type Outcome = Result<Tensor, TchError>;

impl Clone for Value {
    fn clone(&self) -> Self {
        Self(self.0.as_ref().map(Tensor::shallow_clone).map_err(DeviceError::clone))
    }
}

impl Value {
    /// The result of an operation.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self(outcome.map_err(DeviceError::from))
    }

    /// A value that shares the tensor's memory.
    pub(crate) fn share(tensor: &Tensor) -> Self {
        Self(Ok(tensor.shallow_clone()))
    }

    /// A value that is an error.
    pub(crate) fn failed(error: DeviceError) -> Self {
        Self(Err(error))
    }

    /// The tensor or the error.
    pub(crate) fn get(self) -> Result<Tensor, DeviceError> {
        self.0
    }

    /// Any operation on one tensor.
    pub(crate) fn map(&self, f: impl FnOnce(&Tensor) -> Outcome) -> Self {
        match &self.0 {
            Ok(x) => Self::of(f(x)),
            Err(error) => Self(Err(error.clone())),
        }
    }

    /// Any operation on two tensors.
    pub(crate) fn with(&self, other: &Self, f: impl FnOnce(&Tensor, &Tensor) -> Outcome) -> Self {
        match &other.0 {
            Ok(y) => self.map(|x| f(x, y)),
            Err(error) if self.0.is_ok() => Self(Err(error.clone())),
            Err(_) => self.clone(),
        }
    }

    /// Any operation on many tensors.
    pub(crate) fn all<V: Borrow<Self>>(values: &[V], f: impl FnOnce(&[&Tensor]) -> Outcome) -> Self {
        let tensors: Result<Vec<&Tensor>, &DeviceError> = values.iter().map(|v| v.borrow().0.as_ref()).collect();
        match tensors {
            Ok(tensors) => Self::of(f(&tensors)),
            Err(error) => Self(Err(error.clone())),
        }
    }
}

/// Element-wise arithmetic with torch's broadcasting.
impl Value {
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.with(other, Tensor::f_add)
    }
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.with(other, Tensor::f_sub)
    }
    pub(crate) fn times(&self, other: &Self) -> Self {
        self.with(other, Tensor::f_mul)
    }
    pub(crate) fn over(&self, other: &Self) -> Self {
        self.with(other, Tensor::f_div)
    }
    /// `self + a ∘ b`
    pub(crate) fn plus_product(&self, a: &Self, b: &Self) -> Self {
        Self::all(&[self, a, b], |t| t[0].f_addcmul(t[1], t[2]))
    }
    pub(crate) fn scaled(&self, by: f64) -> Self {
        self.map(|x| x.f_mul_scalar(by))
    }
    pub(crate) fn shifted(&self, by: f64) -> Self {
        self.map(|x| x.f_add_scalar(by))
    }
    pub(crate) fn exp(&self) -> Self {
        self.map(Tensor::f_exp)
    }
    pub(crate) fn expm1(&self) -> Self {
        self.map(Tensor::f_expm1)
    }
    pub(crate) fn sqrt(&self) -> Self {
        self.map(Tensor::f_sqrt)
    }
    pub(crate) fn square(&self) -> Self {
        self.map(Tensor::f_square)
    }
    pub(crate) fn tanh(&self) -> Self {
        self.map(Tensor::f_tanh)
    }
    pub(crate) fn sigmoid(&self) -> Self {
        self.map(Tensor::f_sigmoid)
    }
    pub(crate) fn silu(&self) -> Self {
        self.map(Tensor::f_silu)
    }
    pub(crate) fn softplus(&self) -> Self {
        self.map(Tensor::f_softplus)
    }
    pub(crate) fn to(&self, kind: Kind) -> Self {
        self.map(|x| x.f_to_kind(kind))
    }
}

/// Reductions over the last dimension, and products.
impl Value {
    /// `v / sqrt(mean(v²) + eps)`
    pub(crate) fn rms_normed(&self, eps: f64) -> Self {
        self.times(&self.square().mean().shifted(eps).map(Tensor::f_rsqrt))
    }
    /// `v / sqrt(|v|² + 1e-6)`
    pub(crate) fn unit(&self) -> Self {
        self.times(&self.square().map(|x| x.f_sum_dim_intlist(-1i64, true, None)).shifted(1e-6).map(Tensor::f_rsqrt))
    }
    /// The mean, with the dimension kept.
    pub(crate) fn mean(&self) -> Self {
        self.map(|x| x.f_mean_dim(-1i64, true, None))
    }
    pub(crate) fn softmax(&self) -> Self {
        self.map(|x| x.f_softmax(-1, None))
    }
    /// `log Σ exp`, with the dimension kept.
    pub(crate) fn log_sum_exp(&self) -> Self {
        self.map(|x| x.f_logsumexp(-1i64, true))
    }
    /// The sum of all elements.
    pub(crate) fn total(&self) -> Self {
        self.map(|x| x.f_sum(None))
    }
    /// Matrix product over the last two dimensions.
    pub(crate) fn matmul(&self, other: &Self) -> Self {
        self.with(other, Tensor::f_matmul)
    }
    /// `x · wᵀ (+ bias)`
    pub(crate) fn linear(&self, w: &Self, bias: Option<&Self>) -> Self {
        match bias {
            Some(bias) => Self::all(&[self, w, bias], |t| t[0].f_linear(t[1], Some(t[2]))),
            None => self.with(w, |x, w| x.f_linear::<Tensor>(w, None)),
        }
    }
    /// The inner product of all elements.
    pub(crate) fn dot(&self, other: &Self) -> Self {
        self.flat().with(&other.flat(), Tensor::f_dot)
    }
}

/// Shapes.
impl Value {
    /// The extents; empty for an error.
    pub(crate) fn extents(&self) -> Vec<i64> {
        self.0.as_ref().map(Tensor::size).unwrap_or_default()
    }
    pub(crate) fn view(&self, extents: &[usize]) -> Self {
        let extents: Vec<i64> = extents.iter().map(|&n| n as i64).collect();
        self.map(|x| x.f_reshape(&extents[..]))
    }
    pub(crate) fn flat(&self) -> Self {
        self.map(|x| x.f_reshape([-1]))
    }
    /// Reshaped to `[rows, width]`.
    pub(crate) fn rows(&self, width: usize) -> Self {
        self.map(|x| x.f_reshape([-1, width as i64]))
    }
    pub(crate) fn transposed(&self, a: i64, b: i64) -> Self {
        self.map(|x| x.f_transpose(a, b))
    }
    /// `start .. start + count` along a dimension.
    pub(crate) fn part(&self, dim: i64, start: usize, count: usize) -> Self {
        self.map(|x| x.f_narrow(dim, start as i64, count as i64))
    }
    /// Columns `start .. start + count`.
    pub(crate) fn columns(&self, start: usize, count: usize) -> Self {
        self.part(-1, start, count)
    }
    /// Every second element of `start .. end` along dimension 1.
    pub(crate) fn alternate(&self, start: usize, end: usize) -> Self {
        self.map(|x| x.f_slice(1, start as i64, end as i64, 2))
    }
    pub(crate) fn cat<V: Borrow<Self>>(values: &[V], dim: i64) -> Self {
        Self::all(values, |t| Tensor::f_cat(t, dim))
    }
    pub(crate) fn stack<V: Borrow<Self>>(values: &[V], dim: i64) -> Self {
        Self::all(values, |t| Tensor::f_stack(t, dim))
    }
    /// Pads with zeros before and after, along dimension 1 of three.
    pub(crate) fn padded(&self, before: usize, after: usize) -> Self {
        self.map(|x| x.f_constant_pad_nd([0, 0, before as i64, after as i64]))
    }
    /// Inserts a dimension of size 1.
    pub(crate) fn unsqueezed(&self, dim: i64) -> Self {
        self.map(|x| x.f_unsqueeze(dim))
    }
}
