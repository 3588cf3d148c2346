//! The library, and all that is unsafe about it: handles that outlive a borrow, and the calls that the safe
//! wrapper has not (field values with a scope, the ids of a MIG instance).
//!
//! A handle is a pointer that the library gave and that only it may follow. It is good until the library is
//! shut down. Here handles never leave [`Library`], which shuts it down when it is dropped: callers know a
//! GPU by its place in the list.

#![allow(unsafe_code)]

use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlFieldValue_t, nvmlValue_t};
use std::path::Path;

/// Most GPUs that are looked at; NVML itself numbers no more than 64 on any machine.
const MOST: u32 = 256;

/// `NVML_FI_DEV_POWER_AVERAGE`: the mean of a second, mW (nvml.h).
pub(super) const AVERAGE: u32 = 185;
/// `NVML_FI_DEV_POWER_INSTANT`: the power of the moment, mW (nvml.h).
pub(super) const INSTANT: u32 = 186;

/// What a field's power covers (`NVML_POWER_SCOPE_*`, nvml.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The GPU with its memory.
    Gpu = 0,
    /// The module with all that is on it.
    Module = 1,
    /// The memory alone.
    Memory = 2,
}

/// A field of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) id: u32,
    pub(super) scope: Scope,
}

/// The library, initialised, with the handles of its GPUs.
pub(crate) struct Library {
    nvml: Nvml,
    handles: Vec<nvmlDevice_t>,
}

// SAFETY: the handles are names that only the library follows, and the library may be called from any thread
// (nvml.h: "The NVML API is thread-safe").
unsafe impl Send for Library {}

impl Library {
    /// Loads and initialises it.
    pub(crate) fn open(path: &Path) -> Result<Self, NvmlError> {
        let nvml = Nvml::builder().lib_path(path.as_os_str()).init()?;
        // The wrapper calls it when it is dropped, and would panic.
        let missing = nvml_sym(nvml.lib().nvmlShutdown.as_ref()).err();
        if let Some(missing) = missing {
            std::mem::forget(nvml);
            return Err(missing);
        }
        Ok(Self {
            nvml,
            handles: Vec::new(),
        })
    }

    /// The driver's version; empty where it does not tell.
    pub(super) fn driver(&self) -> String {
        self.nvml.sys_driver_version().unwrap_or_default()
    }

    /// Takes the handles of all GPUs anew: a place or the error of each number.
    pub(crate) fn enumerate(&mut self) -> Result<Vec<Result<usize, NvmlError>>, NvmlError> {
        let count = self.nvml.device_count()?.min(MOST);
        self.handles.clear();
        let mut found = Vec::new();
        for index in 0..count {
            let handle = self.nvml.device_by_index(index).map(|device| {
                // SAFETY: it stays with the library that gave it.
                unsafe { device.handle() }
            });
            found.push(handle.map(|handle| {
                self.handles.push(handle);
                self.handles.len() - 1
            }));
        }
        Ok(found)
    }

    /// The GPU at a place.
    pub(crate) fn gpu(&self, place: usize) -> Result<Device<'_>, NvmlError> {
        let handle = self.handles.get(place).ok_or(NvmlError::InvalidArg)?;
        // SAFETY: this library gave the handle, and is not shut down while it is borrowed.
        Ok(unsafe { Device::new(*handle, &self.nvml) })
    }

    /// The ids of the MIG instance at a number of the GPU at a place: the GPU instance's and, in it, the
    /// compute instance's.
    pub(crate) fn instance_ids(&self, place: usize, number: u32) -> Result<(u32, u32), NvmlError> {
        let instance = self.gpu(place)?.mig_device_by_index(number)?;
        let gpu = *nvml_sym(self.nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref())?;
        let compute = *nvml_sym(self.nvml.lib().nvmlDeviceGetComputeInstanceId.as_ref())?;
        let mut ids = (0, 0);
        // SAFETY: this library gave the handle just now, and each call writes one number where it is told.
        unsafe {
            nvml_try(gpu(instance.handle(), &raw mut ids.0))?;
            nvml_try(compute(instance.handle(), &raw mut ids.1))?;
        }
        Ok(ids)
    }

    /// Power by field and scope, in mW; `None` for a field that the GPU does not tell.
    pub(super) fn powers(
        &self,
        place: usize,
        fields: &[Field],
    ) -> Result<Vec<Option<u32>>, NvmlError> {
        let handle = *self.handles.get(place).ok_or(NvmlError::InvalidArg)?;
        let call = *nvml_sym(self.nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
        let mut values: Vec<nvmlFieldValue_t> = fields.iter().map(asked).collect();
        let count = i32::try_from(values.len()).map_err(|_| NvmlError::InvalidArg)?;
        // SAFETY: the handle is this library's, and `values` holds as many as `count` says.
        nvml_try(unsafe { call(handle, count, values.as_mut_ptr()) })?;
        Ok(values.iter().map(told).collect())
    }
}

fn asked(field: &Field) -> nvmlFieldValue_t {
    nvmlFieldValue_t {
        fieldId: field.id,
        scopeId: field.scope as u32,
        timestamp: 0,
        latencyUsec: 0,
        valueType: 0,
        // What the library leaves as it is has not been told.
        nvmlReturn: 3,
        value: nvmlValue_t { ullVal: 0 },
    }
}

/// The power fields are unsigned 32-bit (type 1, nvml.h); any other type is not what was asked for.
fn told(value: &nvmlFieldValue_t) -> Option<u32> {
    if value.nvmlReturn != 0 || value.valueType != 1 {
        return None;
    }
    // SAFETY: the type says which member was written, and all 8 bytes were 0 before.
    Some(unsafe { value.value.uiVal })
}
