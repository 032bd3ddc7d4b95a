//! What the backend holds, and the backend itself.

use crate::{
    float::Float,
    memory::{Arena, Buffer, own},
    simd::Level,
    threads::Threads,
};
use alloc::vec::Vec;
use hh_core::{
    backend::{Device, Precision},
    shape::{Shape, Shaped},
};

/// Numbers in row-major order.
#[derive(Clone, Debug)]
pub struct Tensor<F> {
    shape: Shape,
    data: Buffer<F>,
}

impl<F> Tensor<F> {
    /// All elements.
    pub fn data(&self) -> &[F] {
        &self.data
    }
    /// All elements.
    pub fn data_mut(&mut self) -> &mut [F] {
        &mut self.data
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

/// The machine had no room for a tensor of this many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory(
    /// Bytes asked for.
    pub usize,
);

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "out of memory: no room for {:.1} MB more; choose a smaller batch, context or model", self.0 as f64 / 1e6)
    }
}

impl core::error::Error for OutOfMemory {}

/// The CPU backend. `F` is what it computes in: f32, or f64 to check gradients.
pub struct Cpu<F> {
    pub(crate) level: Level,
    pub(crate) threads: Threads,
    /// Working memory of kernels; grows to the largest need during the first step and stays.
    pub(crate) scratch: Vec<F>,
    arena: Arena,
}

impl<F: Float> Cpu<F> {
    /// A backend with these threads and the widest instructions that the machine has.
    pub fn new(threads: Threads) -> Self {
        Self::with_level(threads, Level::detect())
    }

    /// The same with chosen instructions.
    pub fn with_level(threads: Threads, level: Level) -> Self {
        Self { level, threads, scratch: Vec::new(), arena: Arena::default() }
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

/// The first `len` elements of the working memory, of any content.
pub(crate) fn scratch<F: Float>(memory: &mut Vec<F>, len: usize) -> &mut [F] {
    if memory.len() < len {
        memory.resize(len, F::ZERO);
    }
    &mut memory[..len]
}

impl<F: Float> Device for Cpu<F> {
    type Tensor = Tensor<F>;
    type Indices = Indices;
    type Error = OutOfMemory;

    fn alloc(&mut self, shape: Shape, _: Precision) -> Result<Tensor<F>, OutOfMemory> {
        Ok(Tensor { shape, data: self.arena.zeros(shape.count())? })
    }
    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, OutOfMemory> {
        Ok(Indices { shape, data: own(shape.count())? })
    }
    fn upload(&mut self, src: &[f32], dst: &mut Tensor<F>) -> Result<(), OutOfMemory> {
        assert_eq!(src.len(), dst.data.len(), "upload into {}", dst.shape);
        for (d, s) in dst.data.iter_mut().zip(src) {
            *d = F::of_f32(*s);
        }
        Ok(())
    }
    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), OutOfMemory> {
        dst.data.copy_from_slice(src);
        Ok(())
    }
    fn download(&mut self, src: &Tensor<F>, dst: &mut [f32]) -> Result<(), OutOfMemory> {
        assert_eq!(src.data.len(), dst.len(), "download of {}", src.shape);
        for (d, s) in dst.iter_mut().zip(src.data.iter()) {
            *d = s.to_f32();
        }
        Ok(())
    }
    fn download_indices(&mut self, src: &Indices, dst: &mut [u32]) -> Result<(), OutOfMemory> {
        dst.copy_from_slice(&src.data);
        Ok(())
    }
    fn fill(&mut self, value: f32, dst: &mut Tensor<F>) {
        dst.data.fill(F::of_f32(value));
    }
    fn copy(&mut self, src: &Tensor<F>, dst: &mut Tensor<F>) {
        assert_eq!(src.shape, dst.shape, "copy");
        dst.data.copy_from_slice(&src.data);
    }
}
