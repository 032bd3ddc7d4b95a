//! Detection of devices and libraries. Nothing here panics if a library is missing: its presence is checked first.

use super::{driver, toolkit};
use crate::error::DeviceError;
use cudarc::{
    cublaslt,
    driver::{result, sys},
    nvrtc,
};

/// Number of devices.
pub(super) fn devices() -> Result<usize, DeviceError> {
    // SAFETY: this opens a library and closes it.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    match result::init() {
        Err(result::DriverError(sys::cudaError_enum::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        other => other.map_err(DeviceError::driver)?,
    }
    Ok(result::device::get_count().map_err(DeviceError::driver)?.max(0) as usize)
}

/// Checks that the libraries of the toolkit can be loaded.
pub(super) fn libraries() -> Result<(), DeviceError> {
    compiler()?;
    // SAFETY: as in `devices`.
    if !unsafe { cublaslt::sys::is_culib_present() } {
        return Err(DeviceError::NoLibrary { name: "libcublasLt, the library of matrix products,", folder: toolkit::folder() });
    }
    Ok(())
}

/// Checks that NVRTC can be loaded.
pub(super) fn compiler() -> Result<(), DeviceError> {
    // SAFETY: as in `devices`.
    if unsafe { nvrtc::sys::is_culib_present() } {
        Ok(())
    } else {
        Err(DeviceError::NoLibrary { name: "libnvrtc, the compiler of kernels,", folder: toolkit::folder() })
    }
}

/// Compute capability times ten.
pub(super) fn capability(device: sys::CUdevice) -> Result<i32, DeviceError> {
    use sys::CUdevice_attribute_enum::{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR};
    let get = |attribute| {
        // SAFETY: the device came from the driver.
        unsafe { result::device::get_attribute(device, attribute) }.map_err(DeviceError::driver)
    };
    Ok(10 * get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? + get(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?)
}

/// Properties of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its ordinal.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Compute capability times ten.
    pub capability: i32,
    /// Bytes of memory.
    pub memory: usize,
}

/// All devices; an empty list is not an error.
///
/// # Errors
/// [`DeviceError`]: no driver, or an error of the driver.
pub fn look() -> Result<Vec<Found>, DeviceError> {
    (0..devices()?).map(about).collect()
}

fn about(ordinal: usize) -> Result<Found, DeviceError> {
    let device = result::device::get(ordinal as i32).map_err(DeviceError::driver)?;
    let name = result::device::get_name(device).map_err(DeviceError::driver)?;
    // SAFETY: the device came from the driver.
    let memory = unsafe { result::device::total_mem(device) }.map_err(DeviceError::driver)?;
    Ok(Found { ordinal, name, capability: capability(device)?, memory })
}

/// Free bytes of the device's memory.
///
/// # Errors
/// [`DeviceError`] if there is no such device.
pub fn free(ordinal: usize) -> Result<usize, DeviceError> {
    let count = devices()?;
    if ordinal >= count {
        return Err(DeviceError::Absent { ordinal, count });
    }
    let device = result::device::get(ordinal as i32).map_err(DeviceError::driver)?;
    driver::enter(driver::context(device)?)?;
    Ok(result::mem_get_info().map_err(DeviceError::driver)?.0)
}

/// The device of this ordinal, if the backend can use it.
///
/// # Errors
/// [`DeviceError`]: no driver, no such device, a compute capability below 8.0, a missing library of the toolkit.
pub fn find(ordinal: usize) -> Result<Found, DeviceError> {
    let count = devices()?;
    if ordinal >= count {
        return Err(DeviceError::Absent { ordinal, count });
    }
    let found = about(ordinal)?;
    if found.capability < 80 {
        return Err(DeviceError::TooOld { name: found.name, capability: found.capability });
    }
    libraries()?;
    Ok(found)
}
