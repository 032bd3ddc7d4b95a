//! Errors of the CUDA backend.

use cudarc::driver::result::DriverError;
use std::{fmt::Display, path::PathBuf};

/// An error of the device, the driver or a library.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeviceError {
    /// No NVIDIA driver is installed.
    NoDriver,
    /// The driver has no such device.
    Absent {
        /// The requested ordinal.
        ordinal: usize,
        /// Number of devices.
        count: usize,
    },
    /// The compute capability of the device is below 8.0.
    TooOld {
        /// Its name.
        name: String,
        /// Its compute capability, times ten.
        capability: i32,
    },
    /// A library of the CUDA toolkit was not found.
    NoLibrary {
        /// The library.
        name: &'static str,
        /// A folder that has it, but that the loader does not search.
        folder: Option<PathBuf>,
    },
    /// An allocation on the device failed.
    OutOfMemory {
        /// Bytes requested.
        requested: usize,
        /// Free and total bytes of the device.
        free: [usize; 2],
    },
    /// An operation that a graph cannot repeat, during recording.
    WhileRecording(&'static str),
    /// A configuration that the kernels do not support.
    Unsupported(String),
    /// Any other error, with the message of the driver or library and the kernel or product concerned, if known.
    Driver(String),
}

impl DeviceError {
    /// An error with the driver's message.
    pub(crate) fn driver(e: DriverError) -> Self {
        Self::Driver(e.error_string().map_or_else(|_| format!("{e:?}"), |message| message.to_string_lossy().into_owned()))
    }

    /// The same error, with what was done.
    pub(crate) fn in_work(self, work: impl Display) -> Self {
        match self {
            Self::Driver(what) => Self::Driver(format!("{what} in {work}")),
            other => other,
        }
    }

    /// The same error of earlier work, since the device reports errors late.
    pub(crate) fn in_earlier_work(self) -> Self {
        self.in_work("work queued before (HH_CUDA_SYNC=1 in the environment finds the kernel)")
    }
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: usize| bytes as f64 / (1u64 << 30) as f64;
        match self {
            Self::NoDriver => {
                write!(f, "no NVIDIA driver is installed (libcuda was not found); install it, or choose --backend cpu")
            }
            Self::Absent { ordinal, count: 0 } => {
                write!(f, "cuda:{ordinal} does not exist: the NVIDIA driver finds no device; choose --backend cpu")
            }
            Self::Absent { ordinal, count } => {
                write!(f, "cuda:{ordinal} does not exist: devices are cuda:0 to cuda:{}; choose one of these", count - 1)
            }
            Self::TooOld { name, capability } => write!(
                f,
                "{name} has compute capability {}.{}, and the cuda backend needs 8.0 or newer; choose --backend cpu",
                capability / 10,
                capability % 10
            ),
            Self::NoLibrary { name, folder: Some(folder) } => write!(
                f,
                "{name} of CUDA 13 was not found by the loader; run `export LD_LIBRARY_PATH={}:$LD_LIBRARY_PATH` first",
                folder.display()
            ),
            Self::NoLibrary { name, folder: None } => write!(
                f,
                "{name} of CUDA 13 was not found; install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc nvidia-cublas` and run `export LD_LIBRARY_PATH=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])')/cu13/lib:$LD_LIBRARY_PATH`"
            ),
            Self::OutOfMemory { requested, free: [free, total] } => write!(
                f,
                "the GPU is out of memory: {:.2} GiB requested, {:.2} of {:.2} GiB free; choose a smaller batch, context or model",
                gib(*requested),
                gib(*free),
                gib(*total)
            ),
            Self::WhileRecording(what) => {
                write!(f, "{what} while a graph was being recorded; repeated work must allocate, upload and download only in its first run")
            }
            Self::Unsupported(what) => {
                write!(f, "the cuda backend does not support {what}; choose another configuration or --backend cpu")
            }
            Self::Driver(what) => write!(f, "CUDA error: {what}; if the device was lost, restart the program"),
        }
    }
}

impl std::error::Error for DeviceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_searched_for_comes_with_the_line_to_export() {
        let said = DeviceError::NoLibrary { name: "libx", folder: Some("/opt/cu13/lib".into()) }.to_string();
        assert!(said.contains("`export LD_LIBRARY_PATH=/opt/cu13/lib:$LD_LIBRARY_PATH`"), "{said}");
        let said = DeviceError::NoLibrary { name: "libx", folder: None }.to_string();
        assert!(said.contains("pip install") && said.contains("export LD_LIBRARY_PATH="), "{said}");
    }

    #[test]
    fn an_error_names_the_work() {
        let said = DeviceError::Driver("illegal address".into()).in_work("norm_rows of norm.cu").to_string();
        assert!(said.contains("illegal address in norm_rows of norm.cu"), "{said}");
    }
}
