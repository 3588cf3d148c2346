use super::*;

const RECORDS: &str = include_str!("../../../../tests/replicas/grid/rte_eco2mix/records.json");
const EXPORT: &str = include_str!("../../../../tests/replicas/grid/rte_eco2mix/export.json");

fn provider() -> RteEco2mix {
    open(&serde_yaml::from_str("{}").unwrap()).unwrap()
}

fn read(body: &str) -> Result<Vec<(String, f64)>, Garbage> {
    let now = "2026-05-14T16:10:00Z".parse().unwrap();
    let answer = provider().read(What::Latest, "FR", body.as_bytes(), now)?;
    assert_eq!(answer.scope, Scope::Direct);
    let text = |at: Timestamp| at.strftime("%d %H:%M").to_string();
    let points = answer.points.iter();
    Ok(points
        .map(|p| (format!("{}-{}", text(p.from), text(p.until)), p.intensity.0))
        .collect())
}

#[test]
fn france_and_nothing_else() {
    let now = "2026-05-14T16:10:00Z".parse().unwrap();
    let all = provider().requests("fr", now).unwrap();
    let base = "https://odre.opendatasoft.com/api/explore/v2.1/catalog/datasets/eco2mix-national-tr";
    let select = "select=date_heure%2Cnature%2Cperimetre%2Ctaux_co2";
    assert_eq!(
        all[0].url,
        format!(
            "{base}/records?{select}&where=taux_co2%20is%20not%20null&timezone=UTC\
             &order_by=date_heure%20desc&limit=8"
        )
    );
    assert_eq!(
        all[1].url,
        format!(
            "{base}/exports/json?{select}&where=taux_co2%20is%20not%20null%20and%20\
             date_heure%20%3E%3D%20date%272026-05-06%27&timezone=UTC"
        )
    );
    for zone in ["DE", "FR-COR", "GP"] {
        assert!(provider().requests(zone, now).unwrap_err().contains("knows FR"));
    }
}

#[test]
fn rows_that_are_not_filled_in_are_skipped() {
    let told = read(RECORDS).unwrap();
    // A number, a text, "ND", and the empty row of the future.
    assert_eq!(
        told,
        [
            ("14 15:15-14 15:30".to_owned(), 34.0),
            ("14 15:45-14 16:00".to_owned(), 35.0),
        ]
    );
    assert_eq!(read(&RECORDS.replace("\"taux_co2\": 35", "\"taux_co2\": 0")).unwrap().len(), 1);
    // An incomplete row is no zero, and one without a time none at all.
    let none = RECORDS.replace("\"taux_co2\": 35", "\"taux\": 35");
    assert_eq!(read(&none).unwrap().len(), 1);
}

#[test]
fn an_area_that_is_not_told_is_the_one_asked_for() {
    let bare = RECORDS.replace("\"perimetre\": \"France\", ", "");
    assert_ne!(bare, RECORDS);
    assert_eq!(read(&bare), read(RECORDS));
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let told = read(EXPORT).unwrap();
    assert_eq!(
        told,
        [
            ("25 00:45-25 01:00".to_owned(), 20.0),
            ("25 01:00-25 01:15".to_owned(), 21.0),
            ("25 01:45-25 02:00".to_owned(), 22.0),
        ]
    );
}

#[test]
fn errors_and_broken_answers() {
    let error = r#"{"error_code":"ODSQLError","message":"ODSQL query is malformed"}"#;
    let refused = Garbage::Refused("ODSQL query is malformed".to_owned());
    assert_eq!(read(error), Err(refused));
    assert_eq!(read(r#"{"total_count":0,"results":[]}"#), Err(Garbage::Empty));
    assert_eq!(read("[]"), Err(Garbage::Empty));
    for body in [
        "{}",
        "<html>",
        "3",
        &RECORDS.replace("\"France\"", "\"Bretagne\""),
        &RECORDS.replace("2026-05-14T15:45:00+00:00", "15h45"),
        &RECORDS[..RECORDS.len() / 2],
    ] {
        assert!(matches!(read(body), Err(Garbage::Form(_))), "{body}");
    }
}
