//! Numbers on the device.

use crate::{
    error::DeviceError,
    launch::{Arg, Memory},
};
use hh_core::{
    half,
    ops::{Columns, ColumnsMut},
    shape::{Shape, Shaped},
};

/// f32 or bf16 numbers on the device, row-major.
#[derive(Debug)]
pub struct Tensor {
    pub(crate) memory: Memory,
    pub(crate) shape: Shape,
    pub(crate) bf16: bool,
    /// The same in bf16, for products, where this is the f32 of a weight: whatever writes the one writes the other.
    pub(crate) shadow: Option<Memory>,
}

/// u32 numbers on the device.
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

/// Rows of numbers as kernels see them: `Tensor` of common.cuh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat {
    /// 0 where it is absent.
    pub(crate) address: u64,
    pub(crate) bf16: bool,
    /// Numbers from one row to the next.
    pub(crate) stride: usize,
}

impl Mat {
    /// One that is not there.
    pub(crate) const NONE: Self = Self { address: 0, bf16: false, stride: 0 };

    /// f32 numbers at an address.
    pub(crate) fn full(address: u64, stride: usize) -> Self {
        Self { address, bf16: false, stride }
    }

    /// Bytes of a number.
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

    /// Whether `n` adjacent numbers can be taken at a time, at every multiple of `n` columns.
    fn takes(&self, n: usize) -> bool {
        self.address == 0 || (self.stride.is_multiple_of(n) && self.address.is_multiple_of((n * self.size()).min(16) as u64))
    }
}

impl From<Mat> for Arg {
    fn from(mat: Mat) -> Self {
        mat.arg()
    }
}

/// How many adjacent numbers a thread can take at a time of all these, up to `most`, where rows are divided at multiples of `widths`.
pub(crate) fn vec_width(most: usize, widths: &[usize], mats: &[Mat]) -> usize {
    let fits = |&n: &usize| n <= most && widths.iter().all(|w| w.is_multiple_of(n)) && mats.iter().all(|m| m.takes(n));
    [8, 4].into_iter().find(fits).unwrap_or(1)
}

impl Tensor {
    /// All of it, in rows of its width.
    pub(crate) fn mat(&self) -> Mat {
        Mat { address: self.memory.address(), bf16: self.bf16, stride: self.shape.width() }
    }

    /// All of it in what products are computed in, as far as there is such a copy.
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
    /// [`DeviceError`] where the device fails.
    pub fn numbers(&self) -> Result<Vec<f32>, DeviceError> {
        let mut numbers = vec![0.0; self.shape.count()];
        self.read(&mut numbers)?;
        Ok(numbers)
    }

    pub(crate) fn read(&self, to: &mut [f32]) -> Result<(), DeviceError> {
        assert_eq!(to.len(), self.shape.count(), "numbers to download");
        let mut bytes = vec![0; self.memory.bytes()];
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

/// Columns of a packed tensor.
pub(crate) fn columns(columns: &Columns<Tensor>) -> Mat {
    columns.layout();
    let whole = columns.of.mat();
    Mat { address: whole.address + (columns.start * whole.size()) as u64, ..whole }
}

/// Columns of a packed tensor, to be written.
pub(crate) fn columns_mut(of: &ColumnsMut<Tensor>) -> Mat {
    columns(&Columns { of: &*of.of, start: of.start, width: of.width })
}

/// The tensor, or one that is not there.
pub(crate) fn maybe(tensor: Option<&Tensor>) -> Mat {
    tensor.map_or(Mat::NONE, Tensor::mat)
}
