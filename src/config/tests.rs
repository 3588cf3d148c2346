//! tests
use super::*;

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
    assert_eq!(config.node.pue.map(Pue::ratio), Some(1.3));
    assert_eq!(config.node.meter, Meter::Acpi);
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
        "web: {max_requests: 0}",
        "web: {listen_address: []}",
    ] {
        assert!(Config::parse(text).unwrap().check().is_err(), "{text}");
    }
}

#[test]
fn the_reference_names_every_key() {
    let reference = reference();
    for key in [
        "grid.cloud.provider",
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
