//! A GPU through the CUDA driver API: its primary context, one stream, all work in order.

use super::{Arg, Kernel, LaunchDims, Product, blas::Blas, compile::Nvrtc, detect, images::Images, staging::Staging};
use crate::error::DeviceError;
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::CString,
    sync::{Mutex, PoisonError},
};

/// Bytes of static shared memory that kernels may use in addition to dynamic shared memory.
const STATIC_SHARED: usize = 4 << 10;

pub(crate) struct Driver {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    max_shared: usize,
    /// Each launch is waited for, so that an error names its kernel.
    synchronous: bool,
    images: Images<Nvrtc>,
    loaded: Mutex<Loaded>,
    staging: Mutex<Staging>,
    blas: Blas,
}

/// Modules and functions loaded so far.
#[derive(Default)]
struct Loaded {
    modules: HashMap<(&'static str, super::Variant), Module>,
    functions: HashMap<Kernel, Function>,
}

#[derive(Clone, Copy)]
struct Module(sys::CUmodule);

#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

/// An executable CUDA graph, destroyed by [`Driver::forget`].
pub(super) struct Executable(sys::CUgraphExec);

// SAFETY: handles of the driver may be used from any thread that has made their context current, as every call here does.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Executable {}
// SAFETY: as above.
unsafe impl Send for Driver {}
// SAFETY: as above; mutable state is behind locks, and the stream orders queued work.
unsafe impl Sync for Driver {}

/// A device's primary context, retained once for the process: making one takes a good part of a second, and allocations of one
/// [`Driver`] would not survive another's releasing it.
pub(super) fn context(device: sys::CUdevice) -> Result<sys::CUcontext, DeviceError> {
    struct Context(sys::CUcontext);
    // SAFETY: handles of the driver may be used from any thread.
    unsafe impl Send for Context {}
    static CONTEXTS: Mutex<BTreeMap<sys::CUdevice, Context>> = Mutex::new(BTreeMap::new());
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = contexts.get(&device) {
        return Ok(context.0);
    }
    // SAFETY: the device came from the driver.
    let context = unsafe { result::primary_ctx::retain(device) }.map_err(DeviceError::driver)?;
    contexts.insert(device, Context(context));
    Ok(context)
}

/// Makes a context current on this thread.
pub(super) fn enter(context: sys::CUcontext) -> Result<(), DeviceError> {
    // SAFETY: contexts are never released.
    unsafe { result::ctx::set_current(context) }.map_err(DeviceError::driver)
}

impl Driver {
    pub(super) fn new(ordinal: usize) -> Result<Self, DeviceError> {
        let architecture = detect::find(ordinal)?.capability;
        let device = result::device::get(ordinal as i32).map_err(DeviceError::driver)?;
        let context = context(device)?;
        enter(context)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).map_err(DeviceError::driver)?;
        let shared = sys::CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        // SAFETY: the device came from the driver.
        let max_shared = unsafe { result::device::get_attribute(device, shared) }.map_err(DeviceError::driver)? as usize;
        let (staging, blas) = (Mutex::new(Staging::new()?), Blas::new()?);
        let synchronous = std::env::var_os("HH_CUDA_SYNC").is_some_and(|value| !value.is_empty() && value != "0");
        let images = Images::new(Nvrtc::new(architecture));
        Ok(Self { device, context, stream, max_shared, synchronous, images, loaded: Mutex::default(), staging, blas })
    }

    /// Makes the context current on this thread.
    fn enter(&self) -> Result<(), DeviceError> {
        enter(self.context)
    }

    /// Whether each launch is waited for: nothing can be recorded then.
    pub(super) fn synchronous(&self) -> bool {
        self.synchronous
    }

    /// Waits for what was queued last if launches are synchronous.
    fn wait_if_synchronous(&self) -> Result<(), DeviceError> {
        if !self.synchronous {
            return Ok(());
        }
        // SAFETY: the stream lives as long as this.
        unsafe { result::stream::synchronize(self.stream) }.map_err(DeviceError::driver)
    }

    pub(super) fn name(&self) -> String {
        result::device::get_name(self.device).unwrap_or_else(|_| "a GPU".into())
    }

    pub(super) fn max_shared(&self) -> usize {
        self.max_shared.saturating_sub(STATIC_SHARED)
    }

    pub(super) fn alloc(&self, bytes: usize) -> Result<u64, DeviceError> {
        self.enter()?;
        // SAFETY: the memory is freed once, when its owner is dropped, and zeroed here before it is read.
        unsafe {
            let address = match result::malloc_sync(bytes.max(1)) {
                Err(DriverError(sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY)) => {
                    let (free, total) = result::mem_get_info().map_err(DeviceError::driver)?;
                    return Err(DeviceError::OutOfMemory { requested: bytes, free: [free, total] });
                }
                other => other.map_err(DeviceError::driver)?,
            };
            result::memset_d8_async(address, 0, bytes.max(1), self.stream).map_err(DeviceError::driver)?;
            Ok(address)
        }
    }

    pub(super) fn free(&self, address: u64) {
        // A lost device has nothing left to free, and its error was reported before.
        if self.enter().is_ok() {
            // SAFETY: `address` came from `alloc` and is freed once, after all queued work has run.
            unsafe {
                let _ = result::stream::synchronize(self.stream);
                let _ = result::free_sync(address);
            }
        }
    }

