//! The backend: compute precision, memory, errors, and kernel launches.

use crate::{
    cross_entropy,
    error::DeviceError,
    launch::{Arg, GpuDevice, Kernel, LaunchDims, Memory, Product, Variant},
    optimise::Tables,
    scratch::Scratch,
    tensor::{Indices, Mat, Tensor, aligned, vec_width},
};
use hh_core::{
    backend::{self, Device, Precision},
    half,
    quant::QuantView,
    shape::Shape,
};
use std::sync::Arc;

/// Most blocks of a grid in its second and third dimension.
const MAX_BLOCKS: usize = 65_535;

/// Precision of matrix products and activations; sums are always f32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Compute {
    /// f32.
    #[default]
    F32,
    /// bf16, on tensor cores; master weights, states, statistics and losses stay f32.
    Bf16,
}

/// The CUDA backend.
///
/// Kernels return nothing: the first error is returned by the next call of `alloc`, `upload` or `download`, and no kernel is
/// launched until then.
pub struct Cuda {
    pub(crate) device: Arc<GpuDevice>,
    pub(crate) compute: Compute,
    pub(crate) scratch: Scratch,
    pub(crate) tables: Tables,
    pub(crate) error: Option<DeviceError>,
    /// Nothing is recorded as a CUDA graph.
    pub(crate) eager: bool,
    /// Number of graph launches so far.
    pub(crate) replays: u64,
    /// A buffer for uploads and downloads.
    host: Vec<u8>,
}

impl Cuda {
    /// The GPU of this ordinal.
    ///
    /// # Errors
    /// [`DeviceError`]: no driver, no such device, a compute capability below 8.0, a missing library.
    pub fn new(ordinal: usize, compute: Compute) -> Result<Self, DeviceError> {
        Ok(Self::on(GpuDevice::gpu(ordinal)?, compute))
    }

    /// A device that allocates and computes nothing, to estimate memory: the bytes that a model, a training step or generation
    /// would allocate on a GPU are counted in [`held`](Self::held).
    pub fn planned(compute: Compute) -> Self {
        Self::on(GpuDevice::planned(), compute)
    }

    /// The emulated device: runs the same kernels on the host, slowly.
    #[cfg(feature = "emulate")]
    pub fn emulated(compute: Compute) -> Self {
        Self::on(GpuDevice::emulated(), compute)
    }

    fn on(device: GpuDevice, compute: Compute) -> Self {
        Self {
            eager: device.synchronous(),
            device: Arc::new(device),
            compute,
            scratch: Scratch::default(),
            tables: Tables::default(),
            error: None,
            replays: 0,
            host: Vec::new(),
        }
    }

    /// Name of the device.
    pub fn name(&self) -> String {
        self.device.name()
    }

    /// The same backend without CUDA graphs: each kernel is launched separately.
    pub fn eager(self) -> Self {
        Self { eager: true, ..self }
    }

    /// Number of times that a [recorded](crate::Recording) graph was launched instead of its kernels.
    pub fn replays(&self) -> u64 {
        self.replays
    }

    /// Bytes of device memory allocated now for tensors and scratch, and the peak.
    pub fn held(&self) -> [usize; 2] {
        self.device.held()
    }

    /// Whether products and activations are bf16.
    pub(crate) fn bf16(&self) -> bool {
        self.compute == Compute::Bf16
    }

    /// Stores the first error; `None` on an error.
    pub(crate) fn check<T>(&mut self, outcome: Result<T, DeviceError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }

    fn take_error(&mut self) -> Result<(), DeviceError> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// Frees all scratch memory, at the start of each method of the backend traits.
    pub(crate) fn reset_scratch(&mut self) {
        let outcome = self.scratch.reset(&self.device);
        self.check(outcome);
    }

    /// Address of scratch memory, valid until the next [`reset_scratch`](Self::reset_scratch). If the allocation fails, the error
    /// is stored and kernels that would use the memory are not launched.
    pub(crate) fn take(&mut self, bytes: usize) -> u64 {
        let outcome = self.scratch.take(&self.device, bytes);
        self.check(outcome).unwrap_or(0)
    }

    /// f32 scratch `[rows, width]`.
    pub(crate) fn take_full(&mut self, rows: usize, width: usize) -> Mat {
        Mat::full(self.take(4 * rows * width), width)
    }

    /// Scratch `[rows, width]` in the compute precision.
    pub(crate) fn take_compute(&mut self, rows: usize, width: usize) -> Mat {
        let bf16 = self.bf16();
        Mat { address: self.take(if bf16 { 2 } else { 4 } * rows * width), bf16, stride: width }
    }

    /// Launches a kernel of `source`, unless the grid is empty.
    pub(crate) fn run(&mut self, source: &'static str, name: &'static str, variant: Variant, launch_dims: LaunchDims, args: &[Arg]) {
        if self.error.is_none() && launch_dims.grid.iter().all(|&n| n > 0) {
            let kernel = Kernel { source, name, variant };
            let [_, heads, sequences] = launch_dims.grid;
            let outcome = if heads.max(sequences) > MAX_BLOCKS {
                let most = format!("batches of {} sequences, more than {MAX_BLOCKS} ({kernel})", heads.max(sequences));
                Err(DeviceError::Unsupported(most))
            } else {
                self.device.launch(kernel, launch_dims, args)
            };
            self.check(outcome);
        }
    }

