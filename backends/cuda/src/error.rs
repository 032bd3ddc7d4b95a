//! Errors of the CUDA backend.

use cudarc::driver::result::DriverError;

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
    /// Any other error, with the message of the driver or library.
    Driver(String),
}

impl DeviceError {
    /// An error with the driver's message.
    pub(crate) fn driver(e: DriverError) -> Self {
        Self::Driver(e.error_string().map_or_else(|_| format!("{e:?}"), |message| message.to_string_lossy().into_owned()))
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
            Self::NoLibrary { name } => write!(
                f,
                "{name} of CUDA 13 was not found; install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc nvidia-cublas` and add their lib folders to LD_LIBRARY_PATH"
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
