use super::*;

const BODY: &str = include_str!("../../../../tests/replicas/grid/open_electricity/network.json");

fn provider() -> OpenElectricity {
    open(&serde_yaml::from_str("token_file: /t").unwrap()).unwrap()
}

fn read(body: &str) -> Result<Vec<(String, f64)>, Garbage> {
    let now = "2025-07-10T11:30:00Z".parse().unwrap();
    let answer = provider().read(What::Latest, "AU-NSW", body.as_bytes(), now)?;
    assert_eq!(answer.scope, Scope::Direct);
    let point = |p: &crate::grid::series::Point| {
        assert_eq!(p.from.duration_until(p.until).as_secs(), 300);
        (p.from.to_string(), p.intensity.0)
    };
    Ok(answer.points.iter().map(point).collect())
}

#[test]
fn market_region_and_market_time() {
    // The clocks of New South Wales go forward that night; the market's do not.
    let now = "2026-10-03T16:20:00Z".parse().unwrap();
    let all = provider().requests("AU-NSW", now).unwrap();
    assert_eq!(
        all[0].url,
        "https://api.openelectricity.org.au/v4/data/network/NEM?metrics=energy&metrics=emissions\
         &interval=5m&network_region=NSW1&primary_grouping=network_region&secondary_grouping=fueltech\
         &date_start=2026-10-02T20%3A00%3A00"
    );
    assert_eq!(all[0].auth, Auth::Header("authorization", "Bearer "));
    assert!(all[1].url.contains("interval=1h") && all[1].what == What::History);
    let west = &provider().requests("au-wa", now).unwrap()[0];
    assert!(west.url.contains("/network/WEM?") && west.url.contains("network_region=WEM&"));
    assert!(
        west.url.ends_with("&date_start=2026-10-01T12%3A00%3A00"),
        "{}",
        west.url
    );
    let daily: f64 = all
        .iter()
        .map(|request| 86400.0 / request.every.as_secs_f64())
        .sum();
    assert!(daily * 3.0 < 500.0, "three regions on the free plan");
    assert!(
        provider()
            .requests("AU-NT", now)
            .unwrap_err()
            .contains("AU-QLD")
    );
}

/// 360 t of 500 MWh is 720 g/kWh. Storage counts neither way. Coal without emissions at 21:20 has not
/// been settled.
#[test]
fn tonnes_of_an_interval_over_its_energy() {
    let expected = [
        ("2025-07-10T11:05:00Z".to_owned(), 720.0),
        ("2025-07-10T11:10:00Z".to_owned(), 700.0),
        ("2025-07-10T11:15:00Z".to_owned(), 684.0),
    ];
    assert_eq!(read(BODY).unwrap(), expected);
}

#[test]
fn emissions_that_are_not_told_are_not_nothing() {
    let body = BODY.replace("350.0", "null");
    let told = read(&body).unwrap();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(at, _)| !at.contains("11:10")), "{told:?}");
}

#[test]
fn errors_and_what_is_about_something_else() {
    let refused = r#"{"success":false,"error":"No data","data":[]}"#;
    assert_eq!(read(refused), Err(Garbage::Refused("No data".to_owned())));
    let refused = r#"{"detail":"Date range too large"}"#;
    assert_eq!(
        read(refused),
        Err(Garbage::Refused("Date range too large".to_owned()))
    );
    assert_eq!(read(r#"{"success":true,"data":[]}"#), Err(Garbage::Empty));
    // Power is not energy, and kilograms are not tonnes.
    for (this, that) in [("\"MWh\"", "\"MW\""), ("\"t\"", "\"kg\"")] {
        assert!(BODY.contains(this));
        let told = read(&BODY.replace(this, that));
        assert!(matches!(told, Err(Garbage::Unit(_))), "{told:?}");
    }
    assert_eq!(
        read(&BODY.replace("\"energy\"", "\"power\"")),
        Err(Garbage::Empty)
    );
    for (this, that) in [
        ("\"NSW1\"", "\"VIC1\""),
        ("\"NEM\"", "\"WEM\""),
        ("\"5m\"", "\"1d\""),
        ("\"fueltech\": \"wind\"", "\"status\": \"operating\""),
        ("2025-07-10T21:10:00+10:00\",", "then\","),
        ("400.0", "\"400\""),
    ] {
        assert!(BODY.contains(this), "{this}");
        let told = read(&BODY.replace(this, that));
        assert!(
            matches!(told, Err(Garbage::Form(_))),
            "{this} -> {that}: {told:?}"
        );
    }
}
