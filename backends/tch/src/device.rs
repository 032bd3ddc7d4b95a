//! The backend: compute precision, allocation, and writing of results.

use crate::{
    device_kind::DeviceKind,
    error::DeviceError,
    tensor::{Indices, Tensor, columns_mut, extents},
    value::Value,
};
use hh_core::{
    backend::{self, Precision},
    ops::ColumnsMut,
    quant::QuantView,
    shape::Shape,
};
use tch::Kind;

/// Precision of matrix products and activations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compute {
    /// f32.
    #[default]
    F32,
    /// bf16; weights, states, statistics and losses stay f32.
    Bf16,
    /// f64 for everything, to check gradients.
    F64,
}

/// The libtorch backend.
///
/// Kernels return nothing: the first error is returned by the next call of `alloc`, `upload` or `download`.
pub struct Tch {
    pub(crate) device: tch::Device,
    /// Element type of matrix products and activations.
    pub(crate) compute: Kind,
    /// Element type of everything else.
    pub(crate) full: Kind,
    error: Option<DeviceError>,
}

impl Tch {
    /// A backend on a device.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] if libtorch does not find the device, [`DeviceError::Precision`] if the device does not support
    /// the precision.
    pub fn new(place: DeviceKind, compute: Compute) -> Result<Self, DeviceError> {
        let device = place.device()?;
        let (name, compute, full) = match compute {
            Compute::F32 => ("f32", Kind::Float, Kind::Float),
            Compute::Bf16 => ("bf16", Kind::BFloat16, Kind::Float),
            Compute::F64 => ("f64", Kind::Double, Kind::Double),
        };
        let new = Self { device, compute, full, error: None };
        // libtorch's C interface does not report which precisions a device supports: try a product.
        let probe = Value::of(tch::Tensor::f_ones([1, 8, 8], (compute, device)));
        match probe.matmul(&probe).get() {
            Ok(_) => Ok(new),
            Err(DeviceError::Libtorch(_)) => Err(DeviceError::Precision { device: new.place().to_string(), precision: name }),
            Err(error) => Err(error),
        }
    }

    /// The device that it computes on.
    pub fn place(&self) -> DeviceKind {
        match self.device {
            tch::Device::Cuda(n) => DeviceKind::Cuda(n),
            tch::Device::Mps => DeviceKind::Mps,
            _ => DeviceKind::Cpu,
        }
    }

    /// Sets the number of CPU threads of libtorch, for all backends of this process.
    pub fn set_threads(threads: usize) {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    }

    /// `0 .. n` as 64-bit integers.
    pub(crate) fn count(&self, n: usize) -> Value {
        Value::of(tch::Tensor::f_arange(n as i64, (Kind::Int64, self.device)))
    }

    /// Converts to full precision.
    pub(crate) fn wide(&self, value: &Value) -> Value {
        value.to(self.full)
    }

    /// A tensor in full precision.
    pub(crate) fn whole(&self, tensor: &Tensor) -> Value {
        self.wide(&tensor.value())
    }

    /// A vector in full precision, `[n]`.
    pub(crate) fn vector(&self, tensor: &Tensor) -> Value {
        self.whole(tensor).flat()
    }

    /// A matrix in full precision, `[rows, columns]`.
    pub(crate) fn matrix(&self, tensor: &Tensor) -> Value {
        self.whole(tensor).rows(tensor.shape.width())
    }

    fn check(&mut self, outcome: Result<(), DeviceError>) {
        if let (Err(error), None) = (outcome, &self.error) {
            self.error = Some(error);
        }
    }

    /// `to = value`. The tensor takes over the value's memory if possible, so nothing else may share it.
    pub(crate) fn put(&mut self, value: &Value, to: &mut Tensor) {
        let extents = to.shape.extents();
        let value = value.view(&extents).with(&to.value(), |x, to| x.f_to_kind(to.kind())?.f_contiguous());
        let outcome = value.get().map(|x| to.inner = x);
        self.check(outcome);
    }

    /// `to = value` for columns of a tensor, whose other columns stay.
    pub(crate) fn put_columns(&mut self, value: &Value, to: ColumnsMut<Tensor>) {
        self.copy_to(value, &columns_mut(&to));
    }

