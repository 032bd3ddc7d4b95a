//! Tensors in device memory.

use crate::{
    error::DeviceError,
    launch::{Arg, Memory},
};
use hh_core::{
    half,
    ops::{Columns, ColumnsMut},
    shape::{Shape, Shaped},
};

/// A row-major tensor of f32 or bf16 in device memory.
#[derive(Debug)]
pub struct Tensor {
    pub(crate) memory: Memory,
    pub(crate) shape: Shape,
    pub(crate) bf16: bool,
    /// Elements from one row to the next: the width or, in scratch for logits, [`aligned`] of it.
    pub(crate) stride: usize,
    /// For an f32 master weight, its bf16 copy for matrix products; every write updates both.
    pub(crate) shadow: Option<Memory>,
}

/// A tensor of u32 in device memory.
#[derive(Debug)]
pub struct Indices {
    pub(crate) memory: Memory,
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

/// `Tensor` of common.cuh: a matrix as kernels see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat {
    /// 0 if absent.
    pub(crate) address: u64,
    pub(crate) bf16: bool,
    /// Elements from one row to the next.
    pub(crate) stride: usize,
}

impl Mat {
    /// An absent matrix.
    pub(crate) const NONE: Self = Self { address: 0, bf16: false, stride: 0 };

    /// An f32 matrix at an address.
    pub(crate) fn full(address: u64, stride: usize) -> Self {
        Self { address, bf16: false, stride }
    }

    /// Bytes of an element.
    pub(crate) fn size(&self) -> usize {
        if self.bf16 { 2 } else { 4 }
    }

    /// The same from row `n` on.
    pub(crate) fn rows_from(self, n: usize) -> Self {
        Self { address: self.address + (n * self.stride * self.size()) as u64, ..self }
    }

    pub(crate) fn arg(self) -> Arg {
        Arg::group(&[self.address.into(), self.bf16.into(), self.stride.into()])
    }

    /// Whether `n` adjacent elements can be loaded as a vector, at every multiple of `n` columns.
    fn allows_vec(&self, n: usize) -> bool {
        self.address == 0 || (self.stride.is_multiple_of(n) && self.address.is_multiple_of((n * self.size()).min(16) as u64))
    }
}

impl From<Mat> for Arg {
    fn from(mat: Mat) -> Self {
        mat.arg()
    }
}

/// The largest vector width, up to `max`, for loads from all these matrices, if rows are divided at multiples of `widths`.
pub(crate) fn vec_width(max: usize, widths: &[usize], mats: &[Mat]) -> usize {
    let fits = |&n: &usize| n <= max && widths.iter().all(|w| w.is_multiple_of(n)) && mats.iter().all(|m| m.allows_vec(n));
    [8, 4].into_iter().find(fits).unwrap_or(1)
}

/// An extent rounded up so that matrix products over it use aligned kernels: rows of a matrix have memory for as many, and rows of
/// logits are as far apart. What is added holds zeros, or whatever a product of zeros gives.
pub(crate) fn aligned(extent: usize) -> usize {
    extent.next_multiple_of(if extent > 1024 { 64 } else { 8 })
}

impl Tensor {
    /// All of it, row by row.
    pub(crate) fn mat(&self) -> Mat {
        Mat { address: self.memory.address(), bf16: self.bf16, stride: self.stride }
    }

    /// Whether it is a matrix that has memory for [`aligned`] rows.
    pub(crate) fn has_aligned_rows(&self) -> bool {
        self.memory.bytes() >= aligned(self.shape.rows()).saturating_mul(self.stride * self.mat().size())
    }

    /// All of it in bf16 if there is such a copy, else as it is.
    pub(crate) fn for_products(&self) -> Mat {
        self.shadow.as_ref().map_or(self.mat(), |shadow| Mat { address: shadow.address(), bf16: true, ..self.mat() })
    }

    /// All of it in one row: parameters, gradients.
    pub(crate) fn flat(&self) -> Mat {
        Mat { stride: 0, ..self.mat() }
    }

    /// All elements; waits for the device.
    ///
    /// # Errors
    /// [`DeviceError`] of the device.
    pub fn numbers(&self) -> Result<Vec<f32>, DeviceError> {
        let mut numbers = vec![0.0; self.shape.count()];
        self.read(&mut numbers)?;
        Ok(numbers)
    }

    pub(crate) fn read(&self, to: &mut [f32]) -> Result<(), DeviceError> {
        assert_eq!(to.len(), self.shape.count(), "elements to download");
        assert_eq!(self.stride, self.shape.width(), "scratch is read by its kernel alone");
        let mut bytes = vec![0; to.len() * self.mat().size()];
        self.memory.download(&mut bytes)?;
        if self.bf16 {
            let halves = bytes.as_chunks::<2>().0;
            to.iter_mut().zip(halves).for_each(|(to, &b)| *to = half::bf16_to_f32(u16::from_ne_bytes(b)));
        } else {
            to.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(to, &b)| *to = f32::from_ne_bytes(b));
        }
        Ok(())
    }
}

impl Indices {
    pub(crate) fn address(&self) -> u64 {
        self.memory.address()
    }
}

/// The view of columns of a packed tensor.
pub(crate) fn columns(columns: &Columns<Tensor>) -> Mat {
    columns.layout();
    let whole = columns.of.mat();
    Mat { address: whole.address + (columns.start * whole.size()) as u64, ..whole }
}

/// As [`columns`], for an output.
pub(crate) fn columns_mut(of: &ColumnsMut<Tensor>) -> Mat {
    columns(&Columns { of: &*of.of, start: of.start, width: of.width })
}

/// The tensor, or an absent matrix.
pub(crate) fn maybe(tensor: Option<&Tensor>) -> Mat {
    tensor.map_or(Mat::NONE, Tensor::mat)
}
