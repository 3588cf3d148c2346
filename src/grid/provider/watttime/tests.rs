use super::*;

const FORECAST: &str = include_str!("../../../../tests/replicas/grid/watttime/forecast.json");
const HISTORICAL: &str = include_str!("../../../../tests/replicas/grid/watttime/historical.json");
const INDEX: &str = include_str!("../../../../tests/replicas/grid/watttime/signal-index.json");

const ZONE: &str = "US-CAL-CISO";

fn provider(signal: &str) -> WattTime {
    let config = format!(
        "{{credentials_file: /c, signal: {signal}, regions: {{us-cal-ciso: CAISO_NORTH}}}}"
    );
    open(&serde_yaml::from_str(&config).unwrap()).unwrap()
}

fn now() -> Timestamp {
    "2024-06-18T18:38:10Z".parse().unwrap()
}

fn read(what: What, body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
    let answer = provider("co2_moer").read(what, ZONE, body.as_bytes(), now())?;
    assert_eq!(answer.scope, Scope::Direct);
    let points = answer.points.iter();
    let span = |from: Timestamp, until: Timestamp| {
        let text = |at: Timestamp| at.strftime("%H:%M").to_string();
        format!("{}-{}", text(from), text(until))
    };
    Ok(points
        .map(|p| (span(p.from, p.until), p.intensity.0, p.nature))
        .collect())
}

#[test]
fn the_marginal_signal_is_asked_for_now_ahead_and_back() {
    let all = provider("co2_moer").requests(ZONE, now()).unwrap();
    let asked: Vec<(What, &str)> = all.iter().map(|r| (r.what, r.url.as_str())).collect();
    assert_eq!(
        asked,
        [
            (
                What::Latest,
                "https://api.watttime.org/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer\
                 &horizon_hours=0"
            ),
            (
                What::Forecast,
                "https://api.watttime.org/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer\
                 &horizon_hours=48"
            ),
            (
                What::History,
                "https://api.watttime.org/v3/historical?region=CAISO_NORTH&signal_type=co2_moer\
                 &start=2024-06-10T19%3A00%2B00%3A00&end=2024-06-18T19%3A00%2B00%3A00\
                 &include_imputed_marker=true"
            ),
        ]
    );
    let login = Auth::Login {
        url: "https://api.watttime.org/login".to_owned(),
        lasts: Duration::from_secs(1800),
    };
    assert!(all.iter().all(|request| request.auth == login));
}

#[test]
fn the_average_is_a_provider_of_its_own_and_only_of_what_was() {
    let (moer, aoer) = (provider("co2_moer"), provider("co2_aoer"));
    assert_eq!((moer.signal(), aoer.signal()), (Signal::Marginal, Signal::Average));
    assert_ne!(moer.name(), aoer.name());
    let all = aoer.requests(ZONE, now()).unwrap();
    assert!(all.iter().all(|request| request.url.contains("/v3/historical?")));
    assert!(all.iter().all(|request| request.url.contains("signal_type=co2_aoer&")));
    // What is not about the average is not taken for it.
    let told = aoer.read(What::Latest, ZONE, HISTORICAL.as_bytes(), now());
    assert!(told.unwrap_err().to_string().contains("co2_moer"));
    let body = HISTORICAL.replace("co2_moer", "co2_aoer").replace("300", "3600");
    let points = aoer.read(What::Latest, ZONE, body.as_bytes(), now()).unwrap().points;
    assert_eq!(points[1].from.duration_until(points[1].until).as_secs(), 3600);
    assert!(points.iter().all(|point| point.nature != Nature::Forecast));
}

