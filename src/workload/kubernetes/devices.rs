//! What device plugins call their devices.
//!
//! Sources: NVIDIA's k8s-device-plugin (UUIDs, and `::N` for each share of a GPU that is time-sliced or
//! used through MPS), Google's container-engine-accelerators (`nvidia0`, `nvidia0/gi3`, `.../vgpu1`), HAMi
//! (`GPU-UUID-N`), AMD's k8s-device-plugin (addresses on the PCI bus), the Container Device Interface
//! (`vendor/class=name`).

use crate::workload::DeviceName;

/// The accelerator that a device plugin means by an id; `None` for what is no accelerator, or one that
/// nothing here can name.
#[must_use]
pub fn device(resource: &str, id: &str) -> Option<DeviceName> {
    let (vendor, _) = resource.split_once('/')?;
    // Whose share of a shared GPU it is does not matter: the pod tells that.
    let whole = id.split("::").next().unwrap_or_default();
    match vendor {
        "nvidia.com" => uuid(whole).or_else(|| gke(whole)),
        "amd.com" => pci(whole),
        _ => None,
    }
}

/// The accelerator that a name of the Container Device Interface means, such as
/// `nvidia.com/gpu=GPU-...`; `None` where it tells no UUID.
#[must_use]
pub fn cdi(name: &str) -> Option<DeviceName> {
    let (kind, device) = name.split_once('=')?;
    let is_nvidia = kind.split('/').next()?.ends_with("nvidia.com");
    is_nvidia.then(|| uuid(device)).flatten()
}

/// `GPU-...` or `MIG-...`, with what some plugins add to it cut off.
pub(super) fn uuid(id: &str) -> Option<DeviceName> {
    let rest = id
        .strip_prefix("GPU-")
        .or_else(|| id.strip_prefix("MIG-"))?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '/';
    if rest.is_empty() || id.len() > 80 || !rest.chars().all(is_part) {
        return None;
    }
    // A UUID is 36 characters long; `-3` after it is the number of a share.
    let share = rest
        .split_at_checked(36)
        .and_then(|(_, share)| share.strip_prefix('-'));
    let is_share =
        share.is_some_and(|share| !share.is_empty() && share.bytes().all(|c| c.is_ascii_digit()));
    let end = if is_share { 4 + 36 } else { id.len() };
    Some(DeviceName::Uuid(id.get(..end)?.into()))
}

/// `nvidia0`, `nvidia0/gi3`, each with or without `/vgpu1`.
fn gke(id: &str) -> Option<DeviceName> {
    let mut parts = id.split('/');
    let minor = number(parts.next()?.strip_prefix("nvidia")?)?;
    let mut rest = parts.next();
    let instance = rest.and_then(|part| part.strip_prefix("gi"));
    let gpu_instance = match instance {
        Some(digits) => {
            rest = parts.next();
            Some(number(digits)?)
        }
        None => None,
    };
    if let Some(share) = rest {
        number(share.strip_prefix("vgpu")?)?;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(match gpu_instance {
        Some(gpu_instance) => DeviceName::Instance {
            minor,
            gpu_instance,
        },
        None => DeviceName::Minor(minor),
    })
}

/// Digits alone: what Rust reads as a number may have a sign.
fn number(text: &str) -> Option<u32> {
    let is_digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}

/// `0000:83:00.0`, and the same with a longer domain, as sysfs writes it.
pub(super) fn pci(id: &str) -> Option<DeviceName> {
    let mut parts = id.split([':', '.']);
    let (domain, bus, device, function) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit())
    };
    let is_address = parts.next().is_none()
        && hex(domain, 4, 8)
        && hex(bus, 2, 2)
        && hex(device, 2, 2)
        && hex(function, 1, 1)
        && id.matches(':').count() == 2;
    if !is_address {
        return None;
    }
    // sysfs writes four digits where four suffice.
    let surplus = domain.len() - 4;
    let (zeros, domain) = domain.split_at(surplus);
    let domain = if zeros.bytes().all(|c| c == b'0') {
        domain.to_owned()
    } else {
        format!("{zeros}{domain}")
    };
    let place = format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase();
    Some(DeviceName::Pci(place.into()))
}
