use crate::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// How weights are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dtype {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16: 11 significant bits, up to 65504.
    F16,
    /// bfloat16: 8 significant bits, the range of f32.
    Bf16,
}

impl Dtype {
    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name in a safetensors file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    pub(super) const fn safetensors(self) -> safetensors::Dtype {
        match self {
            Self::F32 => safetensors::Dtype::F32,
            Self::F16 => safetensors::Dtype::F16,
            Self::Bf16 => safetensors::Dtype::BF16,
        }
    }

    pub(super) fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        match dtype {
            safetensors::Dtype::F32 => Some(Self::F32),
            safetensors::Dtype::F16 => Some(Self::F16),
            safetensors::Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Widens little-endian values; exact.
    ///
    /// # Panics
    /// If there are not as many values in `bytes` as in `dst`.
    pub fn decode(self, bytes: &[u8], dst: &mut [f32]) {
        assert_eq!(bytes.len(), dst.len() * self.size(), "decode: bytes for values");
        match self {
            Self::F32 => {
                for (x, b) in dst.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *x = f32::from_le_bytes(*b);
                }
            }
            Self::F16 => decode_half(bytes, dst, f16_to_f32),
            Self::Bf16 => decode_half(bytes, dst, bf16_to_f32),
        }
    }

    /// Narrows to little-endian values, rounded to nearest even. What is too large for the type becomes infinite.
    ///
    /// # Panics
    /// If there are not as many values in `dst` as in `values`.
    pub fn encode(self, values: &[f32], dst: &mut [u8]) {
        assert_eq!(dst.len(), values.len() * self.size(), "encode: bytes for values");
        match self {
            Self::F32 => {
                for (b, x) in dst.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                    *b = x.to_le_bytes();
                }
            }
            Self::F16 => encode_half(values, dst, f32_to_f16),
            Self::Bf16 => encode_half(values, dst, f32_to_bf16),
        }
    }

    /// The least magnitude that this type rounds to infinity.
    pub const fn overflow(self) -> f32 {
        match self {
            Self::F32 => f32::INFINITY,
            Self::F16 => 65520.0,
            Self::Bf16 => f32::from_bits(0x7f7f_8000),
        }
    }
}

fn decode_half(bytes: &[u8], dst: &mut [f32], widen: fn(u16) -> f32) {
    for (x, b) in dst.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *x = widen(u16::from_le_bytes(*b));
    }
}

fn encode_half(values: &[f32], dst: &mut [u8], narrow: fn(f32) -> u16) {
    for (b, &x) in dst.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *b = narrow(x).to_le_bytes();
    }
}
