use super::*;

const BODY: &str = include_str!("../../../../tests/replicas/grid/json/own.json");

fn config(more: &str) -> Result<Config, serde_yaml::Error> {
    let base =
        "url: 'http://host/{zone}?a=b', pointer: /data/0/intensity, unit: kg/kWh, factors: direct";
    serde_yaml::from_str(&format!("{{{base}, {more}}}"))
}

fn read(more: &str, body: &str) -> Result<Point, Garbage> {
    let now = "2026-01-05T12:20:31Z".parse().unwrap();
    let provider = open(&config(more).unwrap()).unwrap();
    let answer = provider.read(What::Latest, "DE", body.as_bytes(), now)?;
    assert_eq!((answer.scope, answer.points.len()), (Scope::Direct, 1));
    Ok(answer.points[0])
}

#[test]
fn what_is_configured_is_asked() {
    let all = |more: &str| {
        open(&config(more).unwrap())
            .unwrap()
            .requests("D/E", Timestamp::UNIX_EPOCH)
    };
    let open = &all("headers: {Accept: application/json}").unwrap()[0];
    assert_eq!(open.url, "http://host/D%2FE?a=b");
    assert_eq!(
        open.headers,
        [("Accept".to_owned(), "application/json".to_owned())]
    );
    assert_eq!(
        (&open.auth, open.every),
        (&Auth::None, Duration::from_secs(300))
    );
    let signed = &all("token_file: /t, token_as: x-api-key, step: 1m").unwrap()[0];
    assert_eq!(signed.auth, Auth::Header("x-api-key", ""));
    assert_eq!(signed.every, Duration::from_secs(60));
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    for (more, says) in [
        ("headers: {Authorization: Bearer hunter2}", "token_file"),
        ("headers: {X-API-Key: hunter2}", "token_file"),
        ("headers: {'a b': c}", "no header"),
        ("headers: {A: \"b\\r\\nc: d\"}", "no header"),
        ("time_pointer: data.0", "no JSON pointer"),
        ("step: 1s", "no step"),
        ("token: hunter2", "unknown field"),
    ] {
        let error = config(more).unwrap_err().to_string();
        assert!(
            error.contains(says) && !error.contains("hunter2"),
            "{more}: {error}"
        );
    }
    let unitless = "{url: 'http://host/', pointer: /a, factors: direct}";
    let error = serde_yaml::from_str::<Config>(unitless)
        .unwrap_err()
        .to_string();
    assert!(error.contains("unit"), "{error}");
}

#[test]
fn a_value_at_its_place_and_time() {
    let point = read("time_pointer: /data/0/time", BODY).unwrap();
    assert_eq!(point.intensity.0, 412.0);
    assert_eq!(point.from.to_string(), "2026-01-05T12:00:00Z");
    assert_eq!(point.until.to_string(), "2026-01-05T13:00:00Z");
    assert_eq!(point.nature, Nature::Measured);
    let now = read("step: 5m", BODY).unwrap();
    assert_eq!(now.from.to_string(), "2026-01-05T12:20:00Z");
    assert_eq!(now.until.to_string(), "2026-01-05T12:25:00Z");
    for time in ["1767614400", "1767614400000", "\"2026-01-05T13:00+01:00\""] {
        let body = BODY.replace("\"2026-01-05T12:00:00Z\"", time);
        let point = read("time_pointer: /data/0/time", &body).unwrap();
        assert_eq!(point.from.to_string(), "2026-01-05T12:00:00Z", "{time}");
    }
    assert_eq!(read("signal: marginal", BODY).unwrap().intensity.0, 412.0);
    assert_eq!(
        open(&config("signal: marginal").unwrap()).unwrap().signal(),
        Signal::Marginal
    );
}

#[test]
fn what_is_not_there_is_not_guessed() {
    assert_eq!(
        read("step: 1h", &BODY.replace("\"0.412\"", "null")),
        Err(Garbage::Empty)
    );
    for (this, that) in [
        ("intensity", "percentile"),
        ("\"0.412\"", "\"high\""),
        ("\"0.412\"", "\"NaN\""),
        ("\"0.412\"", "[0.412]"),
        ("\"2026-01-05T12:00:00Z\"", "\"noon\""),
        ("\"2026-01-05T12:00:00Z\"", "1e300"),
        ("\"2026-01-05T12:00:00Z\"", "true"),
        ("{\"site\"", "<html>"),
    ] {
        assert!(BODY.contains(this), "{this}");
        let told = read("time_pointer: /data/0/time", &BODY.replace(this, that));
        assert!(
            matches!(told, Err(Garbage::Form(_))),
            "{this} -> {that}: {told:?}"
        );
    }
}
