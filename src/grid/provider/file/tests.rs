use super::*;
use crate::grid::choose::Tier;
use crate::grid::zone::{Source, Told, Zone};

const CSV: &str = include_str!("../../../../tests/replicas/grid/file/own.csv");
const JSON: &str = include_str!("../../../../tests/replicas/grid/file/own.json");

fn config(more: &str) -> Config {
    serde_yaml::from_str(&format!(
        "{{path: '/etc/grid/{{zone}}.csv', factors: direct, {more}}}"
    ))
    .unwrap()
}

fn read_as(unit: &str, body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
    let now = "2026-01-05T12:30:00Z".parse().unwrap();
    let provider = open(&config(&format!("unit: {unit}"))).unwrap();
    let mut points = provider
        .read(What::Latest, "DE", body.as_bytes(), now)?
        .points;
    points.sort_by_key(|point| point.from);
    let point = |p: &Point| {
        let span = format!("{}-{}", p.from.strftime("%H:%M"), p.until.strftime("%H:%M"));
        (span, p.intensity.0, p.nature)
    };
    Ok(points.iter().map(point).collect())
}

fn read(body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
    read_as("g/kWh", body)
}

#[test]
fn the_file_of_a_zone() {
    let provider = open(&config("unit: g/kWh")).unwrap();
    let all = provider.requests("DK-DK1", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(all[0].url, "file:///etc/grid/DK-DK1.csv");
    assert_eq!(provider.secret(), None);
    assert!(
        provider
            .requests("../shadow", Timestamp::UNIX_EPOCH)
            .is_err()
    );
    let relative = Config {
        path: "grid.csv".into(),
        ..config("unit: g/kWh")
    };
    assert!(open(&relative).err().unwrap().contains("absolute"));
    let unitless = serde_yaml::from_str::<Config>("{path: /a, factors: direct}");
    assert!(unitless.unwrap_err().to_string().contains("unit"));
}

/// Out of order, with and without an end, in another zone's time, a gap, and what is to come.
#[test]
fn csv_and_json_mean_the_same() {
    let expected = [
        ("10:00-11:00".to_owned(), 300.0, Nature::Measured),
        ("11:00-12:00".to_owned(), 310.0, Nature::Estimated),
        ("12:00-13:00".to_owned(), 320.5, Nature::Measured),
        ("14:00-15:00".to_owned(), 280.0, Nature::Forecast),
    ];
    assert_eq!(read(CSV).unwrap(), expected);
    assert_eq!(read(JSON).unwrap(), expected);
}

#[test]
fn a_column_in_the_configured_unit() {
    let csv = "from,intensity\n2026-01-05T12:00Z,0.4\n";
    assert_eq!(read_as("t/MWh", csv).unwrap()[0].1, 400.0);
    assert!(matches!(read_as("t/MWh", CSV), Err(Garbage::Unit(_))));
    let both = "from,intensity,grams_per_kwh\n2026-01-05T12:00Z,1,2\n";
    assert!(matches!(read(both), Err(Garbage::Form(_))));
}

#[test]
fn what_is_written_otherwise_is_told_with_its_line() {
    for body in [
        "",
        "\n",
        "from,intensity\n",
        "[]",
        "[{\"from\": \"2026-01-05\", \"intensity\": null}]",
    ] {
        assert_eq!(read(body), Err(Garbage::Empty), "{body:?}");
    }
    for (body, says) in [
        (
            "from,intensity\n2026-01-05T12:00Z,1\n2026-01-05T13:00Z,much\n",
            "line 3",
        ),
        (
            "from,intensity,nature\n2026-01-05T12:00Z,1,guessed\n",
            "line 2",
        ),
        ("from,intensity\n2026-01-05T12:00Z,1,2\n", "line 2"),
        ("2026-01-05T12:00Z,1\n", "first line"),
        ("from,value\n2026-01-05T12:00Z,1\n", "first line"),
        ("from,intensity,zone\n2026-01-05T12:00Z,1,DE\n", "line 2"),
        ("from,intensity\nnoon,1\n", "noon"),
        (
            "[{\"from\": \"2026-01-05T12:00Z\", \"intensty\": 1}]",
            "line 1",
        ),
        ("{\"from\": \"2026-01-05T12:00Z\"}", "neither"),
        ("<html>", "neither"),
    ] {
        let error = read(body).unwrap_err().to_string();
        assert!(error.contains(says), "{body:?}: {error}");
    }
    let long = format!(
        "from,intensity\n{}",
        "2026-01-05T12:00Z,1\n".repeat(MOST + 1)
    );
    assert!(read(&long).unwrap_err().to_string().contains("rows"));
    assert!(matches!(
        read("from,intensity\n2026-01-05T12:00Z,\u{0}\n"),
        Err(Garbage::Form(_))
    ));
}

/// The file is read every minute: what begins before the next time holds from its beginning.
#[test]
fn what_begins_within_the_minute_is_known_to_begin() {
    let now: Timestamp = "2026-01-05T12:59:01Z".parse().unwrap();
    let provider = open(&config("unit: g/kWh")).unwrap();
    let body = "from,intensity\n2026-01-05T12:00Z,300\n2026-01-05T13:00Z,100\n2026-01-05T14:00Z,50\n";
    let answer = provider.read(What::Latest, "DE", body.as_bytes(), now).unwrap();
    let chain = vec![Source {
        provider: provider.name().to_owned(),
        signal: provider.signal(),
        manners: provider.manners(),
        is_whole: provider.is_whole(),
        terms: String::new(),
    }];
    let mut zone = Zone::new(chain, Duration::from_secs(7200), Told::default());
    zone.hear(0, &answer, now);
    let hour: Timestamp = "2026-01-05T13:00:00Z".parse().unwrap();
    let before = zone.choose(Signal::Average, now).unwrap();
    assert_eq!((before.intensity(), before.until), (GramsPerKwh(300.0), hour));
    let choice = zone.choose(Signal::Average, hour).unwrap();
    assert_eq!((choice.intensity(), choice.tier), (GramsPerKwh(100.0), Tier::Live));
}