    /// Copies into the memory of `to`.
    pub(crate) fn copy_to(&mut self, value: &Value, to: &Value) {
        let outcome = value.with(to, |x, to| {
            let mut to = to.shallow_clone();
            to.f_copy_(&x.f_reshape(to.size())?).map(|()| to)
        });
        self.check(outcome.get().map(drop));
    }

    /// `to += value`
    pub(crate) fn add(&mut self, value: &Value, to: &mut Tensor) {
        let value = value.view(&to.shape.extents());
        let outcome = value.get().and_then(|x| Ok(to.inner.f_add_(&x)?));
        self.check(outcome.map(drop));
    }

    /// Stores the error of an in-place operation, if any.
    pub(crate) fn settle(&mut self, done: Value) {
        self.check(done.get().map(drop));
    }

    /// Changes tensors in place.
    pub(crate) fn change(&mut self, change: impl FnOnce() -> Result<(), tch::TchError>) {
        self.check(change().map_err(DeviceError::from));
    }
}

impl backend::Device for Tch {
    type Tensor = Tensor;
    type Indices = Indices;
    type Error = DeviceError;

    fn alloc(&mut self, shape: Shape, precision: Precision) -> Result<Tensor, DeviceError> {
        self.take_error()?;
        let (kind, extents) = match precision {
            // Vectors are small and need full precision: decays, temperatures, gains.
            Precision::Compute if shape.rank() > 1 => (self.compute, extents(shape)),
            Precision::Compute | Precision::Full | Precision::Master => (self.full, extents(shape)),
            // Recomputing in the backward pass needs the inputs only, and autograd keeps the logits itself.
            Precision::Saved | Precision::Scratch => (self.full, [0; 3]),
        };
        Ok(Tensor { inner: tch::Tensor::f_zeros(extents, (kind, self.device))?, shape })
    }

    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, DeviceError> {
        self.take_error()?;
        Ok(Indices { inner: tch::Tensor::f_zeros(extents(shape), (Kind::Int64, self.device))?, shape })
    }

    fn upload(&mut self, src: &[f32], dst: &mut Tensor) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.len(), dst.shape.count(), "upload into {}", dst.shape);
        let host = tch::Tensor::f_from_slice(src)?;
        Ok(dst.inner.f_copy_(&host.f_view_as(&dst.inner)?)?)
    }

    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.len(), dst.shape.count(), "upload into {}", dst.shape);
        let wide: Vec<i64> = src.iter().map(|&i| i.into()).collect();
        let host = tch::Tensor::f_from_slice(&wide)?;
        Ok(dst.inner.f_copy_(&host.f_view_as(&dst.inner)?)?)
    }

    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Tensor, DeviceError> {
        backend::widened(self, src)
    }

    fn download(&mut self, src: &Tensor, dst: &mut [f32]) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.shape.count(), dst.len(), "download of {}", src.shape);
        let host = src.inner.f_to_kind(Kind::Float)?.f_to_device(tch::Device::Cpu)?;
        Ok(host.f_contiguous()?.f_copy_data(dst, dst.len())?)
    }

    fn download_indices(&mut self, src: &Indices, dst: &mut [u32]) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.shape.count(), dst.len(), "download of {}", src.shape);
        let mut wide = vec![0i64; dst.len()];
        src.inner.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_copy_data(&mut wide, dst.len())?;
        dst.iter_mut().zip(wide).for_each(|(to, from)| *to = from as u32);
        Ok(())
    }

    fn fill(&mut self, value: f32, dst: &mut Tensor) {
        self.change(|| dst.inner.f_fill_(f64::from(value)).map(drop));
    }

    fn copy(&mut self, src: &Tensor, dst: &mut Tensor) {
        assert_eq!(src.shape, dst.shape, "copy");
        self.change(|| dst.inner.f_copy_(&src.inner));
    }
}

impl Tch {
    /// Returns and clears the first error of the kernels.
    fn take_error(&mut self) -> Result<(), DeviceError> {
        self.error.take().map_or(Ok(()), Err)
    }
}
