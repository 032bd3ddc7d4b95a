//! Kernel arguments in the memory layout of C++.

/// One argument: a scalar, an address, or a structure of these.
#[derive(Clone, Copy)]
pub(crate) struct Arg {
    bytes: [u8; Arg::MAX],
    len: usize,
    align: usize,
}

impl Arg {
    /// Bytes of the largest structure.
    const MAX: usize = 160;

    fn scalar<const N: usize>(value: [u8; N]) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[..N].copy_from_slice(&value);
        Self { bytes, len: N, align: N }
    }

    /// A structure: each field at the next multiple of its alignment, and the whole a multiple of the widest.
    ///
    /// # Panics
    /// Beyond [`MAX`](Self::MAX) bytes.
    pub(crate) fn group(fields: &[Self]) -> Self {
        let mut whole = Self { bytes: [0; Self::MAX], len: 0, align: 1 };
        for field in fields {
            let start = whole.len.next_multiple_of(field.align);
            whole.bytes[start..start + field.len].copy_from_slice(&field.bytes[..field.len]);
            whole.len = start + field.len;
            whole.align = whole.align.max(field.align);
        }
        whole.len = whole.len.next_multiple_of(whole.align);
        whole
    }

    /// Address of the first byte.
    pub(super) fn address(&self) -> *const std::ffi::c_void {
        self.bytes.as_ptr().cast()
    }

    /// Its bytes in memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Number of bytes.
    #[cfg(feature = "emulate")]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl From<i32> for Arg {
    fn from(value: i32) -> Self {
        Self::scalar(value.to_ne_bytes())
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::scalar(value.to_ne_bytes())
    }
}

impl From<f32> for Arg {
    fn from(value: f32) -> Self {
        Self::scalar(value.to_ne_bytes())
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Self {
        Self::scalar(value.to_ne_bytes())
    }
}

/// An address, or a `size_t`.
impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self::scalar(value.to_ne_bytes())
    }
}

/// An extent: `int` in the kernels. Counts of elements are passed as u64.
///
/// # Panics
/// From 2³¹ on.
impl From<usize> for Arg {
    fn from(value: usize) -> Self {
        i32::try_from(value).expect("an extent below 2^31").into()
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        i32::from(value).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_laid_out_as_in_c() {
        let tensor = Arg::group(&[0x0102_0304_0506_0708_u64.into(), true.into(), 7usize.into()]);
        let memory = Arg::group(&[tensor, 1i32.into(), 2i32.into(), 3i32.into()]);
        assert_eq!((tensor.len, tensor.align, memory.len), (16, 8, 32));
        let outer = Arg::group(&[1.5f32.into(), memory, 4i32.into()]);
        assert_eq!((outer.len, outer.bytes[8], outer.bytes[24], outer.bytes[40]), (48, 8, 1, 4));
    }
}
