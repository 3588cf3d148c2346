use super::*;

const VECTOR: &str = include_str!("../../../../tests/replicas/grid/prometheus/vector.json");
const SCALAR: &str = include_str!("../../../../tests/replicas/grid/prometheus/scalar.json");
const ERROR: &str = include_str!("../../../../tests/replicas/grid/prometheus/error.json");

fn config(more: &str) -> Config {
    let base = r#"url: "http://prometheus:9090/prefix/", query: 'grid{zone="{zone}"}', unit: g/kWh, factors: lifecycle"#;
    serde_yaml::from_str(&format!("{{{base}{more}}}")).unwrap()
}

fn read(body: &str) -> Result<Point, Garbage> {
    // The sample is of 12:00.
    let now = "2026-01-05T12:00:05Z".parse().unwrap();
    let answer = open(&config(""))
        .unwrap()
        .read(What::Latest, "DE", body.as_bytes(), now)?;
    assert_eq!((answer.scope, answer.points.len()), (Scope::Lifecycle, 1));
    Ok(answer.points[0])
}

#[test]
fn the_query_of_a_zone_that_cannot_break_out_of_it() {
    let ask = |more: &str, zone: &str| {
        let all = open(&config(more))
            .unwrap()
            .requests(zone, Timestamp::UNIX_EPOCH)
            .unwrap();
        (all[0].url.clone(), all[0].auth.clone())
    };
    let (url, auth) = ask("", "DK-DK1");
    let query = "grid%7Bzone%3D%22DK-DK1%22%7D";
    assert_eq!(
        url,
        format!("http://prometheus:9090/prefix/api/v1/query?query={query}")
    );
    assert_eq!(auth, Auth::None);
    let (url, auth) = ask(", token_file: /t", "A\"}&x");
    assert!(url.ends_with("zone%3D%22A___x%22%7D"), "{url}");
    assert_eq!(auth, Auth::Header("authorization", "Bearer "));
    assert!(
        open(&Config {
            query: " ".to_owned(),
            ..config("")
        })
        .is_err()
    );
}

#[test]
fn one_sample_as_a_vector_or_as_a_scalar() {
    for body in [VECTOR, SCALAR] {
        let point = read(body).unwrap();
        assert_eq!(point.intensity.0, 412.5);
        assert_eq!(point.from.to_string(), "2026-01-05T12:00:00Z");
        assert_eq!(point.until.to_string(), "2026-01-05T12:05:00Z");
    }
}

#[test]
fn none_many_old_and_other_things_are_no_sample() {
    let sample =
        r#"{"metric":{"__name__":"grid_intensity","zone":"DE"},"value":[1767614400.281,"412.5"]}"#;
    assert!(VECTOR.contains(sample));
    assert_eq!(read(&VECTOR.replace(sample, "")), Err(Garbage::Empty));
    let two = read(&VECTOR.replace(sample, &format!("{sample},{sample}"))).unwrap_err();
    assert!(two.to_string().contains("2 samples"), "{two}");
    let Err(Garbage::Refused(reason)) = read(ERROR) else {
        panic!("not refused");
    };
    assert!(
        reason.starts_with("bad_data: invalid parameter"),
        "{reason}"
    );
    for (this, that) in [
        ("1767614400.281", "1767610800"),
        ("1767614400.281", "1767618000"),
        ("1767614400.281", "1e99"),
        ("\"412.5\"", "\"NaN\""),
        ("\"412.5\"", "\"+Inf\""),
        (",\"412.5\"", ""),
        ("\"value\"", "\"histogram\""),
        ("\"vector\"", "\"matrix\""),
        ("\"data\"", "\"date\""),
    ] {
        assert!(VECTOR.contains(this), "{this}");
        let told = read(&VECTOR.replace(this, that));
        assert!(
            matches!(told, Err(Garbage::Form(_))),
            "{this} -> {that}: {told:?}"
        );
    }
}
