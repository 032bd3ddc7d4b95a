//! Tensors of the libtorch backend.

use crate::{error::DeviceError, value::Value};
use hh_core::{
    ops::{Columns, ColumnsMut},
    shape::{Shape, Shaped},
};

/// A tensor on a device. The torch tensor always has three dimensions, the extents of the [`Shape`].
#[derive(Debug)]
pub struct Tensor {
    pub(crate) inner: tch::Tensor,
    pub(crate) shape: Shape,
}

/// Token ids, clocks and random keys, as 64-bit integers, since torch lacks arithmetic on u32.
#[derive(Debug)]
pub struct Indices {
    pub(crate) inner: tch::Tensor,
    pub(crate) shape: Shape,
}

impl Shaped for Tensor {
    fn shape(&self) -> Shape {
        self.shape
    }
}

impl Shaped for Indices {
    fn shape(&self) -> Shape {
        self.shape
    }
}

/// The extents as torch's size type.
pub(crate) fn extents(shape: Shape) -> [i64; 3] {
    shape.extents().map(|n| n as i64)
}

impl Tensor {
    /// All elements, `[outer, rows, columns]`.
    pub(crate) fn value(&self) -> Value {
        Value::share(&self.inner)
    }

    /// The elements of a vector, `[n]`.
    pub(crate) fn vector(&self) -> Value {
        self.value().flat()
    }

    /// The elements of a matrix, `[rows, columns]`.
    pub(crate) fn matrix(&self) -> Value {
        self.value().rows(self.shape.width())
    }
}

impl Indices {
    /// All elements, `[n]`.
    pub(crate) fn vector(&self) -> Value {
        Value::share(&self.inner).flat()
    }
}

/// The columns, `[B, T, width]`.
pub(crate) fn columns(columns: &Columns<Tensor>) -> Value {
    columns.layout();
    columns.of.value().columns(columns.start, columns.width)
}

/// A view of the columns for writing.
pub(crate) fn columns_mut(columns: &ColumnsMut<Tensor>) -> Value {
    columns.layout();
    columns.of.value().columns(columns.start, columns.width)
}

impl Tensor {
    /// All elements, not rounded to f32.
    ///
    /// # Errors
    /// [`DeviceError`] of the device.
    pub fn numbers(&self) -> Result<Vec<f64>, DeviceError> {
        let host = self.inner.f_to_kind(tch::Kind::Double)?.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
        let mut numbers = vec![0.0; self.shape.count()];
        host.f_copy_data(&mut numbers, self.shape.count())?;
        Ok(numbers)
    }
}
