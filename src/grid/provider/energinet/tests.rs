use super::*;

const WAS: &str = include_str!("../../../../tests/replicas/grid/energinet/co2emis.json");
const AHEAD: &str = include_str!("../../../../tests/replicas/grid/energinet/co2emisprog.json");

fn provider() -> Energinet {
    open(&serde_yaml::from_str("{}").unwrap()).unwrap()
}

fn read(what: What, body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
    let now = "2025-10-26T01:20:00Z".parse().unwrap();
    let answer = provider().read(what, "DK-DK1", body.as_bytes(), now)?;
    assert_eq!(answer.scope, Scope::Direct);
    let text = |at: Timestamp| at.strftime("%H:%M").to_string();
    let points = answer.points.iter();
    Ok(points
        .map(|p| (format!("{}-{}", text(p.from), text(p.until)), p.intensity.0, p.nature))
        .collect())
}

#[test]
fn each_half_of_denmark_in_utc() {
    // Summer time in Denmark, two hours ahead.
    let now = "2025-07-01T12:34:56+02:00".parse().unwrap();
    let all = provider().requests("dk-dk2", now).unwrap();
    let urls: Vec<&str> = all.iter().map(|request| request.url.as_str()).collect();
    let filter = "timezone=UTC&filter=%7B%22PriceArea%22%3A%5B%22DK2%22%5D%7D";
    let base = "https://api.energidataservice.dk/dataset";
    assert_eq!(
        urls,
        [
            format!("{base}/CO2Emis?start=2025-07-01T07:00&{filter}&sort=Minutes5UTC%20desc&limit=48"),
            format!("{base}/CO2EmisProg?start=2025-07-01T10:00&{filter}&sort=Minutes5UTC%20asc&limit=600"),
            format!("{base}/CO2Emis?start=2025-06-23T10:00&{filter}&sort=Minutes5UTC%20desc&limit=2400"),
        ]
    );
    for zone in ["DK", "DK-BHM", "DE"] {
        let error = provider().requests(zone, now).unwrap_err();
        assert!(error.contains("DK-DK1"), "{error}");
    }
}

#[test]
fn stamps_are_of_utc_in_the_night_that_has_an_hour_twice() {
    // 02:10 in Denmark is there twice, newest first; one is null.
    assert_eq!(
        read(What::Latest, WAS).unwrap(),
        [
            ("00:10-00:15".to_owned(), 76.5, Nature::Measured),
            ("01:10-01:15".to_owned(), 75.0, Nature::Measured),
        ]
    );
    assert_eq!(
        read(What::Forecast, AHEAD).unwrap(),
        [
            ("01:15-01:20".to_owned(), 80.0, Nature::Forecast),
            ("01:20-01:25".to_owned(), 81.0, Nature::Forecast),
        ]
    );
}

#[test]
fn a_forecast_is_not_taken_for_what_was_nor_east_for_west() {
    for (what, body) in [(What::Latest, AHEAD), (What::History, AHEAD), (What::Forecast, WAS)] {
        assert!(matches!(read(what, body), Err(Garbage::Form(_))), "{what:?}");
    }
    let both = WAS.replacen("\"DK1\"", "\"DK2\"", 1);
    assert!(read(What::Latest, &both).unwrap_err().to_string().contains("DK2"));
}

#[test]
fn errors_and_broken_answers() {
    let error = r#"{"statusCode":400,"message":"Dataset not found"}"#;
    let refused = Garbage::Refused("Dataset not found".to_owned());
    assert_eq!(read(What::Latest, error), Err(refused));
    let empty = r#"{"total":0,"dataset":"CO2Emis","records":[]}"#;
    assert_eq!(read(What::Latest, empty), Err(Garbage::Empty));
    let text = WAS.replace("75.000000", "\"75.0\"");
    assert_eq!(read(What::Latest, &text).unwrap().len(), 2);
    for body in [
        "{}",
        "[]",
        "<html>",
        &WAS.replace("75.000000", "\"ND\""),
        &WAS.replace("75.000000", "[]"),
        &WAS.replace("2025-10-26T01:10:00", "01:10"),
        &WAS.replace("Minutes5UTC\":", "Minutes5\":"),
        &WAS[..WAS.len() / 2],
    ] {
        let told = read(What::Latest, body);
        assert!(matches!(told, Err(Garbage::Form(_))), "{body}");
    }
}
