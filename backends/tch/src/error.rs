//! What can go wrong with libtorch or its device.

use std::sync::Arc;
use tch::TchError;

/// Why a tensor could not be had. Each message says what was wrong and what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device has no room.
    OutOfMemory,
    /// The device is not there, or this libtorch was built without it.
    Absent {
        /// What was asked for.
        asked: String,
        /// What there is.
        there: String,
    },
    /// The device cannot compute in this precision.
    Precision {
        /// Which device.
        device: String,
        /// Which precision.
        precision: &'static str,
    },
    /// Anything else, in libtorch's words.
    Libtorch(Arc<str>),
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfMemory => write!(f, "libtorch is out of memory on its device; choose a smaller batch, context or model"),
            Self::Absent { asked, there } => write!(f, "libtorch sees no {asked} on this machine, only {there}; choose one of these"),
            Self::Precision { device, precision } => {
                write!(f, "{device} does not compute in {precision}; leave the precision at f32, or choose another device")
            }
            Self::Libtorch(what) => write!(f, "libtorch failed: {what}; if its device was lost, start again"),
        }
    }
}

impl std::error::Error for DeviceError {}

impl From<TchError> for DeviceError {
    /// libtorch tells its faults apart by their words alone; what follows the first line is a C++ stack.
    fn from(e: TchError) -> Self {
        let text = match e {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let out_of_memory = ["out of memory", "can't allocate memory", "not enough memory", "calculation overflowed"];
        if out_of_memory.iter().any(|words| text.contains(words)) {
            return Self::OutOfMemory;
        }
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say why");
        Self::Libtorch(line.trim_end_matches(['.', ';']).into())
    }
}
