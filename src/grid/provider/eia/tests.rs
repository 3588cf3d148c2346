use super::*;

const BODY: &str = include_str!("../../../../tests/replicas/grid/eia/fuel-type-data.json");

fn provider() -> Eia {
    open(&serde_yaml::from_str("token_file: /t").unwrap()).unwrap()
}

fn read(body: &str) -> Result<Vec<(String, f64)>, Garbage> {
    let now = "2026-03-27T04:10:00Z".parse().unwrap();
    let answer = provider().read(What::Latest, "US-CAL-CISO", body.as_bytes(), now)?;
    assert_eq!(answer.scope, Scope::Lifecycle);
    let points = answer.points.iter();
    Ok(points
        .map(|p| (format!("{}..{}", p.from, p.until), p.intensity.0))
        .collect())
}

#[test]
fn a_zone_ends_with_its_respondent() {
    let now = "2026-03-27T04:10:00Z".parse().unwrap();
    let all = provider().requests("us-mida-pjm", now).unwrap();
    assert_eq!(
        all[0].url,
        "https://api.eia.gov/v2/electricity/rto/fuel-type-data/data/?frequency=hourly\
         &data%5B0%5D=value&facets%5Brespondent%5D%5B%5D=PJM&start=2026-03-24T16\
         &sort%5B0%5D%5Bcolumn%5D=period&sort%5B0%5D%5Bdirection%5D=desc&length=5000"
    );
    assert_eq!(all[0].auth, Auth::Query("api_key"));
    for (zone, code) in [
        ("US-CAL-CISO", "CISO"),
        ("US-TEX-ERCO", "ERCO"),
        ("US-MIDW-MISO", "MISO"),
        ("US-NY-NYIS", "NYIS"),
        ("US-NE-ISNE", "ISNE"),
        ("US-CENT-SWPP", "SWPP"),
        ("US-NW-BPAT", "BPAT"),
        ("US-CAR-SC", "SC"),
        ("US-TEN-TVA", "TVA"),
    ] {
        assert_eq!(provider().respondent(zone).unwrap(), code);
    }
    for zone in [
        "US",
        "US-CA",
        "DE",
        "US-XX-CISO",
        "US-CAL-C&X",
        "US-CAL-",
        "US-CAL-CISO-X",
    ] {
        let error = provider().requests(zone, now).unwrap_err();
        assert!(error.contains("respondent"), "{error}");
    }
    let own = serde_yaml::from_str("{token_file: /t, respondent: US48}").unwrap();
    assert!(
        open(&own).unwrap().requests("US", now).unwrap()[0]
            .url
            .contains("=US48&")
    );
    let slip = serde_yaml::from_str::<Config>("{token_file: /t, respondent: California}");
    assert!(slip.unwrap_err().to_string().contains("CISO"));
}

/// The hour that ends at 03:00 lacks gas, which had more than half, so it is none. Batteries are left
/// out, a loss of 2 MWh counts as nothing.
#[test]
fn texts_and_numbers_and_an_hour_that_is_not_whole() {
    let mix = |gas: f64, solar: f64| {
        let grams = gas * 490.0 + solar * 45.0 + 3000.0 * 24.0 + 2000.0 * 12.0;
        grams / (gas + solar + 5000.0)
    };
    let told = read(BODY).unwrap();
    let expected = [
        (
            "2026-03-26T23:00:00Z..2026-03-27T00:00:00Z".to_owned(),
            mix(7000.0, 8000.0),
        ),
        (
            "2026-03-27T00:00:00Z..2026-03-27T01:00:00Z".to_owned(),
            mix(8000.0, 5000.0),
        ),
        (
            "2026-03-27T01:00:00Z..2026-03-27T02:00:00Z".to_owned(),
            mix(9000.5, 2000.0),
        ),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_hour_that_the_limit_cuts_is_dropped() {
    let row = |at: usize, fuel: &str| {
        let (day, hour) = (at / 24 + 1, at % 24);
        format!(
            r#"{{"period":"2026-01-{day:02}T{hour:02}","respondent":"CISO","fueltype":"{fuel}","value":"1","value-units":"megawatthours"}}"#
        )
    };
    let rows: Vec<String> = (0..1000)
        .flat_map(|at| ["NG", "WND", "SUN", "WAT", "NUC"].map(|fuel| row(at % 600, fuel)))
        .collect();
    let body = |rows: &[String]| format!(r#"{{"response":{{"data":[{}]}}}}"#, rows.join(","));
    assert_eq!(read(&body(&rows[..4999])).unwrap().len(), 600);
    let told = read(&body(&rows)).unwrap();
    assert_eq!(told.len(), 599);
    assert!(
        told[0].0.starts_with("2026-01-01T00:00:00Z"),
        "the first hour is gone: {}",
        told[0].0
    );
}

#[test]
fn errors_and_what_is_about_something_else() {
    for body in [
        r#"{"error":"Invalid respondent","code":400}"#,
        r#"{"error":{"code":"API_KEY_INVALID","message":"Invalid respondent"}}"#,
    ] {
        assert_eq!(
            read(body),
            Err(Garbage::Refused("Invalid respondent".to_owned()))
        );
    }
    let empty = r#"{"response":{"total":"0","data":[]}}"#;
    assert_eq!(read(empty), Err(Garbage::Empty));
    let watts = BODY.replacen("megawatthours", "gigawatthours", 1);
    assert_eq!(read(&watts), Err(Garbage::Unit("gigawatthours".to_owned())));
    for (this, that) in [
        ("\"CISO\"", "\"PJM\""),
        ("\"hourly\"", "\"local-hourly\""),
        ("\"9000.5\"", "\"much\""),
        ("\"9000.5\"", "\"NaN\""),
        ("\"9000.5\"", "[]"),
        ("2026-03-27T02", "yesterday"),
        ("\"response\"", "\"reply\""),
    ] {
        assert!(BODY.contains(this), "{this}");
        let told = read(&BODY.replace(this, that));
        assert!(
            matches!(told, Err(Garbage::Form(_))),
            "{this} -> {that}: {told:?}"
        );
    }
    for body in ["[]", "<html>", &BODY[..BODY.len() / 2]] {
        assert!(matches!(read(body), Err(Garbage::Form(_))));
    }
}
