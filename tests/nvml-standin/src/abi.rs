//! Structures and numbers of the C interface (nvml.h, API 13).

#![allow(missing_docs)]

use std::ffi::{c_char, c_void};

pub type Return = u32;
pub type Device = *mut c_void;

pub const SUCCESS: Return = 0;
pub const UNINITIALIZED: Return = 1;
pub const INVALID_ARGUMENT: Return = 2;
pub const NOT_SUPPORTED: Return = 3;
pub const NO_PERMISSION: Return = 4;
pub const NOT_FOUND: Return = 6;
pub const INSUFFICIENT_SIZE: Return = 7;
pub const GPU_IS_LOST: Return = 15;
pub const DRIVER_NOT_LOADED: Return = 9;
pub const UNKNOWN: Return = 999;

/// No instance, as `gpuInstanceId`.
pub const NONE: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PciInfo {
    pub bus_id_legacy: [c_char; 16],
    pub domain: u32,
    pub bus: u32,
    pub device: u32,
    pub pci_device_id: u32,
    pub pci_sub_system_id: u32,
    pub bus_id: [c_char; 32],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union Value {
    pub double: f64,
    pub u32: u32,
    pub u64: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FieldValue {
    pub field_id: u32,
    pub scope_id: u32,
    pub timestamp: i64,
    pub latency_usec: i64,
    pub value_type: u32,
    pub nvml_return: Return,
    pub value: Value,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sample {
    pub timestamp: u64,
    pub value: Value,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessUtilization {
    pub pid: u32,
    pub timestamp: u64,
    pub sm: u32,
    pub mem: u32,
    pub enc: u32,
    pub dec: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessInfo {
    pub pid: u32,
    pub used_memory: u64,
    pub gpu_instance: u32,
    pub compute_instance: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Memory {
    pub version: u32,
    pub total: u64,
    pub reserved: u64,
    pub free: u64,
    pub used: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attributes {
    pub multiprocessors: u32,
    pub shared: [u32; 5],
    pub gpu_slices: u32,
    pub compute_slices: u32,
    pub memory_mb: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Utilization {
    pub gpu: u32,
    pub memory: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessesUtilizationItem {
    pub timestamp: u64,
    pub pid: u32,
    pub sm: u32,
    pub mem: u32,
    pub enc: u32,
    pub dec: u32,
    pub jpg: u32,
    pub ofa: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessesUtilization {
    pub version: u32,
    pub count: u32,
    pub last_seen: u64,
    pub items: *mut ProcessesUtilizationItem,
}

/// `NVML_STRUCT_VERSION`: the size, and the version in the highest byte.
pub const fn version<T>(number: u32) -> u32 {
    size_of::<T>() as u32 | number << 24
}
