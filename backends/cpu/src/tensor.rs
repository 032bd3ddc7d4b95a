//! Tensors of the CPU backend, and the backend itself.

use crate::{
    buffer::{Arena, Buffer, zeroed},
    error::OutOfMemory,
    quant::{matrix::Matrix, panels::Panels, round::Rounded},
    real::Real,
    simd::Level,
    threads::Threads,
};
use alloc::{boxed::Box, vec::Vec};
use hh_core::{
    backend::{Device, Precision, ZeroCopy},
    quant::QuantView,
    shape::{Shape, Shaped},
};

/// A row-major tensor, or a block-quantised weight, which matrix products and embeddings can read.
#[derive(Clone, Debug)]
pub struct Tensor<F: 'static> {
    shape: Shape,
    values: Values<F>,
}

/// The storage of a tensor.
#[derive(Clone, Debug)]
pub(crate) enum Values<F: 'static> {
    Dense(Buffer<F>),
    /// Boxed, since most tensors are small and not this.
    Quant(Box<Matrix>),
}

impl<F: 'static> Tensor<F> {
    /// All elements.
    ///
    /// # Panics
    /// If it is a block-quantised weight.
    pub fn data(&self) -> &[F] {
        match &self.values {
            Values::Dense(values) => &values[..self.shape.count()],
            Values::Quant(_) => panic!("a block-quantised weight {} where a dense tensor is needed", self.shape),
        }
    }
    /// All elements.
    ///
    /// # Panics
    /// If it is a block-quantised weight, or read in place.
    pub fn data_mut(&mut self) -> &mut [F] {
        match &mut self.values {
            Values::Dense(values) => &mut values[..self.shape.count()],
            Values::Quant(_) => panic!("a block-quantised weight {} is read-only and cannot be trained", self.shape),
        }
    }
    /// Shows the first `count` of the outermost extent; the memory of the others is kept, with what lies in it.
    ///
    /// # Panics
    /// If it was allocated with fewer, or is a block-quantised weight.
    pub fn show_first(&mut self, count: usize) {
        let mut dims = [0; 3];
        let rank = self.shape.rank();
        dims[..rank].copy_from_slice(self.shape.dims());
        dims[0] = count;
        let shape = Shape::from_dims(&dims[..rank]).expect("a shape");
        match &self.values {
            Values::Dense(values) if shape.count() <= values.len() => self.shape = shape,
            _ => panic!("the first {count} of {}", self.shape),
        }
    }
    /// The storage, dense or quantised.
    pub(crate) fn values(&self) -> &Values<F> {
        &self.values
    }
}

impl<F: 'static> Shaped for Tensor<F> {
    fn shape(&self) -> Shape {
        self.shape
    }
}

/// A tensor of u32: token ids, clocks and random keys.
#[derive(Clone, Debug)]
pub struct Indices {
    shape: Shape,
    data: Vec<u32>,
}

impl Indices {
    /// All elements.
    pub fn data(&self) -> &[u32] {
        &self.data
    }
    pub(crate) fn data_mut(&mut self) -> &mut [u32] {
        &mut self.data
    }
    /// The element of a sequence: its own, or the one of all.
    pub(crate) fn of(&self, sequence: usize) -> usize {
        self.data[if self.data.len() == 1 { 0 } else { sequence }] as usize
    }
    /// The largest element.
    pub(crate) fn most(&self) -> usize {
        self.data.iter().max().map_or(0, |&n| n as usize)
    }
}

impl Shaped for Indices {
    fn shape(&self) -> Shape {
        self.shape
    }
}

/// The CPU backend. `F` is the element type: f32, or f64 to check gradients.
pub struct Cpu<F> {
    pub(crate) level: Level,
    pub(crate) threads: Threads,
    /// Working memory of kernels; grows to the largest size during the first step and is then reused.
    pub(crate) scratch: Vec<F>,
    /// Likewise, for gathered rows that matrix products, which use `scratch`, read.
    pub(crate) gathered: Vec<F>,
    /// Likewise, for the left factor of products with quantised weights.
    pub(crate) rounded: Rounded,
    /// Likewise, for its rows where there are many.
    pub(crate) panels: Panels,
    /// Whether each row of a product has the bits that it has alone.
    pub(crate) rows_alone: bool,
    arena: Arena,
}

