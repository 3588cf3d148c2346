use super::*;
use crate::grid::series::Nature;

const BODY: &str = include_str!("../../../../tests/replicas/grid/entsoe/generation.xml");
const REFUSAL: &str = include_str!("../../../../tests/replicas/grid/entsoe/acknowledgement.xml");

fn provider() -> Entsoe {
    open(&serde_yaml::from_str("token_file: /t").unwrap()).unwrap()
}

fn read_at(body: &str, now: &str) -> Result<Vec<(String, f64)>, Garbage> {
    let now = now.parse().unwrap();
    let answer = provider().read(What::Latest, "FI", body.as_bytes(), now)?;
    assert_eq!(answer.scope, Scope::Lifecycle);
    let point = |p: &crate::grid::series::Point| {
        assert_eq!(p.nature, Nature::Measured);
        assert_eq!(p.from.duration_until(p.until).as_secs(), 900);
        (
            p.from.strftime("%H:%M").to_string(),
            (p.intensity.0 * 100.0).round() / 100.0,
        )
    };
    Ok(answer.points.iter().map(point).collect())
}

fn read(body: &str) -> Result<Vec<(String, f64)>, Garbage> {
    read_at(body, "2025-10-24T13:00:00Z")
}

#[test]
fn the_area_and_whole_hours_are_asked_for() {
    let now = "2025-10-26T00:47:12Z".parse().unwrap();
    let all = provider().requests("de", now).unwrap();
    assert_eq!(
        all[0].url,
        "https://web-api.tp.entsoe.eu/api?documentType=A75&processType=A16&in_Domain=10Y1001A1001A82H\
         &periodStart=202510241200&periodEnd=202510260100"
    );
    assert_eq!(all[0].auth, Auth::Query("securityToken"));
    assert_eq!(all[1].what, What::History);
    assert!(
        all[1]
            .url
            .contains("periodStart=202510180000&periodEnd=202510260100")
    );
    let soon = "2025-10-26T00:59:59Z".parse().unwrap();
    assert_eq!(
        provider().requests("DE", soon).unwrap()[0].url,
        all[0].url,
        "for caches"
    );
    let error = provider().requests("US-CA", now).unwrap_err();
    assert!(error.contains("SE-SE3") && error.contains("eic"), "{error}");
}

#[test]
fn an_area_of_ones_own() {
    let own = "{token_file: /t, eic: 10YGB----------A}";
    let own = open(&serde_yaml::from_str(own).unwrap()).unwrap();
    let url = own.requests("GB", Timestamp::UNIX_EPOCH).unwrap()[0]
        .url
        .clone();
    assert!(url.contains("in_Domain=10YGB----------A&"), "{url}");
    let slip = serde_yaml::from_str::<Config>("{token_file: /t, eic: 10YGB----------B}");
    assert!(slip.unwrap_err().to_string().contains("EIC"));
    assert!(serde_yaml::from_str::<Config>("{token_file: /t, zone: GB}").is_err());
}

/// By hand: nuclear 2000 MW throughout; wind 1000, 1000, 1500, 1500, then 1000 for an hour, 500.5 for
/// three quarters and 600; hard coal 400, 500, 600 in the hours; storage neither way.
#[test]
fn quarters_and_hours_held_and_not_side_by_side() {
    let mix = |wind: f64, coal: f64| {
        let grams = 2000.0 * 12.0 + wind * 11.0 + coal * 820.0;
        (grams / (2000.0 + wind + coal) * 100.0).round() / 100.0
    };
    let expected = [
        ("09:00", mix(1000.0, 400.0)),
        ("09:15", mix(1000.0, 400.0)),
        ("09:30", mix(1500.0, 400.0)),
        ("09:45", mix(1500.0, 400.0)),
        ("10:00", mix(1000.0, 500.0)),
        ("10:15", mix(1000.0, 500.0)),
        ("10:30", mix(1000.0, 500.0)),
        ("10:45", mix(1000.0, 500.0)),
        ("11:00", mix(500.5, 600.0)),
        ("11:15", mix(500.5, 600.0)),
        ("11:30", mix(500.5, 600.0)),
        ("11:45", mix(600.0, 600.0)),
    ];
    let expected = expected.map(|(at, grams)| (at.to_owned(), grams));
    assert_eq!(read(BODY).unwrap(), expected);
    // What is not over yet has not been measured, though a value is held until the period's end.
    let early = read_at(BODY, "2025-10-24T11:20:00Z").unwrap();
    assert_eq!(early, expected[..9]);
}

#[test]
fn names_count_and_not_their_version_or_prefix() {
    let other = BODY
        .replace(":3:0", ":4:2")
        .replace("</", "</x:")
        .replace('<', "<x:")
        .replace("<x:/x:", "</x:")
        .replace("<x:?", "<?")
        .replace("xmlns=", "xmlns:x=");
    assert_eq!(read(&other).unwrap(), read(BODY).unwrap());
}