    pub(super) fn upload(&self, from: &[u8], to: u64) -> Result<(), DeviceError> {
        self.enter()?;
        self.staging.lock().unwrap_or_else(PoisonError::into_inner).upload(from, to, self.stream)
    }

    pub(super) fn download(&self, from: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the memory has as many bytes, and the slice outlives the copy, which is waited for.
        unsafe {
            result::memcpy_dtoh_async(to, from, self.stream).map_err(DeviceError::driver)?;
            result::stream::synchronize(self.stream).map_err(|e| DeviceError::driver(e).in_earlier_work())
        }
    }

    /// The kernel's function; the first call compiles it or reads it from the cache.
    fn function(&self, kernel: Kernel) -> Result<Function, DeviceError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = loaded.functions.get(&kernel) {
            return Ok(function);
        }
        let module = match loaded.modules.get(&(kernel.source, kernel.variant)) {
            Some(&module) => module,
            None => {
                let image = self.images.get((kernel.source, kernel.variant))?;
                // SAFETY: the image is a cubin or, ended by a zero, PTX from NVRTC; the module is never unloaded.
                let module = Module(unsafe { result::module::load_data(image.as_ptr().cast()) }.map_err(DeviceError::driver)?);
                loaded.modules.insert((kernel.source, kernel.variant), module);
                module
            }
        };
        let name = CString::new(kernel.name).expect("no zeros in names");
        // SAFETY: the module is loaded.
        let function = Function(unsafe { result::module::get_function(module.0, name) }.map_err(DeviceError::driver)?);
        let shared = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        if let super::Variant::Head(..) = kernel.variant {
            // SAFETY: the function is loaded.
            unsafe { result::function::set_function_attribute(function.0, shared, self.max_shared() as i32) }
                .map_err(DeviceError::driver)?;
        }
        loaded.functions.insert(kernel, function);
        Ok(function)
    }

    pub(super) fn launch(&self, kernel: Kernel, launch_dims: LaunchDims, args: &[Arg]) -> Result<(), DeviceError> {
        let outcome = self.queue(kernel, launch_dims, args).and_then(|()| self.wait_if_synchronous());
        outcome.map_err(|e| e.in_work(format_args!("{kernel}, {launch_dims}")))
    }

    fn queue(&self, kernel: Kernel, launch_dims: LaunchDims, args: &[Arg]) -> Result<(), DeviceError> {
        self.enter()?;
        let function = self.function(kernel)?;
        /// Largest number of parameters of a kernel.
        const MAX: usize = 16;
        let mut addresses = [std::ptr::null_mut(); MAX];
        addresses.iter_mut().zip(args).for_each(|(to, arg)| *to = arg.address().cast_mut());
        let [x, y, z] = launch_dims.grid.map(|n| n as u32);
        // SAFETY: tests of every launch on the emulated device check the arguments against the kernel's parameters; addresses
        // among them are of memory that lives until the queued work has run.
        unsafe {
            let blocks = (launch_dims.threads as u32, 1, 1);
            result::launch_kernel(function.0, (x, y, z), blocks, launch_dims.shared as u32, self.stream, &mut addresses[..args.len()])
        }
        .map_err(DeviceError::driver)
    }

    /// Starts stream capture: work is recorded and not run.
    pub(super) fn begin(&self) -> Result<(), DeviceError> {
        self.enter()?;
        // Thread-local: calls of other threads on their devices are not affected.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as this.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(DeviceError::driver)
    }

    /// Ends the capture that [`begin`](Self::begin) started.
    pub(super) fn end(&self) -> Result<Executable, DeviceError> {
        self.enter()?;
        // SAFETY: the stream is this driver's; the graph is not needed after instantiation.
        unsafe {
            let graph = result::stream::end_capture(self.stream).map_err(DeviceError::driver)?;
            let work = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)).map_err(DeviceError::driver);
            let _ = result::graph::destroy(graph);
            work.map(Executable)
        }
    }

    /// Launches a graph.
    pub(super) fn replay(&self, work: &Executable) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the graph was recorded on this driver's stream and is not destroyed; the caller ensures that its memory is alive.
        unsafe { result::graph::launch(work.0, self.stream) }.map_err(DeviceError::driver)
    }

    /// Destroys a graph, after it has run.
    pub(super) fn forget(&self, work: &Executable) {
        if self.enter().is_ok() {
            // SAFETY: the owner calls this once, when it is dropped.
            unsafe {
                let _ = result::stream::synchronize(self.stream);
                let _ = result::graph::exec_destroy(work.0);
            }
        }
    }

    pub(super) fn product(&self, product: &Product) -> Result<(), DeviceError> {
        self.enter()?;
        let outcome = self.blas.product(product, self.stream).and_then(|()| self.wait_if_synchronous());
        outcome.map_err(|e| e.in_work(product))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.enter().is_ok() {
            // SAFETY: this driver owns all of them, and they are not used afterwards.
            unsafe {
                let _ = result::stream::synchronize(self.stream);
                self.blas.free();
                self.staging.get_mut().unwrap_or_else(PoisonError::into_inner).free();
                let _ = result::stream::destroy(self.stream);
            }
        }
    }
}
