//! `gramwatt probe`: asks a running Gramwatt as a scrape would, and says whether it tells what it should. For a
//! container without a shell, and for whoever has just installed it.

use crate::http::{Client, Settings, Trust};
use std::thread;
use std::time::{Duration, Instant};

/// The longest page that is read: a thousand workloads take 2 MB.
const MOST: u64 = 64 << 20;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What a page tells of itself.
#[derive(Debug, Default, PartialEq)]
struct Told {
    version: Option<String>,
    watts: Option<f64>,
    zones: usize,
    up: usize,
    down: Vec<String>,
    grams: bool,
}

/// As [`probe`], again and again for as long as `patience` lasts.
///
/// # Errors
/// As [`probe`], when it has failed to the end.
pub fn patiently(url: &str, patience: Duration) -> Result<String, String> {
    let end = Instant::now() + patience;
    loop {
        let told = probe(url);
        if told.is_ok() || Instant::now() + PAUSE > end {
            return told;
        }
        thread::sleep(PAUSE);
    }
}

/// Asks `url` for its metrics, and says in a line what it tells.
///
/// # Errors
/// Where nobody answers, or somebody else; where a node tells no watts; where a sensor is down.
pub fn probe(url: &str) -> Result<String, String> {
    let settings = Settings {
        trust: Trust::System,
        timeout: Duration::from_secs(10),
        proxy: false,
    };
    let wrong = |error: crate::http::Error| format!("{url}: {error}; {}", error.mend());
    let client = Client::new(&settings).map_err(wrong)?;
    let reply = client.get(url, &[], MOST).map_err(wrong)?;
    if reply.status != 200 {
        return Err(format!(
            "{url}: status {}: is the path right (/metrics), and does it ask for a password?",
            reply.status
        ));
    }
    verdict(url, &read(&String::from_utf8_lossy(&reply.body)))
}

/// The value of a label in a sample's text.
fn label<'a>(sample: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = sample.split_once(&format!("{name}=\""))?;
    Some(rest.split('"').next().unwrap_or_default())
}

fn read(page: &str) -> Told {
    let mut told = Told::default();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((sample, value)) = line.rsplit_once(' ') else {
            continue;
        };
        match sample.split('{').next().unwrap_or_default() {
            "gramwatt_build_info" => told.version = label(sample, "version").map(str::to_owned),
            "gramwatt_node_power_watts" => told.watts = value.parse().ok(),
            "gramwatt_node_co2e_grams_total" => told.grams = true,
            "gramwatt_grid_carbon_intensity_grams_per_kwh" => told.zones += 1,
            "gramwatt_sensor_up" if value.parse() == Ok(1.0) => told.up += 1,
            "gramwatt_sensor_up" => {
                told.down.extend(label(sample, "sensor").map(str::to_owned));
            }
            _ => {}
        }
    }
    told
}

fn verdict(url: &str, told: &Told) -> Result<String, String> {
    let Some(version) = &told.version else {
        return Err(format!(
            "{url}: this is no page of Gramwatt's (no gramwatt_build_info): check host, port and path"
        ));
    };
    let Some(watts) = told.watts else {
        return if told.zones > 0 && told.up == 0 {
            Ok(format!(
                "{url}: relay {version}, intensities of {} zones and signals\n",
                told.zones
            ))
        } else {
            Err(format!(
                "{url}: no watts: `gramwatt doctor` on that node says why"
            ))
        };
    };
    if !told.down.is_empty() {
        return Err(format!(
            "{url}: down: {}; `gramwatt doctor` on that node says why",
            told.down.join(", ")
        ));
    }
    let grams = if told.grams {
        "CO2e is booked"
    } else {
        "no CO2e: no grid zone is set"
    };
    Ok(format!(
        "{url}: gramwatt {version}, {watts:.1} W by {} sensors; {grams}\n",
        told.up
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE gramwatt_node_power_watts gauge\n\
        gramwatt_node_power_watts 412.25\n\
        gramwatt_node_co2e_grams_total 3.0\n\
        gramwatt_sensor_up{sensor=\"rapl\"} 1.0\n\
        gramwatt_sensor_up{sensor=\"nvml\"} 1.0\n\
        gramwatt_build_info{version=\"1.2.3\",target=\"x86_64\"} 1\n";

    fn said(page: &str) -> Result<String, String> {
        verdict("U", &read(page))
    }

    #[test]
    fn a_good_page_is_told_in_a_line() {
        assert_eq!(
            said(PAGE).as_deref(),
            Ok("U: gramwatt 1.2.3, 412.2 W by 2 sensors; CO2e is booked\n")
        );
        let without = PAGE.replace("gramwatt_node_co2e_grams_total 3.0\n", "");
        assert!(said(&without).unwrap().ends_with("no grid zone is set\n"));
    }

    #[test]
    fn what_is_amiss_is_an_error() {
        let down = PAGE.replace("{sensor=\"nvml\"} 1.0", "{sensor=\"nvml\"} 0.0");
        assert!(said(&down).unwrap_err().contains("down: nvml;"));
        let dark = PAGE.replace("gramwatt_node_power_watts 412.25\n", "");
        assert!(said(&dark).unwrap_err().contains("no watts"));
        assert!(
            said("up 1\n")
                .unwrap_err()
                .contains("no page of Gramwatt's")
        );
        assert!(said("").is_err());
    }

    #[test]
    fn a_relay_is_known_by_its_zones() {
        let page = "gramwatt_build_info{version=\"1\"} 1\n\
            gramwatt_grid_carbon_intensity_grams_per_kwh{grid_zone=\"DE\",signal=\"average\"} 300\n";
        assert!(said(page).unwrap().contains("relay 1, intensities of 1 "));
    }
}
