//! Gradients by autograd.

use crate::{error::DeviceError, value::Value};
use tch::Tensor;

/// Recomputes `formula` at `at` under autograd; returns the gradients of `at` for the gradient `dy` of its value.
pub(crate) fn replay<const N: usize>(at: [&Value; N], dy: &Value, formula: impl FnOnce(&[Value; N]) -> Value) -> [Value; N] {
    scalar_grads(at, |at| {
        let y = formula(at);
        y.dot(&dy.with(&y, |dy, y| dy.f_to_kind(y.kind())))
    })
}

/// Gradients of a scalar `formula`.
pub(crate) fn scalar_grads<const N: usize>(at: [&Value; N], formula: impl FnOnce(&[Value; N]) -> Value) -> [Value; N] {
    let leaves = at.map(|value| value.map(|x| x.f_detach()?.f_set_requires_grad(true)));
    let number = formula(&leaves);
    let run = || -> Result<Vec<Tensor>, DeviceError> {
        let leaves = leaves.into_iter().map(Value::get).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_run_backward(&[number.get()?], &leaves, false, false)?)
    };
    match run() {
        Ok(gradients) => {
            let mut gradients = gradients.into_iter();
            std::array::from_fn(|_| Value::of(Ok(gradients.next().expect("a gradient for each"))))
        }
        Err(error) => std::array::from_fn(|_| Value::failed(error.clone())),
    }
}
