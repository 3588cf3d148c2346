//! tests
use super::*;
use std::time::Duration;

#[test]
fn nothing_is_the_default() {
    assert_eq!(
        Config::parse("# only a comment\n---\n").unwrap(),
        Config::default()
    );
}

#[test]
fn the_documented_shape_is_read() {
    let text = "node: {pue: 1.3, meter: acpi}\n\
                grid: {zone: DE, market: {intensity: 0}}\n\
                sensors: {interval: 500ms, rapl: {enabled: false}}\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(
        config.node.pue.and_then(|pue| pue.fixed()).map(Pue::ratio),
        Some(1.3)
    );
    assert_eq!(config.node.meter, serde_yaml::from_str("acpi").unwrap());
    assert_eq!(
        config.sensors.interval.duration(),
        Duration::from_millis(500)
    );
    assert!(!config.sensors.rapl.enabled);
}

#[test]
fn mistakes_are_told_with_place_and_mend() {
    let cases = [
        (
            "grid:\n  zoen: DE\n",
            &["zoen", "line 2", "did you mean `zone`"][..],
        ),
        (
            "sensors:\n  rapel: {enabled: true}\n",
            &["rapel", "did you mean `rapl`"],
        ),
        (
            "sensors:\n  rapl: {enabeld: true}\n",
            &["enabeld", "did you mean `enabled`"],
        ),
        ("node:\n  pue: 0.9\n", &["0.9", "at least 1", "line 2"]),
        ("grid: {intensity: -3}\n", &["-3", "0 to 2000", "line 1"]),
        ("grid: {intensity: lots}\n", &["lots", "line 1"]),
        ("node: {meter: acpy}\n", &["acpy", "did you mean `acpi`"]),
        ("sensors: {interval: 0s}\n", &["100ms to 1m"]),
        ("nonsense\n", &["nonsense", "expected keys"]),
        ("node: 3\n", &["node", "expected keys", "line 1"]),
        ("grid: {zone: DE\n", &["line"]),
        ("grid:\n\tzone: DE\n", &["line 2", "tab", "spaces"]),
        (
            "grid:\n  zone: DE\n\tcloud: x\n",
            &["line 3", "tab", "spaces"],
        ),
        ("grid: {intensity: lots}\n", &["expected a number"]),
        ("web: {max_requests: -1}\n", &["expected a whole number"]),
        ("web: {listen_address: ':1'}\n", &["expected a list"]),
        ("sensors: {interval: [1]}\n", &["a list, expected a string"]),
        ("node: {meter: acpy}\n", &["unknown word"]),
        ("snesors: {}\n", &["unknown key"]),
        (
            "sensors: {demo: {enabled: true}}\n",
            &["unknown key `demo`"],
        ),
        (
            "sensors: {rapl: false}\n",
            &["sensors.rapl", "`enabled: false`"],
        ),
        ("grid: DE\n", &["such as `zone: DE`"]),
        (
            "grid: {cloud: aws}\n",
            &["`{provider: aws, region: eu-central-1}`"],
        ),
        ("grid: {market: 3}\n", &["`intensity: 0`"]),
    ];
    for (text, expected) in cases {
        let message = Config::parse(text).unwrap_err();
        for part in expected {
            assert!(
                message.contains(part),
                "{text:?} gives {message:?}, without {part:?}"
            );
        }
    }
}

#[test]
fn contradictions_are_refused() {
    for text in [
        "grid: {zone: DE, cloud: {provider: aws, region: eu-central-1}}",
        "web: {telemetry_path: metrics}",
        "web: {listen_address: [':100610']}",
        "web: {listen_address: ['[::1]']}",
        "path: {sysfs: /no/such/mount}",
        "path: {procfs: /no/such/mount}",
        "web: {listen_address: []}",
    ] {
        assert!(Config::parse(text).unwrap().check().is_err(), "{text}");
    }
}

#[test]
fn no_bound_on_scrapes_is_a_bound_of_0() {
    assert!(
        Config::parse("web: {max_requests: 0}")
            .unwrap()
            .check()
            .is_ok()
    );
}

#[test]
fn the_reference_names_no_key_that_does_nothing() {
    assert!(!reference().contains("sensors.demo"));
}

#[test]
fn the_reference_names_every_key() {
    let reference = reference();
    for key in [
        "grid.cloud.provider",
        "grid.zone_map.map",
        "node.pue",
        "node.pue[json].pointer",
        "sensors.interval",
        "sensors.rapl.enabled",
        "web.max_requests",
    ] {
        assert!(
            reference.contains(&format!("| `{key}` |")),
            "{key} in\n{reference}"
        );
    }
}
