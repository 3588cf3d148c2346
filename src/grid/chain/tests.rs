use super::*;

fn listed(yaml: &str) -> Vec<Listing> {
    serde_yaml::from_str(&format!("[{yaml}]")).unwrap()
}

fn opened(yaml: &str, zones: &[&str]) -> Result<Vec<Box<dyn Provider>>, String> {
    let zones: Vec<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
    open(&listed(yaml), &zones)
}

const TIED: [(&str, &str); 5] = [
    (
        "{type: entsoe, token_file: /t, eic: 10YDOM-1001A082L",
        "leave eic out",
    ),
    (
        "{type: eia, token_file: /t, respondent: CISO",
        "leave respondent out",
    ),
    (
        "{type: file, path: /x.csv, unit: g/kWh, factors: direct",
        "write {zone} into path",
    ),
    (
        "{type: json, url: 'https://x/y', pointer: /a, unit: g/kWh, factors: direct",
        "write {zone} into url",
    ),
    (
        "{type: prometheus, url: 'https://x', query: intensity, unit: g/kWh, factors: direct",
        "write {zone} into query",
    ),
];

#[test]
fn what_is_of_one_zone_is_taken_for_no_other() {
    for (entry, told) in TIED {
        let alone = format!("{entry}}}");
        assert_eq!(
            opened(&alone, &["DE"]).map(|all| all.len()),
            Ok(1),
            "{alone}"
        );
        assert_eq!(
            opened(&alone, &["DE", "DE"]).map(|all| all.len()),
            Ok(1),
            "{alone}"
        );
        let reason = opened(&alone, &["DE", "FR"]).err().unwrap();
        for told in [told, "grid.providers[0]: ", "zones: [DE]", "DE, FR"] {
            assert!(reason.contains(told), "{reason}");
        }
        let limited = format!("{entry}, zones: [fr]}}");
        let all = opened(&limited, &["DE", "FR"]).unwrap();
        let asked = |zone| {
            let now = "2026-01-05T12:00:00Z".parse().unwrap();
            all[0].requests(zone, now).unwrap().len()
        };
        assert!(asked("FR") > 0 && asked("DE") == 0, "{limited}");
        assert!(all[0].serves("FR") && !all[0].serves("DE"));
        let both = format!("{entry}, zones: [FR, DE]}}");
        assert!(opened(&both, &["DE", "FR"]).is_err(), "{both}");
        assert!(opened(&both, &["DE"]).is_ok(), "{both}");
    }
}

#[test]
fn what_tells_zones_apart_is_asked_about_all() {
    for entry in [
        "{type: energy-charts}",
        "{type: entsoe, token_file: /t}",
        "{type: eia, token_file: /t}",
        "{type: file, path: '/{zone}.csv', unit: g/kWh, factors: direct}",
        "{type: json, url: 'https://x/{zone}', pointer: /a, unit: g/kWh, factors: direct}",
        "{type: prometheus, url: 'https://x', query: 'i{zone=\"{zone}\"}', unit: g/kWh, factors: direct}",
    ] {
        assert_eq!(
            opened(entry, &["DE", "FR"]).map(|all| all.len()),
            Ok(1),
            "{entry}"
        );
    }
}

#[test]
fn static_is_the_last_and_asks_nobody() {
    let names = |yaml: &str| -> Result<Vec<&'static str>, String> {
        let all = opened(yaml, &["DE"])?;
        Ok(all.iter().map(|provider| provider.name()).collect())
    };
    let both = names("{type: energy-charts}, {type: static}");
    assert_eq!(both, Ok(vec!["energy-charts"]));
    assert_eq!(names("{type: static}"), Ok(vec![]));
    for wrong in [
        "{type: static}, {type: energy-charts}",
        "{type: energy-charts}, {type: static}, {type: static}",
        "{type: static, zones: [DE]}",
    ] {
        let reason = names(wrong).unwrap_err();
        assert!(reason.contains("write {type: static} last"), "{reason}");
    }
    assert!(serde_yaml::from_str::<Listing>("{type: static, intensity: 3}").is_err());
}

#[test]
fn a_zone_that_nobody_knows_is_a_slip() {
    let reason = opened("{type: energy-charts, zones: [DEE]}", &["DE"])
        .err()
        .unwrap();
    assert!(
        reason.contains("grid.providers[0].zones: unknown zone \"DEE\""),
        "{reason}"
    );
}

#[test]
fn a_provider_of_some_zones_is_in_all_else_the_same() {
    for (entry, dated, whole) in [
        (
            "{type: file, path: /x.csv, unit: g/kWh, factors: direct",
            true,
            true,
        ),
        (
            "{type: json, url: 'https://x/y', pointer: /a, unit: g/kWh, factors: direct",
            false,
            false,
        ),
        (
            "{type: entsoe, token_file: /t, eic: 10YDOM-1001A082L",
            true,
            false,
        ),
    ] {
        let of = |entry: String| opened(&entry, &["DE"]).unwrap().remove(0);
        let (all, some) = (
            of(format!("{entry}}}")),
            of(format!("{entry}, zones: [DE]}}")),
        );
        for provider in [&all, &some] {
            assert_eq!(
                (provider.is_dated(), provider.is_whole()),
                (dated, whole),
                "{entry}"
            );
            assert_eq!(provider.tie(), all.tie());
            assert_eq!(provider.secret(), all.secret());
            assert_eq!(provider.terms(), all.terms());
            assert!(!provider.terms().is_empty() && provider.tie().is_some());
        }
    }
}