    /// Queues a matrix product.
    pub(crate) fn product(&mut self, product: &Product) {
        if self.error.is_none() {
            let outcome = self.device.product(product);
            self.check(outcome);
        }
    }

    /// Updates the bf16 copy of a weight that was written.
    fn cast_shadow(&mut self, of: &Tensor) {
        if of.shadow.is_some() {
            self.convert(of.mat(), of.for_products(), of.shape.rows(), of.shape.width());
        }
    }

    /// `to = from`, `[rows, width]`, in any precisions.
    pub(crate) fn convert(&mut self, from: Mat, to: Mat, rows: usize, width: usize) {
        let n = vec_width(8, &[width], &[from, to]);
        let args = [from.into(), to.into(), (rows as u64).into(), width.into()];
        self.run("convert", "convert", Variant::Vec(n), LaunchDims::threads(rows * width / n, 256), &args);
    }
}

impl Device for Cuda {
    type Tensor = Tensor;
    type Indices = Indices;
    type Error = DeviceError;

    fn alloc(&mut self, shape: Shape, precision: Precision) -> Result<Tensor, DeviceError> {
        self.take_error()?;
        let bf16 = self.bf16() && matches!(precision, Precision::Compute | Precision::Scratch);
        let stride = if precision == Precision::Scratch { aligned(shape.width()) } else { shape.width() };
        // Weights, and the matrices of their size.
        let rows = if shape.rank() == 2 && precision != Precision::Scratch { aligned(shape.rows()) } else { shape.rows() };
        let count = rows.saturating_mul(stride);
        let shadowed = self.bf16() && precision == Precision::Master && shape.rank() == 2;
        let shadow = if shadowed { Some(Memory::new(&self.device, count.saturating_mul(2))?) } else { None };
        let memory = Memory::new(&self.device, count.saturating_mul(if bf16 { 2 } else { 4 }))?;
        Ok(Tensor { memory, shape, bf16, stride, shadow })
    }

    fn logit_rows(&self, rows: usize, vocab: usize) -> usize {
        cross_entropy::logit_rows(self, rows, vocab)
    }

    fn alloc_indices(&mut self, shape: Shape) -> Result<Indices, DeviceError> {
        self.take_error()?;
        Ok(Indices { memory: Memory::new(&self.device, shape.count().saturating_mul(4))?, shape })
    }

    fn upload(&mut self, src: &[f32], dst: &mut Tensor) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.len(), dst.shape.count(), "elements to upload");
        self.host.clear();
        if dst.bf16 {
            self.host.extend(src.iter().flat_map(|&x| half::f32_to_bf16(x).to_ne_bytes()));
        } else {
            self.host.extend(src.iter().flat_map(|x| x.to_ne_bytes()));
        }
        dst.memory.upload(&self.host)?;
        self.cast_shadow(dst);
        Ok(())
    }

    fn upload_indices(&mut self, src: &[u32], dst: &mut Indices) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(src.len(), dst.shape.count(), "indices to upload");
        self.host.clear();
        self.host.extend(src.iter().flat_map(|x| x.to_ne_bytes()));
        dst.memory.upload(&self.host)
    }

    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Tensor, DeviceError> {
        backend::widened(self, src)
    }

    fn download(&mut self, src: &Tensor, dst: &mut [f32]) -> Result<(), DeviceError> {
        self.take_error()?;
        src.read(dst)
    }

    fn download_indices(&mut self, src: &Indices, dst: &mut [u32]) -> Result<(), DeviceError> {
        self.take_error()?;
        assert_eq!(dst.len(), src.shape.count(), "indices to download");
        self.host.resize(4 * dst.len(), 0);
        src.memory.download(&mut self.host)?;
        dst.iter_mut().zip(self.host.as_chunks::<4>().0).for_each(|(to, &b)| *to = u32::from_ne_bytes(b));
        Ok(())
    }

    fn fill(&mut self, value: f32, dst: &mut Tensor) {
        let (count, to) = (dst.shape.rows() * dst.stride, dst.flat());
        let n = vec_width(8, &[count], &[to]);
        self.run(
            "convert",
            "fill",
            Variant::Vec(n),
            LaunchDims::threads(count / n, 256),
            &[to.into(), (count as u64).into(), value.into()],
        );
        self.cast_shadow(dst);
    }

    fn copy(&mut self, src: &Tensor, dst: &mut Tensor) {
        assert_eq!(src.shape.extents(), dst.shape.extents(), "copy between different shapes");
        let (rows, width) = (src.shape.rows(), src.shape.width());
        self.convert(src.mat(), dst.mat(), rows, width);
        self.cast_shadow(dst);
    }
}
