//! Devices of libtorch.

use crate::error::DeviceError;
use std::{fmt, str::FromStr};
use tch::{Cuda, Device, utils::has_mps};

/// The version of libtorch that this backend is built and tested with.
pub const LIBTORCH: &str = "2.11.0";

/// A device of libtorch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DeviceKind {
    /// The best available: the first CUDA device, else MPS, else the CPU.
    #[default]
    Best,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU by its ordinal.
    Cuda(usize),
    /// The GPU of Apple silicon.
    Mps,
}

impl DeviceKind {
    /// The device.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] if libtorch does not find it.
    pub fn device(self) -> Result<Device, DeviceError> {
        let available = devices();
        let found = match self {
            Self::Best => available.first().copied(),
            _ => available.iter().copied().find(|&device| device == self),
        };
        match found {
            Some(Self::Cuda(n)) => Ok(Device::Cuda(n)),
            Some(Self::Mps) => Ok(Device::Mps),
            Some(_) => Ok(Device::Cpu),
            None => {
                let available: Vec<String> = available.iter().map(Self::to_string).collect();
                Err(DeviceError::Absent { device: self.to_string(), available: available.join(", ") })
            }
        }
    }
}

/// All devices that libtorch finds, the best first.
pub fn devices() -> Vec<DeviceKind> {
    let cuda = (0..Cuda::device_count().max(0) as usize).map(DeviceKind::Cuda);
    cuda.chain(has_mps().then_some(DeviceKind::Mps)).chain([DeviceKind::Cpu]).collect()
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => f.write_str("device"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Mps => f.write_str("mps"),
        }
    }
}

impl FromStr for DeviceKind {
    type Err = ();

    /// `cpu`, `cuda`, `cuda:N` or `mps`.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "mps" => Ok(Self::Mps),
            "cuda" => Ok(Self::Cuda(0)),
            _ => name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda).ok_or(()),
        }
    }
}