#[test]
fn without_holding_a_gap_is_a_gap() {
    // Wind is a third of it: where it is not told there is no intensity.
    let body = BODY.replace("A03", "A01");
    let told: Vec<String> = read(&body).unwrap().into_iter().map(|(at, _)| at).collect();
    assert_eq!(told, ["09:00"]);
}

#[test]
fn a_type_that_is_late_ends_the_intensity_there() {
    // Coal is told for two hours, the rest for three.
    let body = BODY.replace(
        "<Point><position>3</position><quantity>600</quantity></Point>",
        "",
    );
    let told = read(&body).unwrap();
    assert_eq!(told.last().unwrap().0, "10:45");
}

#[test]
fn a_refusal_with_its_reason_though_the_status_is_200() {
    let Err(Garbage::Refused(reason)) = read(REFUSAL) else {
        panic!("not refused");
    };
    assert!(
        reason.starts_with("No matching data found") && reason.contains("B&C"),
        "{reason}"
    );
}

#[test]
fn what_is_about_something_else_is_refused() {
    assert!(matches!(read(&BODY.replace("MAW", "EUR")), Err(Garbage::Unit(unit)) if unit == "EUR"));
    for (this, that) in [
        ("10YFI-1--------U", "10YSE-1--------K"),
        ("<type>A75</type>", "<type>A65</type>"),
        ("A03", "A05"),
        ("PT15M", "P1D"),
        ("PT15M", "PT0M"),
        ("<position>3<", "<position>13<"),
        ("<position>3<", "<position>0<"),
        ("<position>3<", "<position>99999999999999999999<"),
        ("<quantity>1500<", "<quantity>many<"),
        ("<quantity>1500<", "<quantity>inf<"),
        ("<quantity>1500</quantity>", ""),
        (
            "<end>2025-10-24T12:00Z</end></timeInterval>",
            "<end>2125-10-24T12:00Z</end></timeInterval>",
        ),
        (
            "<start>2025-10-24T09:00Z</start>",
            "<start>2025-10-24T09:07Z</start>",
        ),
        ("<start>2025-10-24T09:00Z</start>", "<start>today</start>"),
        ("</TimeSeries>\n</GL_MarketDocument>", ""),
        ("</Period>", ""),
        ("GL_MarketDocument", "html"),
        ("GL_MarketDocument", "Publication_MarketDocument"),
        ("<quantity>1500<", "<quantity>&big;<"),
        (
            "<GL_MarketDocument",
            "<!DOCTYPE x [<!ENTITY big \"1500\">]><GL_MarketDocument",
        ),
    ] {
        assert!(BODY.contains(this), "{this}");
        let told = read(&BODY.replace(this, that));
        assert!(
            matches!(told, Err(Garbage::Form(_))),
            "{this} -> {that}: {told:?}"
        );
    }
    for body in ["", " "] {
        assert_eq!(read(body), Err(Garbage::Empty));
    }
    for body in ["{\"a\": 1}", "Unauthorized", "<", "<a", "</a>"] {
        assert!(matches!(read(body), Err(Garbage::Form(_))), "{body}");
    }
    let none = "<GL_MarketDocument><type>A75</type></GL_MarketDocument>";
    assert_eq!(read(none), Err(Garbage::Empty));
}

#[test]
fn depth_length_and_count_are_bounded() {
    let deep = format!("<GL_MarketDocument>{}", "<a>".repeat(100_000));
    let long = format!(
        "<GL_MarketDocument><text>{}</text></GL_MarketDocument>",
        "a".repeat(5000)
    );
    let many = format!(
        "<GL_MarketDocument>{}</GL_MarketDocument>",
        "<TimeSeries></TimeSeries>".repeat(document::MOST + 1)
    );
    for body in [deep, long, many] {
        assert!(matches!(read(&body), Err(Garbage::Form(_))));
    }
}

#[test]
fn storage_alone_is_no_generation() {
    let body = BODY
        .replace("B14", "B10")
        .replace("B19", "B25")
        .replace("B05", "B10");
    assert_eq!(read(&body), Err(Garbage::Empty));
}

#[test]
fn every_type_of_plants_has_its_fuel() {
    let fuels: Vec<Option<Fuel>> = (1..=25).map(|n| fuel(&format!("B{n:02}"))).collect();
    let named = fuels
        .iter()
        .flatten()
        .filter(|fuel| **fuel != Fuel::Unknown)
        .count();
    assert_eq!(
        (named, fuels.iter().filter(|fuel| fuel.is_none()).count()),
        (18, 6)
    );
    assert_eq!(fuel("B20"), Some(Fuel::Unknown));
    assert_eq!(fuel("B99"), Some(Fuel::Unknown), "what is new is not clean");
}
