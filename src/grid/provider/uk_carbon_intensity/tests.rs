use super::*;

macro_rules! body {
    ($name:literal) => {
        include_str!(concat!(
            "../../../../tests/replicas/grid/uk_carbon_intensity/",
            $name
        ))
    };
}

const NOW: &str = body!("intensity.json");
const BACK: &str = body!("pt24h.json");
const REGION: &str = body!("regional.json");
const POSTCODE: &str = body!("postcode_fw48h.json");
const ERROR: &str = body!("error.json");

fn provider(config: &str) -> UkCarbonIntensity {
    open(&serde_yaml::from_str(config).unwrap()).unwrap()
}

fn now() -> Timestamp {
    "2018-01-20T12:10:00Z".parse().unwrap()
}

fn read(config: &str, body: &str) -> Result<Vec<(String, f64, Nature)>, Garbage> {
    let answer = provider(config).read(What::Latest, "GB", body.as_bytes(), now())?;
    assert_eq!(answer.scope, Scope::Direct);
    let text = |at: Timestamp| at.strftime("%H:%M").to_string();
    let points = answer.points.iter();
    Ok(points
        .map(|p| (format!("{}-{}", text(p.from), text(p.until)), p.intensity.0, p.nature))
        .collect())
}

fn asked(config: &str, now: &str) -> Vec<String> {
    let all = provider(config).requests("gb", now.parse().unwrap()).unwrap();
    let base = "https://api.carbonintensity.org.uk/";
    all.iter()
        .map(|request| request.url.strip_prefix(base).unwrap().to_owned())
        .collect()
}

#[test]
fn the_whole_or_a_region() {
    // The night in which Britain's clocks go back: settlement periods are in UTC here.
    assert_eq!(
        asked("{}", "2026-10-25T01:59:59+01:00"),
        [
            "intensity",
            "intensity/2026-10-25T00:30Z/fw48h",
            "intensity/2026-10-25T00:30Z/pt24h"
        ]
    );
    assert_eq!(
        asked("{region: 13}", "2026-01-05T12:30:00Z"),
        [
            "regional/regionid/13",
            "regional/intensity/2026-01-05T12:30Z/fw48h/regionid/13",
            "regional/intensity/2026-01-05T12:30Z/pt24h/regionid/13"
        ]
    );
    assert_eq!(asked("{postcode: rg10}", "2026-01-05T12:30:00Z")[0], "regional/postcode/RG10");
    for zone in ["GB-NIR", "IE", "UK"] {
        let error = provider("{}").requests(zone, now()).unwrap_err();
        assert!(error.contains("GB (Great Britain"), "{error}");
    }
}

#[test]
fn impossible_regions_are_refused_at_once() {
    for (slip, told) in [
        ("{region: 0}", "1 (North Scotland)"),
        ("{region: 18}", "1 (North Scotland)"),
        ("{postcode: RG10 9XY}", "RG10"),
        ("{postcode: ../x}", "RG10"),
        ("{postcode: '10'}", "RG10"),
        ("{regions: 3}", "unknown field"),
    ] {
        let error = serde_yaml::from_str::<Config>(slip).unwrap_err().to_string();
        assert!(error.contains(told), "{slip}: {error}");
    }
    let both = serde_yaml::from_str("{region: 3, postcode: RG10}").unwrap();
    assert!(open(&both).err().unwrap().contains("not both"));
}

#[test]
fn an_actual_value_where_there_is_one() {
    let half = |at: &str, grams, nature| (at.to_owned(), grams, nature);
    assert_eq!(
        read("{}", NOW).unwrap(),
        [half("12:00-12:30", 263.0, Nature::Measured)]
    );
    // Out of order; null where it is not known yet; nothing at all of the last.
    assert_eq!(
        read("{}", BACK).unwrap(),
        [
            half("12:00-12:30", 266.0, Nature::Estimated),
            half("11:30-12:00", 261.0, Nature::Measured),
            half("12:30-13:00", 259.0, Nature::Forecast),
        ]
    );
    // Nobody has measured what has not begun.
    let early = NOW.replace("T12:00Z", "T12:30Z").replace("\"2018-01-20T12:30Z\",\n      \"int", "\"2018-01-20T13:00Z\",\n      \"int");
    assert_eq!(
        read("{}", &early).unwrap(),
        [half("12:30-13:00", 266.0, Nature::Forecast)]
    );
}

#[test]
fn a_region_in_a_list_and_as_an_object() {
    let half = |at: &str, grams, nature| (at.to_owned(), grams, nature);
    assert_eq!(
        read("{region: 3}", REGION).unwrap(),
        [half("12:00-12:30", 266.0, Nature::Estimated)]
    );
    assert_eq!(
        read("{postcode: RG10}", POSTCODE).unwrap(),
        [
            half("12:00-12:30", 301.0, Nature::Estimated),
            half("12:30-13:00", 302.0, Nature::Forecast),
        ]
    );
    assert_eq!(read("{region: 12}", POSTCODE).unwrap().len(), 2);
}

#[test]
fn an_answer_about_another_place_is_refused() {
    for (config, body) in [
        ("{region: 4}", REGION),
        ("{}", REGION),
        ("{region: 3}", NOW),
        ("{postcode: SW1}", POSTCODE),
        ("{postcode: RG10}", NOW),
    ] {
        let told = read(config, body);
        assert!(matches!(told, Err(Garbage::Form(_))), "{config}: {told:?}");
    }
}

#[test]
fn errors_and_broken_answers() {
    let why = "400 Bad Request: Please enter a valid postcode.";
    assert_eq!(read("{}", ERROR), Err(Garbage::Refused(why.to_owned())));
    assert_eq!(read("{}", r#"{"data":[]}"#), Err(Garbage::Empty));
    let index_only = NOW.replace("\"forecast\": 266, \"actual\": 263, ", "");
    assert_eq!(read("{}", &index_only), Err(Garbage::Empty));
    for body in [
        "{}",
        "[]",
        "<html>",
        r#"{"data":3}"#,
        &NOW.replace("263", "\"moderate\""),
        &NOW.replace("2018-01-20T12:00Z", "noon"),
        &NOW[..NOW.len() / 2],
    ] {
        assert!(matches!(read("{}", body), Err(Garbage::Form(_))), "{body}");
    }
}