#[test]
fn a_region_is_only_guessed_where_it_is_certain() {
    let plain = |signal: &str| {
        let config = format!("{{credentials_file: /c, signal: {signal}}}");
        open(&serde_yaml::from_str(&config).unwrap()).unwrap()
    };
    let moer = plain("co2_moer");
    assert_eq!(moer.region("us-nw-bpat"), Ok("BPA"));
    assert_eq!(moer.region("DE"), Ok("DE"));
    for zone in [ZONE, "US-TEX-ERCO", "US-MIDA-PJM", "US-CA", "DK-DK1", "IN-WE"] {
        let error = moer.requests(zone, now()).unwrap_err();
        assert!(error.contains(&format!("regions: {{{zone}: REGION}}")), "{error}");
    }
    let aoer = plain("co2_aoer");
    assert_eq!(aoer.region(ZONE), Ok("CAISO"));
    assert!(aoer.region("US-NW-BPAT").is_err());
    assert_eq!(provider("co2_moer").region(ZONE), Ok("CAISO_NORTH"));
    for (of, region) in REGIONS {
        assert!(crate::data::zone(of).is_some(), "{of} {region}");
    }
    let slip = serde_yaml::from_str("{credentials_file: /c, regions: {DE: 'A&signal=b'}}").unwrap();
    assert!(open(&slip).err().unwrap().contains("CAISO_NORTH"));
    for slip in ["{}", "{credentials_file: /c, signal: percent}", "{credentials_file: /c, region: DE}"] {
        assert!(serde_yaml::from_str::<Config>(slip).is_err(), "{slip}");
    }
}

#[test]
fn a_forecast_begins_with_now_and_is_in_pounds() {
    let grams = |pounds: f64| pounds * 0.453_592_37;
    let first = ("18:40-18:45".to_owned(), grams(870.3), Nature::Estimated);
    let rest = [
        ("18:45-18:50".to_owned(), grams(871.0), Nature::Forecast),
        ("18:50-18:55".to_owned(), grams(1000.0), Nature::Forecast),
    ];
    let expected = [&[first][..], &rest].concat();
    assert_eq!(read(What::Latest, FORECAST).unwrap(), expected);
    assert_eq!(read(What::Forecast, FORECAST).unwrap(), expected);
    // One that begins later says nothing of now.
    let later = FORECAST.replace("T18:4", "T19:4").replace("T18:5", "T19:5");
    let told = read(What::Forecast, &later).unwrap();
    assert!(told.iter().all(|(.., nature)| *nature == Nature::Forecast));
}

#[test]
fn what_was_with_its_imputed_values() {
    let told = read(What::History, HISTORICAL).unwrap();
    let natures: Vec<(&str, Nature)> = told.iter().map(|(at, _, n)| (at.as_str(), *n)).collect();
    // Out of order, one twice, one null.
    assert_eq!(
        natures,
        [("18:20-18:25", Nature::Measured), ("18:30-18:35", Nature::Estimated)]
    );
}

#[test]
fn a_percentile_is_never_grams() {
    for what in [What::Latest, What::Forecast, What::History] {
        assert_eq!(read(what, INDEX), Err(Garbage::Unit("percentile".to_owned())));
    }
    let dollars = FORECAST.replace("lbs_co2_per_mwh", "usd_per_mwh");
    assert_eq!(read(What::Latest, &dollars), Err(Garbage::Unit("usd_per_mwh".to_owned())));
    // Without a unit it is nothing either.
    let none = FORECAST.replace("\"units\"", "\"unit\"");
    assert!(matches!(read(What::Latest, &none), Err(Garbage::Form(_))));
}

#[test]
fn errors_and_what_is_about_something_else() {
    let refused = r#"{"error":"Forbidden","message":"no access to region"}"#;
    assert_eq!(
        read(What::Latest, refused),
        Err(Garbage::Refused("no access to region".to_owned()))
    );
    for (this, that) in [
        ("CAISO_NORTH", "PSCO"),
        ("co2_moer", "health_damage"),
        ("2024-06-18T18:45", "soon"),
        ("871.0", "\"much\""),
        ("\"meta\"", "\"about\""),
    ] {
        assert!(FORECAST.contains(this), "{this}");
        let told = read(What::Latest, &FORECAST.replace(this, that));
        assert!(matches!(told, Err(Garbage::Form(_))), "{this} -> {that}: {told:?}");
    }
    let empty = FORECAST.replace(&FORECAST[FORECAST.find('[').unwrap()..=FORECAST.find(']').unwrap()], "[]");
    assert_eq!(read(What::Latest, &empty), Err(Garbage::Empty));
    for body in ["{}", "[]", "<html>", &FORECAST[..FORECAST.len() / 2]] {
        assert!(matches!(read(What::Latest, body), Err(Garbage::Form(_))), "{body}");
    }
    assert_eq!(read(What::Latest, ""), Err(Garbage::Empty));
}
