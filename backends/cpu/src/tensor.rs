//! What the backend holds, and the backend itself.

use crate::{
    buffer::{Arena, Buffer, own},
    error::OutOfMemory,
    quant::{matrix::Matrix, round::Rounded},
    real::Real,
    simd::Level,
    threads::Threads,
};
use alloc::vec::Vec;
use hh_core::{
    backend::{Device, Precision, ZeroCopy},
    quant::QuantView,
    shape::{Shape, Shaped},
};

/// Numbers in row-major order; or a weight in blocks, which products and embeddings read.
#[derive(Clone, Debug)]
pub struct Tensor<F> {
    shape: Shape,
    values: Values<F>,
}

/// What a tensor holds.
#[derive(Clone, Debug)]
pub(crate) enum Values<F> {
    Numbers(Buffer<F>),
    Quant(Matrix),
}

impl<F> Tensor<F> {
    /// All elements.
    ///
    /// # Panics
    /// If it is a weight in blocks.
    pub fn data(&self) -> &[F] {
        match &self.values {
            Values::Numbers(numbers) => numbers,
            Values::Quant(_) => panic!("a weight in blocks {} where only numbers can be read", self.shape),
        }
    }
    /// All elements.
    ///
    /// # Panics
    /// If it is a weight in blocks.
    pub fn data_mut(&mut self) -> &mut [F] {
        match &mut self.values {
            Values::Numbers(numbers) => numbers,
            Values::Quant(_) => panic!("a weight in blocks {} is only read: it cannot be trained", self.shape),
        }
    }
    /// Either of what it may hold.
    pub(crate) fn values(&self) -> &Values<F> {
        &self.values
    }
}

impl<F> Shaped for Tensor<F> {
    fn shape(&self) -> Shape {
        self.shape
    }
}

/// Token ids, clocks and random keys.
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
}

impl Shaped for Indices {
    fn shape(&self) -> Shape {
        self.shape
    }
}

/// The CPU backend. `F` is what it computes in: f32, or f64 to check gradients.
pub struct Cpu<F> {
    pub(crate) level: Level,
    pub(crate) threads: Threads,
    /// Working memory of kernels; grows to the largest need during the first step and stays.
    pub(crate) scratch: Vec<F>,
    /// Likewise, of rows that lie together while products, which have the other, go over them.
    pub(crate) gathered: Vec<F>,
    /// Likewise of products with blocks.
    pub(crate) rounded: Rounded,
    arena: Arena,
}

impl<F: Real> Cpu<F> {
    /// A backend with these threads and the widest instructions that the machine has.
    pub fn new(threads: Threads) -> Self {
        Self::with_level(threads, Level::detect())
    }

    /// The same with chosen instructions.
    pub fn with_level(threads: Threads, level: Level) -> Self {
        Self { level, threads, scratch: Vec::new(), gathered: Vec::new(), rounded: Rounded::default(), arena: Arena::default() }
    }

    /// Its instructions.
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
        Tensor { shape: blocks.shape(), values: Values::Quant(Matrix::lent(blocks)) }
    }
}

impl<F: Real> Device for Cpu<F> {
    type Tensor = Tensor<F>;
    type Indices = Indices;
    type Error = OutOfMemory;

    fn alloc(&mut self, shape: Shape, _: Precision) -> Result<Tensor<F>, OutOfMemory> {
        Ok(Tensor { shape, values: Values::Numbers(self.arena.zeros(shape.count())?) })
    }
    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, OutOfMemory> {
        Ok(Indices { shape, data: own(shape.count())? })
    }
    fn upload(&mut self, src: &[f32], dst: &mut Tensor<F>) -> Result<(), OutOfMemory> {
        assert_eq!(src.len(), dst.shape.count(), "upload into {}", dst.shape);
        for (d, s) in dst.data_mut().iter_mut().zip(src) {
            *d = F::of_f32(*s);
        }
        Ok(())
    }
    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Tensor<F>, OutOfMemory> {
        Ok(Tensor { shape: src.shape(), values: Values::Quant(Matrix::copied(src, &mut self.arena)?) })
    }
    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), OutOfMemory> {
        dst.data.copy_from_slice(src);
        Ok(())
    }
    fn download(&mut self, src: &Tensor<F>, dst: &mut [f32]) -> Result<(), OutOfMemory> {
        assert_eq!(src.shape.count(), dst.len(), "download of {}", src.shape);
        match &src.values {
            Values::Numbers(numbers) => dst.iter_mut().zip(numbers.iter()).for_each(|(d, s)| *d = s.to_f32()),
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
