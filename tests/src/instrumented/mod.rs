//! [`Cpu`] behind a layer that plants faults in its kernels and poisons its memory, to test the tests.

mod backward;
mod forward;

use crate::fault::Fault;
use hh_core::{
    backend::{Device, Precision},
    quant::QuantView,
    shape::{Shape, Shaped},
};
use hh_cpu::{Cpu, Float, Indices, OutOfMemory, Tensor};

/// [`Cpu`] with at most one [`Fault`], and with memory that can come poisoned.
pub struct Instrumented<F> {
    /// Does the work.
    pub cpu: Cpu<F>,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// Tensors `[B, T, …]` of these extents, the activations, come filled with NaN.
    pub poisoned: Option<(usize, usize)>,
}

impl<F: Float> Instrumented<F> {
    /// Nothing wrong yet.
    pub fn new(cpu: Cpu<F>) -> Self {
        Self { cpu, fault: None, poisoned: None }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

/// The same shape with other numbers.
fn map<F: Float>(t: &Tensor<F>, f: impl Fn(f64) -> f64) -> Tensor<F> {
    let mut t = t.clone();
    t.data_mut().iter_mut().for_each(|x| *x = F::of(f(x.to_f64())));
    t
}

/// A place to write what is then lost.
fn lost<F: Float>(t: &Tensor<F>) -> Tensor<F> {
    t.clone()
}

/// Applies `f` to some columns of a packed tensor.
fn map_columns<F: Float>(t: &mut Tensor<F>, start: usize, width: usize, f: impl Fn(F) -> F) {
    let stride = t.shape().width();
    for row in t.data_mut().chunks_mut(stride) {
        row[start..start + width].iter_mut().for_each(|x| *x = f(*x));
    }
}

impl<F: Float> Device for Instrumented<F> {
    type Tensor = Tensor<F>;
    type Indices = Indices;
    type Error = OutOfMemory;

    fn alloc(&mut self, shape: Shape, precision: Precision) -> Result<Tensor<F>, OutOfMemory> {
        let mut t = self.cpu.alloc(shape, precision)?;
        let [batch, time, _] = shape.extents();
        if shape.rank() == 3 && self.poisoned == Some((batch, time)) {
            t.data_mut().fill(F::of(f64::NAN));
        }
        Ok(t)
    }
    fn logit_rows(&self, rows: usize, vocab: usize) -> usize {
        self.cpu.logit_rows(rows, vocab)
    }
    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, OutOfMemory> {
        self.cpu.alloc_indices(shape)
    }
    fn upload(&mut self, src: &[f32], dst: &mut Tensor<F>) -> Result<(), OutOfMemory> {
        self.cpu.upload(src, dst)
    }
    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), OutOfMemory> {
        self.cpu.upload_indices(src, dst)
    }
    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Tensor<F>, OutOfMemory> {
        self.cpu.upload_quantised(src)
    }
    fn download(&mut self, src: &Tensor<F>, dst: &mut [f32]) -> Result<(), OutOfMemory> {
        self.cpu.download(src, dst)
    }
    fn download_indices(&mut self, src: &Indices, dst: &mut [u32]) -> Result<(), OutOfMemory> {
        self.cpu.download_indices(src, dst)
    }
    fn fill(&mut self, value: f32, dst: &mut Tensor<F>) {
        self.cpu.fill(value, dst);
    }
    fn copy(&mut self, src: &Tensor<F>, dst: &mut Tensor<F>) {
        self.cpu.copy(src, dst);
    }
}
