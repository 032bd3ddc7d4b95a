//! What of CUDA is on this device. Nothing here panics where a library is missing: presence is asked for first.

use crate::error::DeviceError;
use cudarc::{
    cublaslt,
    driver::{result, sys},
    nvrtc,
};

/// Number of devices.
pub(super) fn devices() -> Result<usize, DeviceError> {
    // SAFETY: this looks for a library and lets go of it.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver);
    }
    match result::init() {
        Err(result::DriverError(sys::cudaError_enum::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        other => other.map_err(DeviceError::driver)?,
    }
    Ok(result::device::get_count().map_err(DeviceError::driver)?.max(0) as usize)
}

/// Whether the libraries of the toolkit are there.
pub(super) fn libraries() -> Result<(), DeviceError> {
    // SAFETY: as in `devices`.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(DeviceError::NoLibrary { name: "libnvrtc, the compiler of kernels," });
    }
    // SAFETY: as in `devices`.
    if !unsafe { cublaslt::sys::is_culib_present() } {
        return Err(DeviceError::NoLibrary { name: "libcublasLt, the library of matrix products," });
    }
    Ok(())
}

/// Compute capability times ten.
pub(super) fn capability(device: sys::CUdevice) -> Result<i32, DeviceError> {
    use sys::CUdevice_attribute_enum::{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR};
    let ask = |attribute| {
        // SAFETY: the device came from the driver.
        unsafe { result::device::get_attribute(device, attribute) }.map_err(DeviceError::driver)
    };
    Ok(10 * ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)? + ask(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?)
}

/// A device that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its number.
    pub ordinal: usize,
    /// Its name.
    pub name: String,
    /// Compute capability times ten.
    pub capability: i32,
    /// Bytes of memory.
    pub memory: usize,
}

/// All devices; none is no fault.
///
/// # Errors
/// [`DeviceError`]: no driver, or one that fails.
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

/// Bytes of the device's memory that are free.
///
/// # Errors
/// [`DeviceError`] where there is no such device.
pub fn free(ordinal: usize) -> Result<usize, DeviceError> {
    let there = devices()?;
    if ordinal >= there {
        return Err(DeviceError::Absent { asked: ordinal, there });
    }
    let device = result::device::get(ordinal as i32).map_err(DeviceError::driver)?;
    // SAFETY: the context is this device's own, current while it is asked, and given back once.
    unsafe {
        result::ctx::set_current(result::primary_ctx::retain(device).map_err(DeviceError::driver)?).map_err(DeviceError::driver)?;
        let found = result::mem_get_info().map_err(DeviceError::driver);
        result::primary_ctx::release(device).map_err(DeviceError::driver)?;
        Ok(found?.0)
    }
}

/// The device of that number, which this backend can use.
///
/// # Errors
/// [`DeviceError`] where it cannot: no driver, no such device, a device too old, a library that is missing beside the driver.
pub fn find(ordinal: usize) -> Result<Found, DeviceError> {
    let there = devices()?;
    if ordinal >= there {
        return Err(DeviceError::Absent { asked: ordinal, there });
    }
    let found = about(ordinal)?;
    if found.capability < 80 {
        return Err(DeviceError::Old { name: found.name, capability: found.capability });
    }
    libraries()?;
    Ok(found)
}
