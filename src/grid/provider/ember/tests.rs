use super::*;

const YEARLY: &str = include_str!("../../../../tests/replicas/grid/ember/yearly.json");
const MONTHLY: &str = include_str!("../../../../tests/replicas/grid/ember/monthly.json");

fn provider(config: &str) -> Ember {
    open(&serde_yaml::from_str(config).unwrap()).unwrap()
}

fn now() -> Timestamp {
    "2026-02-03T12:00:00Z".parse().unwrap()
}

fn read(config: &str, body: &str) -> Result<Vec<(String, f64)>, Garbage> {
    let answer = provider(config).read(What::Latest, "DE", body.as_bytes(), now())?;
    assert_eq!(answer.scope, Scope::Lifecycle);
    let points = answer.points.iter();
    Ok(points
        .map(|p| (format!("{} {}", p.from, p.until), p.intensity.0))
        .collect())
}

const BY_YEAR: &str = "{token_file: /t}";
const BY_MONTH: &str = "{token_file: /t, resolution: monthly}";

#[test]
fn a_country_by_its_three_letters() {
    let asked = |config: &str, zone: &str| provider(config).requests(zone, now());
    let year = &asked(BY_YEAR, "de").unwrap()[0];
    assert_eq!(
        year.url,
        "https://api.ember-energy.org/v1/carbon-intensity/yearly?entity_code=DEU&start_date=2022"
    );
    assert_eq!(year.auth, Auth::Query("api_key"));
    assert_eq!(
        asked(BY_MONTH, "GB").unwrap()[0].url,
        "https://api.ember-energy.org/v1/carbon-intensity/monthly?entity_code=GBR&start_date=2025-01"
    );
    let own = "{token_file: /t, entities: {DK-DK1: DNK}}";
    assert!(asked(own, "dk-dk1").unwrap()[0].url.contains("=DNK&"));
    // What is right for one zone is not sent for another.
    assert!(asked(own, "DE").unwrap()[0].url.contains("=DEU&"));
    for zone in ["US-CA", "DK-DK1", "Europe", "ZZ", ""] {
        let error = asked(BY_YEAR, zone).unwrap_err();
        assert!(error.contains("entities"), "{error}");
    }
    let slip = serde_yaml::from_str("{token_file: /t, entities: {DK-DK1: Denmark}}").unwrap();
    assert!(open(&slip).err().unwrap().contains("DNK"));
    for slip in ["{}", "{token_file: /t, resolution: hourly}", "{token_file: /t, entity: DNK}"] {
        assert!(serde_yaml::from_str::<Config>(slip).is_err(), "{slip}");
    }
}

#[test]
fn means_of_years_that_are_over() {
    assert!(provider(BY_YEAR).manners().coarse);
    // Null, out of order, and one of a year that has only begun.
    assert_eq!(
        read(BY_YEAR, YEARLY).unwrap(),
        [
            ("2024-01-01T00:00:00Z 2025-01-01T00:00:00Z".to_owned(), 344.14),
            ("2023-01-01T00:00:00Z 2024-01-01T00:00:00Z".to_owned(), 371.5),
        ]
    );
}

#[test]
fn means_of_months() {
    assert_eq!(
        read(BY_MONTH, MONTHLY).unwrap(),
        [
            ("2025-12-01T00:00:00Z 2026-01-01T00:00:00Z".to_owned(), 400.5),
            ("2025-11-01T00:00:00Z 2025-12-01T00:00:00Z".to_owned(), 390.25),
        ]
    );
}

#[test]
fn a_month_is_no_year_and_an_odd_date_neither() {
    assert!(matches!(read(BY_YEAR, MONTHLY), Err(Garbage::Form(_))));
    assert!(matches!(read(BY_MONTH, YEARLY), Err(Garbage::Form(_))));
    for date in ["2024-xx", "", "-2024", "2024-13", "2024-05-17", "+2024", "99999", "2024-05-01-01"] {
        assert_eq!(provider(BY_MONTH).span(date), None, "{date}");
        assert_eq!(provider(BY_YEAR).span(date), None, "{date}");
    }
    // The last year that there is has no end.
    assert_eq!(provider(BY_YEAR).span("9999"), None);
}

#[test]
fn errors_show_nothing_of_what_may_repeat_the_key() {
    for body in [
        r#"{"detail":"api_key hunter2 is not valid"}"#,
        r#"{"message":"hunter2"}"#,
        &YEARLY.replace("\"DEU\"", "\"hunter2\""),
        &YEARLY.replace("\"2024\"", "\"hunter2\""),
        &YEARLY.replace("false", "true"),
        &YEARLY[..YEARLY.len() - 20],
        "<html>hunter2",
        "[]",
    ] {
        let error = read(BY_YEAR, body).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_ne!(error, Garbage::Empty, "{body}");
    }
    assert_eq!(read(BY_YEAR, r#"{"stats":{},"data":[]}"#), Err(Garbage::Empty));
}
