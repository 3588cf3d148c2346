//! What is known of chips by their PCI device number.

/// A chip that is not like most.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chip {
    /// PCI device number, of vendor 0x1002.
    device: u16,
    /// Marketing name, for where the driver does not tell it.
    pub(super) model: &'static str,
    pub(super) nature: Nature,
}

/// How it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// Not at all: it is here for its name.
    Plain,
    /// Its accumulator is an energy counter before v1.4 too: MI100 and MI200.
    Counts,
    /// The same, and half of a package: the driver gives the first die the power of both, and the second
    /// none (`aldebaran_is_primary` in aldebaran_ppt.c).
    Half,
    /// Its socket holds the processor and its memory: MI300A.
    Socket,
    /// A guest's view of a card.
    Virtual,
}

/// Numbers from `pciidlist` in amdgpu_drv.c, names from pci.ids.
const CHIPS: &[Chip] = &[
    chip(0x7388, "Instinct MI100", Nature::Counts),
    chip(0x738c, "Instinct MI100", Nature::Counts),
    chip(0x738e, "Instinct MI100", Nature::Counts),
    chip(0x7408, "Instinct MI250X", Nature::Half),
    chip(0x740c, "Instinct MI250X/MI250", Nature::Half),
    chip(0x740f, "Instinct MI210", Nature::Counts),
    chip(0x7410, "", Nature::Virtual),
    chip(0x74a0, "Instinct MI300A", Nature::Socket),
    chip(0x74a1, "Instinct MI300X", Nature::Plain),
    chip(0x74a2, "Instinct MI308X", Nature::Plain),
    chip(0x74a5, "Instinct MI325X", Nature::Plain),
    chip(0x74a9, "Instinct MI300X HF", Nature::Plain),
    chip(0x74b5, "Instinct MI300X VF", Nature::Virtual),
    chip(0x74b9, "Instinct MI325X VF", Nature::Virtual),
    chip(0x75a0, "Instinct MI350X", Nature::Plain),
    chip(0x75a3, "Instinct MI355X", Nature::Plain),
];

const fn chip(device: u16, model: &'static str, nature: Nature) -> Chip {
    Chip {
        device,
        model,
        nature,
    }
}

/// The chip of a device number as sysfs writes it, `0x740c`.
pub(super) fn find(device: &str) -> Option<&'static Chip> {
    let number = u16::from_str_radix(device.trim().strip_prefix("0x")?, 16).ok()?;
    CHIPS.iter().find(|chip| chip.device == number)
}
