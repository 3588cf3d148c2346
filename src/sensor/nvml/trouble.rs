//! What goes wrong with NVML, and what a person can do about it.

use super::card::Known;
use crate::sensor::{Cause, Fault};
use nvml_wrapper::error::NvmlError;
use std::io;

/// A failure that is told at every read until it is over.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// A GPU, or the library.
    pub(crate) place: String,
    kind: Option<io::ErrorKind>,
    text: String,
    mend: &'static str,
    /// Whether loading the library anew may help.
    pub(crate) stale: bool,
    /// Whether there is simply no such library here.
    pub(crate) absent: bool,
    /// The GPUs that were there before.
    pub(super) known: Vec<Known>,
}

impl Trouble {
    /// The failure of a call.
    pub(crate) fn of(place: impl Into<String>, error: &NvmlError) -> Self {
        let (kind, mend) = judge(error);
        Self {
            place: place.into(),
            kind,
            text: format!("NVML: {error}{}", code(error)),
            mend,
            stale: is_stale(error),
            absent: is_absent(error),
            known: Vec::new(),
        }
    }

    /// A GPU that was there, and that the driver no longer lists.
    pub(crate) fn gone(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            kind: Some(io::ErrorKind::NotFound),
            text: "the driver no longer lists this GPU".to_owned(),
            mend: "look for Xid 79 in dmesg; reset or reseat it, or power-cycle the machine; where it was \
                   taken out on purpose, restart gramwatt to forget it",
            stale: true,
            ..Self::default()
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        Fault {
            place: self.place.clone(),
            cause: match self.kind {
                Some(kind) => Cause::Io(io::Error::new(kind, self.text.clone())),
                None => Cause::Device(self.text.clone()),
            },
            mend: self.mend.to_owned(),
        }
    }
}

/// The number that NVIDIA's documents list the error under.
fn code(error: &NvmlError) -> &'static str {
    match error {
        NvmlError::NoPermission => " (error 4)",
        NvmlError::DriverNotLoaded => " (error 9)",
        NvmlError::GpuLost => " (error 15)",
        NvmlError::ResetRequired => " (error 16)",
        NvmlError::OperatingSystem => " (error 17)",
        NvmlError::LibRmVersionMismatch => " (error 18)",
        NvmlError::Unknown => " (error 999)",
        _ => "",
    }
}

fn judge(error: &NvmlError) -> (Option<io::ErrorKind>, &'static str) {
    use NvmlError as E;
    match error {
        E::GpuLost => (
            Some(io::ErrorKind::NotFound),
            "the GPU fell off the bus: look for Xid 79 in dmesg; drain the node, then reset it (nvidia-smi \
             --gpu-reset) or power-cycle the machine; gramwatt reads it again when it is back",
        ),
        E::ResetRequired => (
            None,
            "the GPU waits for a reset: end what uses it, then run nvidia-smi --gpu-reset -i with its UUID",
        ),
        E::NoPermission | E::OperatingSystem => (
            Some(io::ErrorKind::PermissionDenied),
            "let gramwatt's user open /dev/nvidiactl and /dev/nvidia0..N; in a container set \
             NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility, and let its cgroup use them",
        ),
        E::DriverNotLoaded => (
            Some(io::ErrorKind::NotFound),
            "the library is there and the driver is not: load it (modprobe nvidia) and see dmesg if that \
             fails; on a machine without NVIDIA GPUs give --no-sensor.nvml",
        ),
        E::LibRmVersionMismatch => (
            None,
            "the driver was upgraded underneath: restart gramwatt (in a container, the container) so that \
             the new library is used; if that does not help, reboot to load the new kernel module",
        ),
        E::Unknown => (
            None,
            "in a container, systemctl daemon-reload on the host takes the GPUs away and nothing gives them \
             back: restart the container; elsewhere see dmesg for lines with NVRM",
        ),
        E::LibloadingError(_) => (
            None,
            "the library cannot be loaded: it must be of this machine's architecture and C library; give \
             the right one by --sensor.nvml.library",
        ),
        E::FailedToLoadSymbol(_) | E::FunctionNotFound => (
            None,
            "this is not the driver's libnvidia-ml.so.1, or a very old one: give the right one by \
             --sensor.nvml.library",
        ),
        E::Timeout => (Some(io::ErrorKind::TimedOut), "see dmesg for lines with NVRM"),
        _ => (None, "see dmesg for lines with NVRM"),
    }
}

/// Errors that stay until the library is initialised again.
fn is_stale(error: &NvmlError) -> bool {
    use NvmlError as E;
    matches!(
        error,
        E::Uninitialized
            | E::InvalidArg
            | E::DriverNotLoaded
            | E::GpuLost
            | E::LibRmVersionMismatch
            | E::NotFound
            | E::Unknown
    )
}

/// `dlopen` says so of a file that is not there, and of one that another needs.
fn is_absent(error: &NvmlError) -> bool {
    matches!(error, NvmlError::LibloadingError(error) if error.to_string().contains("No such file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_reason_and_its_mend() {
        for (error, reason, mend) in [
            (NvmlError::GpuLost, "vanished", "gpu-reset"),
            (NvmlError::NoPermission, "permission", "/dev/nvidiactl"),
            (NvmlError::DriverNotLoaded, "vanished", "modprobe nvidia"),
            (NvmlError::LibRmVersionMismatch, "device", "restart gramwatt"),
            (NvmlError::Unknown, "device", "restart the container"),
            (NvmlError::ResetRequired, "device", "gpu-reset"),
            (NvmlError::UnexpectedVariant(27), "device", "dmesg"),
        ] {
            let fault = Trouble::of("GPU-1", &error).fault();
            assert_eq!(fault.reason(), reason, "{error}");
            assert!(fault.mend.contains(mend), "{error}: {}", fault.mend);
        }
    }
}
