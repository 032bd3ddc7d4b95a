//! What can go wrong with a GPU.

use cudarc::driver::result::DriverError;

/// Why something could not be had of the device. Each message says what was wrong and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no NVIDIA driver on this device.
    NoDriver,
    /// The driver has no such device.
    Absent {
        /// Number that was asked for.
        asked: usize,
        /// How many devices there are.
        there: usize,
    },
    /// The device is older than the kernels' instructions.
    Old {
        /// Its name.
        name: String,
        /// Its compute capability, times ten.
        capability: i32,
    },
    /// A library that comes with the CUDA toolkit was not found.
    NoLibrary {
        /// Which one.
        name: &'static str,
    },
    /// The device has no room.
    OutOfMemory {
        /// Bytes that were asked for.
        asked: usize,
        /// Bytes that were free, of how many.
        free: [usize; 2],
    },
    /// Work that is to be replayed did what a replay would not do again.
    WhileRecording(&'static str),
    /// The kernels do not do that.
    Unsupported(String),
    /// Anything else, in the driver's or a library's words.
    Driver(String),
}

impl DeviceError {
    /// What the driver says of it.
    pub(crate) fn driver(e: DriverError) -> Self {
        Self::Driver(e.error_string().map_or_else(|_| format!("{e:?}"), |said| said.to_string_lossy().into_owned()))
    }
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: usize| bytes as f64 / (1u64 << 30) as f64;
        match self {
            Self::NoDriver => {
                write!(f, "there is no NVIDIA driver on this device (libcuda was not found); install it, or choose --backend cpu")
            }
            Self::Absent { asked, there: 0 } => {
                write!(f, "cuda:{asked} is not there: the NVIDIA driver sees no device; choose --backend cpu")
            }
            Self::Absent { asked, there } => {
                write!(f, "cuda:{asked} is not there: devices are cuda:0 to cuda:{}; choose one of these", there - 1)
            }
            Self::Old { name, capability } => write!(
                f,
                "{name} has compute capability {}.{}, and the cuda backend needs 8.0; choose --backend cpu",
                capability / 10,
                capability % 10
            ),
            Self::NoLibrary { name } => write!(
                f,
                "{name} of CUDA 13 was not found; install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc nvidia-cublas` and name their lib folder in LD_LIBRARY_PATH"
            ),
            Self::OutOfMemory { asked, free: [free, total] } => write!(
                f,
                "the GPU is out of memory: {:.2} GiB were asked for, {:.2} of {:.2} GiB are free; choose a smaller batch, context or model",
                gib(*asked),
                gib(*free),
                gib(*total)
            ),
            Self::WhileRecording(what) => {
                write!(f, "{what} while work was being recorded to be replayed; what such work needs must be there after its first time")
            }
            Self::Unsupported(what) => {
                write!(f, "the cuda backend does not do that: {what}; choose another configuration or --backend cpu")
            }
            Self::Driver(what) => write!(f, "CUDA failed: {what}; if the device was lost, start again"),
        }
    }
}

impl std::error::Error for DeviceError {}
