//! Who made the processors, from `/proc/cpuinfo`.

use super::{Roots, sysfs};

/// As much of the file as holds its first processor: on x86 about 1.5 kB.
const HEAD_BYTES: usize = 8192;

/// What the first processor says of itself; all sockets of a board are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// `Intel`, `AMD`, or the identity as it stands there; empty where it does not.
    pub vendor: String,
    /// Marketing name; empty where there is none, as on ARM.
    pub model: String,
    /// Whether the kernel runs under a hypervisor, which shows no energy counters.
    pub is_virtual: bool,
}

impl Processor {
    /// Reads it; empty where the file is absent or strange.
    #[must_use]
    pub fn read(roots: &Roots) -> Self {
        Self::parse(&sysfs::head(&roots.proc.join("cpuinfo"), HEAD_BYTES))
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim() == key)
                .map_or("", |(_, value)| value.trim())
        };
        let vendor = match value("vendor_id") {
            "GenuineIntel" => "Intel",
            "AuthenticAMD" => "AMD",
            "HygonGenuine" => "Hygon",
            other => other,
        };
        Self {
            vendor: vendor.to_owned(),
            model: value("model name").to_owned(),
            is_virtual: value("flags").split(' ').any(|flag| flag == "hypervisor"),
        }
    }

    /// Whether `core` energy is that of one core alone, as in AMD's processors and their kin.
    #[must_use]
    pub fn is_amd(&self) -> bool {
        matches!(self.vendor.as_str(), "AMD" | "Hygon")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_speaks_for_all() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7763 64-Core \
                    Processor\nflags\t\t: fpu hypervisor lm\n\nprocessor\t: 1\nvendor_id\t: x\n";
        let cpu = Processor::parse(text);
        assert_eq!(cpu.vendor, "AMD");
        assert_eq!(cpu.model, "AMD EPYC 7763 64-Core Processor");
        assert!(cpu.is_amd() && cpu.is_virtual);
        assert_eq!(Processor::parse("nonsense"), Processor::default());
    }
}
