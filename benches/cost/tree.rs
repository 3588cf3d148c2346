//! A two-socket server with dram zones and an ACPI power meter, as a tree of files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Zones: name below the class folder, what the kernel calls it, its counter.
const ZONES: [(&str, &str, u64); 4] = [
    ("intel-rapl:0", "package-0", 210_000_000_000),
    ("intel-rapl:0:0", "dram", 40_000_000_000),
    ("intel-rapl:1", "package-1", 180_000_000_000),
    ("intel-rapl:1:0", "dram", 50_000_000_000),
];

/// Writes the tree into a folder of its own, in memory, where sysfs and the state directory are on a
/// real machine too.
pub fn build() -> io::Result<TempDir> {
    let root = tempfile::tempdir_in("/dev/shm")?;
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
        fs::write(path, format!("{text}\n"))
    };
    for (zone, name, energy) in ZONES {
        let file = |file: &str| format!("sys/class/powercap/{zone}/{file}");
        put(&file("name"), name)?;
        put(&file("energy_uj"), &energy.to_string())?;
        put(&file("max_energy_range_uj"), "262143328850")?;
        put(&file("constraint_0_name"), "long_term")?;
        put(&file("constraint_0_power_limit_uw"), "270000000")?;
        put(&file("constraint_0_max_power_uw"), "270000000")?;
    }
    let meter = "sys/class/hwmon/hwmon0";
    put(&format!("{meter}/name"), "power_meter")?;
    put(&format!("{meter}/power1_average"), "612000000")?;
    put(&format!("{meter}/power1_average_interval"), "1000")?;
    put(
        "proc/sys/kernel/random/boot_id",
        "5ca1ab1e-0000-4000-8000-000000000001",
    )?;
    let cpu = |n| {
        format!(
            "processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum \
             8380 CPU @ 2.30GHz\nphysical id\t: {}\nflags\t\t: fpu\n",
            n / 40
        )
    };
    put(
        "proc/cpuinfo",
        &(0..80).map(cpu).collect::<Vec<_>>().join("\n"),
    )?;
    let line = |n| format!("cpu{n} 1000 0 500 90000 0 0 0 0 0 0");
    let lines: Vec<String> = (0..80).map(line).collect();
    put(
        "proc/stat",
        &format!(
            "cpu 80000 0 40000 7200000 0 0 0 0 0 0\n{}",
            lines.join("\n")
        ),
    )?;
    put(
        "proc/meminfo",
        "MemTotal:       527859912 kB\nMemAvailable:   400000000 kB",
    )?;
    Ok(root)
}

/// The files that sampling reads every time.
pub fn sampled(root: &Path) -> Vec<PathBuf> {
    let energy = ZONES.map(|(zone, ..)| format!("sys/class/powercap/{zone}/energy_uj"));
    let rest = ["sys/class/hwmon/hwmon0/power1_average", "proc/stat"].map(str::to_owned);
    energy
        .into_iter()
        .chain(rest)
        .map(|path| root.join(path))
        .collect()
}