impl<F: Real> Cpu<F> {
    /// A backend with these threads and the widest SIMD level of this processor.
    pub fn new(threads: Threads) -> Self {
        Self::with_level(threads, Level::detect())
    }

    /// A backend with these threads and this SIMD level.
    pub fn with_level(threads: Threads, level: Level) -> Self {
        Self {
            level,
            threads,
            scratch: Vec::new(),
            gathered: Vec::new(),
            rounded: Rounded::default(),
            panels: Panels::default(),
            rows_alone: false,
            arena: Arena::default(),
        }
    }

    /// Computes each row of a matrix product as if it were the only one, so that a sequence has the same bits in a batch of any
    /// size. Products of many rows are slower so.
    #[must_use]
    pub fn with_rows_alone(self) -> Self {
        Self { rows_alone: true, ..self }
    }

    /// Its SIMD level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Its threads.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }
}

impl<F: Real> ZeroCopy for Cpu<F> {
    fn borrow_quantised(&mut self, blocks: QuantView<'static>) -> Tensor<F> {
        Tensor { shape: blocks.shape(), values: Values::Quant(Box::new(Matrix::borrowed(blocks))) }
    }
    fn borrow_f32(&mut self, shape: Shape, bytes: &'static [u8]) -> Option<Tensor<F>> {
        assert_eq!(bytes.len(), shape.count() * 4, "borrow_f32 of {shape}");
        F::in_place(bytes).map(|values| Tensor { shape, values: Values::Dense(Buffer::borrowed(values)) })
    }
}

impl<F: Real> Device for Cpu<F> {
    type Tensor = Tensor<F>;
    type Indices = Indices;
    type Error = OutOfMemory;

    fn alloc(&mut self, shape: Shape, _: Precision) -> Result<Tensor<F>, OutOfMemory> {
        Ok(Tensor { shape, values: Values::Dense(self.arena.zeros(shape.count())?) })
    }
    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, OutOfMemory> {
        Ok(Indices { shape, data: zeroed(shape.count())? })
    }
    fn upload(&mut self, src: &[f32], dst: &mut Tensor<F>) -> Result<(), OutOfMemory> {
        assert_eq!(src.len(), dst.shape.count(), "upload into {}", dst.shape);
        for (d, s) in dst.data_mut().iter_mut().zip(src) {
            *d = F::of_f32(*s);
        }
        Ok(())
    }
    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Tensor<F>, OutOfMemory> {
        Ok(Tensor { shape: src.shape(), values: Values::Quant(Box::new(Matrix::copied(src, &mut self.arena)?)) })
    }
    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), OutOfMemory> {
        dst.data.copy_from_slice(src);
        Ok(())
    }
    fn download(&mut self, src: &Tensor<F>, dst: &mut [f32]) -> Result<(), OutOfMemory> {
        assert_eq!(src.shape.count(), dst.len(), "download of {}", src.shape);
        match &src.values {
            Values::Dense(values) => dst.iter_mut().zip(values.iter()).for_each(|(d, s)| *d = s.to_f32()),
            Values::Quant(matrix) => matrix.blocks().widen(dst),
        }
        Ok(())
    }
    fn download_indices(&mut self, src: &Indices, dst: &mut [u32]) -> Result<(), OutOfMemory> {
        dst.copy_from_slice(&src.data);
        Ok(())
    }
    fn fill(&mut self, value: f32, dst: &mut Tensor<F>) {
        dst.data_mut().fill(F::of_f32(value));
    }
    fn copy(&mut self, src: &Tensor<F>, dst: &mut Tensor<F>) {
        assert_eq!(src.shape, dst.shape, "copy");
        dst.data_mut().copy_from_slice(src.data());
    }
}
