//! Errors of the libtorch backend.

use std::sync::Arc;
use tch::TchError;

/// An error of libtorch or its device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DeviceError {
    /// An allocation on the device failed.
    OutOfMemory,
    /// The device does not exist, or this libtorch was built without support for it.
    Absent {
        /// The requested device.
        device: String,
        /// The available devices.
        available: String,
    },
    /// The device does not support this precision.
    Precision {
        /// The device.
        device: String,
        /// The precision.
        precision: &'static str,
    },
    /// Any other error, with libtorch's message.
    Libtorch(Arc<str>),
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfMemory => write!(f, "libtorch is out of memory on its device; choose a smaller batch, context or model"),
            Self::Absent { device, available } => write!(f, "libtorch finds no {device}, only {available}; choose one of these"),
            Self::Precision { device, precision } => {
                write!(f, "{device} does not support {precision}; use precision f32 or choose another device")
            }
            Self::Libtorch(what) => write!(f, "libtorch error: {what}; if the device was lost, restart the program"),
        }
    }
}

impl std::error::Error for DeviceError {}

impl From<TchError> for DeviceError {
    /// libtorch errors differ only in their message; the lines after the first are a C++ stack trace.
    fn from(e: TchError) -> Self {
        let text = match e {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let out_of_memory = ["out of memory", "can't allocate memory", "not enough memory", "calculation overflowed"];
        if out_of_memory.iter().any(|words| text.contains(words)) {
            return Self::OutOfMemory;
        }
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
        Self::Libtorch(line.trim_end_matches(['.', ';']).into())
    }
}
