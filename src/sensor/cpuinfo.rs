//! What `/proc/cpuinfo` and `/proc/meminfo` say of the hardware. Pure, and total over any text.
//!
//! Every architecture writes its own cpuinfo. x86 has all that is looked for here; ARM has neither a
//! marketing name nor packages.

use std::collections::BTreeMap;

/// Names from the file are cut to this many characters.
const MAX_NAME: usize = 128;

/// The processors, as cpuinfo describes them. What it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    /// Manufacturer.
    pub vendor: String,
    /// Marketing name; on ARM the number of the design, as `part 0xd0c`.
    pub model: String,
    /// Whether the processor says that a hypervisor runs it. Only x86 does.
    pub hypervisor: bool,
    /// `physical id` of each CPU, by its number. Only x86 has them.
    pub packages: BTreeMap<u32, u32>,
}

impl CpuInfo {
    /// Reads the file's text. The first processor names the model: packages of one machine are alike.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        let mut current = None;
        let mut part = String::new();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "processor" => current = value.parse().ok(),
                "physical id" => {
                    if let (Some(cpu), Ok(package)) = (current, value.parse()) {
                        info.packages.insert(cpu, package);
                    }
                }
                "vendor_id" if info.vendor.is_empty() => info.vendor = vendor(value),
                "CPU implementer" if info.vendor.is_empty() => info.vendor = implementer(value),
                // POWER says "cpu", RISC-V "uarch".
                "model name" | "cpu" | "uarch" if info.model.is_empty() => info.model = name(value),
                "CPU part" if part.is_empty() => part = name(&format!("part {value}")),
                "flags" => {
                    info.hypervisor |= value.split_ascii_whitespace().any(|f| f == "hypervisor");
                }
                _ => {}
            }
        }
        if info.model.is_empty() {
            info.model = part;
        }
        info
    }

    /// Whether it is a Zen, of AMD or of its licensee.
    #[must_use]
    pub fn is_zen(&self) -> bool {
        matches!(self.vendor.as_str(), "AMD" | "Hygon")
    }

    /// Whether processors of this make have the energy counters that Linux's RAPL driver reads.
    #[must_use]
    pub fn may_have_rapl(&self) -> bool {
        self.vendor == "Intel" || self.is_zen()
    }
}

/// The bytes of memory that the kernel has (`MemTotal`, in KiB): what is installed less what the
/// firmware and the kernel's image keep, about 2 %.
#[must_use]
pub fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let (kib, unit) = line.trim().split_once(' ')?;
    let kib: u64 = kib.parse().ok()?;
    (unit.trim() == "kB").then(|| kib.checked_mul(1024))?
}

fn name(value: &str) -> String {
    value.chars().take(MAX_NAME).collect()
}

fn vendor(id: &str) -> String {
    match id {
        "GenuineIntel" => "Intel".into(),
        "AuthenticAMD" => "AMD".into(),
        "HygonGenuine" => "Hygon".into(),
        other => name(other),
    }
}

/// The implementer codes of servers' processors, from ARM's register MIDR_EL1.
fn implementer(code: &str) -> String {
    match code {
        "0x41" => "ARM".into(),
        "0x46" => "Fujitsu".into(),
        "0x48" => "HiSilicon".into(),
        "0x4e" => "NVIDIA".into(),
        "0xc0" => "Ampere".into(),
        other => name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_sockets_of_x86() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\n\
                    model name\t: Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz\nphysical id\t: 0\n\
                    flags\t\t: fpu vme nohypervisor\n\n\
                    processor\t: 1\nmodel name\t: another\nphysical id\t: 1\n";
        let info = CpuInfo::parse(text);
        assert_eq!(info.vendor, "Intel");
        assert_eq!(info.model, "Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz");
        assert!(!info.hypervisor);
        assert_eq!(info.packages, BTreeMap::from([(0, 0), (1, 1)]));
    }

    #[test]
    fn a_virtual_machine_says_so() {
        assert!(CpuInfo::parse("flags\t: fpu hypervisor lahf_lm\n").hypervisor);
    }

    #[test]
    fn arm_has_a_part_and_no_packages() {
        let text = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n\
                    CPU architecture: 8\nCPU part\t: 0xd0c\n\nprocessor\t: 1\nCPU part\t: 0xd0c\n";
        let info = CpuInfo::parse(text);
        assert_eq!(
            (info.vendor.as_str(), info.model.as_str()),
            ("ARM", "part 0xd0c")
        );
        assert!(info.packages.is_empty() && !info.hypervisor);
    }

    #[test]
    fn a_long_name_is_cut() {
        let text = format!("model name: {}\n", "é".repeat(5000));
        assert_eq!(CpuInfo::parse(&text).model.chars().count(), MAX_NAME);
    }

    #[test]
    fn memory_in_kibibytes_alone() {
        let text = "MemTotal:       263752396 kB\nMemFree: 1 kB\n";
        assert_eq!(memory(text), Some(263_752_396 * 1024));
        for broken in [
            "",
            "MemTotal:",
            "MemTotal: x kB",
            "MemTotal: 5 MB",
            "MemTotal: 5",
        ] {
            assert_eq!(memory(broken), None, "{broken}");
        }
        assert_eq!(memory("MemTotal: 18446744073709551615 kB"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(processor|physical id|model name|flags|MemTotal|[a-z]*)?[:\t ]*[ -~\n]{0,200}") {
            let info = CpuInfo::parse(&text);
            prop_assert!(info.model.chars().count() <= MAX_NAME);
            let _ = memory(&text);
        }
    }
}
