//! `gramwatt estimate` as a researcher meets it.

use crate::program::run;
use crate::tools::{ended, said};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// What it prints with these flags, split at spaces; `_` stands for a space within one.
fn estimate(flags: &str) -> String {
    let output = run(arguments(flags));
    assert_eq!(output.status.code(), Some(0), "{flags}: {}", said(&output));
    assert_eq!(output.stderr, b"");
    String::from_utf8(output.stdout).unwrap()
}

fn arguments(flags: &str) -> Vec<String> {
    let flags = flags.split(' ').map(|flag| flag.replace('_', " "));
    ["estimate".to_owned()].into_iter().chain(flags).collect()
}

const NODE: &str = "--hardware=h100_sxm --count=8 --hours=100";

#[test]
fn a_table_tells_energy_grams_other_places_and_what_is_assumed() {
    let table = estimate(&format!("{NODE} --zone=DE --pue=1.3"));
    for line in [
        "8 x NVIDIA H100 SXM, 100 h at DE (Germany)",
        "Energy            728 kWh  560 kWh of the machines x PUE 1.3",
        "Operational        251 kg  x 344 g CO2e/kWh, location-based",
        "Embodied          3.74 kg  share of the making of the hardware, 3.74 kg to 13.1 kg",
        "Assumptions",
        "- PUE 1.3, as given.",
    ] {
        assert!(
            table.lines().any(|said| said == line),
            "no {line:?}: {table}"
        );
    }
    assert!(table.contains("kilometres by car (US)"), "{table}");
    let places = |table: &str| {
        table.matches("g/kWh lifecycle").count() + table.matches("g/kWh direct").count()
    };
    assert!(places(&table) < 12, "{table}");
    assert!(places(&estimate(&format!("{NODE} --zone=DE --pue=1.3 --all"))) > 300);
    let long = "--hardware=8x_B200 --hours=336 --zone=SE-SE3 --compare=gcp --all";
    for table in [table, estimate(long)] {
        let too_long = table.lines().find(|line| line.chars().count() > 100);
        assert_eq!(too_long, None);
    }
}

#[test]
fn several_kinds_of_hardware_have_a_line_each() {
    let table = estimate(
        "--hardware=8x_a100_80gb --hardware=2x_epyc_7763 --memory=1024 --hours=72 --utilization=0.7 \
         --cloud=aws/eu-central-1 --market-intensity=20 --offset=0.5",
    );
    for line in [
        "8 x NVIDIA A100 SXM 80GB    2.24 kW    161 kWh  embodied   5.22 kg",
        "2 x AMD EPYC 7763             392 W   28.2 kWh  embodied     411 g",
        "1024 GB of memory             401 W   28.9 kWh  embodied   2.92 kg",
        "  market-based    5.90 kg  100 % at 20 g/kWh by contract",
        "  offsets         2.95 kg  50 %, not deducted",
    ] {
        assert!(
            table.lines().any(|said| said == line),
            "no {line:?}: {table}"
        );
    }
    assert!(
        table.contains("number 19 of 39, regions of aws\n"),
        "{table}"
    );
}

#[test]
fn what_nobody_knows_of_the_making_is_unknown_and_not_nothing() {
    let flags = "--hardware=4x_450W --hours=10 --intensity=380";
    let table = estimate(flags);
    for line in [
        "Embodied          unknown",
        "Total CO2e        6.84 kg  without the making of the hardware",
    ] {
        assert!(
            table.lines().any(|said| said == line),
            "no {line:?}: {table}"
        );
    }
    let json: Value = serde_json::from_str(&estimate(&format!("{flags} --format=json"))).unwrap();
    assert_eq!(json["embodied_co2e_grams"], Value::Null);
    let latex = estimate(&format!("{flags} --format=latex"));
    assert!(
        latex.contains("The making of the hardware is not included."),
        "{latex}"
    );
    assert!(!latex.contains("Embodied"), "{latex}");
}

#[test]
fn json_and_csv_tell_the_same_and_every_place() {
    let flags = format!("{NODE} --cloud=aws/eu-central-1 --market-intensity=0");
    let json: Value = serde_json::from_str(&estimate(&format!("{flags} --format=json"))).unwrap();
    assert_eq!(json["energy_kwh"], 560.0);
    assert_eq!(json["facility_energy_kwh"], 756.0);
    assert_eq!(json["market_co2e_grams"], 0.0);
    assert_eq!(json["place"]["pue_ground"], "published");
    assert!(json["assumptions"].as_array().unwrap().len() > 4);
    assert_eq!(json["sources"][0]["id"], "ember");
    assert_eq!(json["equivalents_of_total"].as_array().unwrap().len(), 7);
    let elsewhere = json["elsewhere"].as_array().unwrap();

    let text = estimate(&format!("{flags} --format=csv"));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), elsewhere.len());
    let cell = |row: &csv::StringRecord, name: &str| {
        let at = names.iter().position(|known| known == name).unwrap();
        row[at].to_owned()
    };
    for (row, told) in rows.iter().zip(elsewhere) {
        assert_eq!(cell(row, "code"), told["place"]["code"].as_str().unwrap());
        let grams: f64 = cell(row, "location_co2e_grams").parse().unwrap();
        assert!((grams - told["location_co2e_grams"].as_f64().unwrap()).abs() < 1e-5);
        let here = told["here"] == true;
        assert_eq!(cell(row, "here"), here.to_string());
        assert_eq!(cell(row, "market_co2e_grams"), if here { "0" } else { "" });
    }
    let only = estimate(&format!("{NODE} --intensity=380 --format=csv"));
    assert_eq!(only.lines().count(), 2, "{only}");
}

#[test]
fn latex_and_bibtex_go_into_a_paper() {
    let latex = estimate(&format!("{NODE} --cloud=gcp/us-central1 --format=latex"));
    let bibtex = estimate(&format!("{NODE} --cloud=gcp/us-central1 --format=bibtex"));
    assert!(latex.contains("\\begin{tabular}{lr}") && latex.contains("\\end{table}"));
    assert!(bibtex.starts_with("@misc{gramwatt,\n"), "{bibtex}");
    // Where there is a TeX it must like them.
    let folder = tempfile::TempDir::new().unwrap();
    let paper =
        format!("\\documentclass{{article}}\n\\begin{{document}}\n{latex}\\end{{document}}\n");
    fs::write(folder.path().join("paper.tex"), paper).unwrap();
    let is_installed = Command::new("pdflatex").arg("--version").output().is_ok();
    if is_installed {
        let mut tex = Command::new("pdflatex");
        tex.current_dir(&folder);
        let output = ended(tex.args(["-interaction=nonstopmode", "-halt-on-error", "paper.tex"]));
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_printed() {
    for (flags, says) in [
        (
            "--hardware=h1000 --hours=1 --zone=DE",
            "nearest: NVIDIA H100 SXM (700 W)",
        ),
        (
            "--hardware=titan --hours=1 --zone=DE",
            "say which: NVIDIA TITAN RTX",
        ),
        ("--hardware=nvidia --hours=1 --zone=DE", "not bundled"),
        (
            "--hardware=0x_h100 --hours=1 --zone=DE",
            "no number of devices",
        ),
        ("--hours=1 --zone=DE", "--hardware"),
        ("--hardware=h100 --zone=DE", "--hours"),
        ("--hardware=h100 --hours=0 --zone=DE", "above 0"),
        ("--hardware=h100 --hours=-1 --zone=DE", "above 0"),
        (
            "--hardware=h100 --hours=1000001 --zone=DE",
            "at most 1000000",
        ),
        ("--hardware=h100 --hours=NaN --zone=DE", "above 0"),
        ("--hardware=h100 --hours=inf --zone=DE", "at most 1000000"),
        ("--hardware=h100 --hours=ten --zone=DE", "is no number"),
        (
            "--hardware=h100 --hours=1 --zone=DE --utilization=1.1",
            "0 to 1",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --utilization=-0.1",
            "0 to 1",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --count=0",
            "1..=1000000",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --pue=0.9",
            "at least 1",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --embodied-share=2",
            "0 to 1",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --market-share=1",
            "--market-intensity",
        ),
        (
            "--hardware=h100 --hours=1 --zone=DE --compare=azur",
            "azure",
        ),
        ("--hardware=h100 --hours=1", "--intensity"),
        (
            "--hardware=h100 --hours=1 --zone=DE --intensity=1",
            "cannot be used with",
        ),
        (
            "--hardware=h100 --hours=1 --zone=Germny",
            "nearest: DE (Germany)",
        ),
        (
            "--hardware=h100 --hours=1 --cloud=aws/eu-centrl-1",
            "nearest: aws/eu-central-1",
        ),
        (
            "--hardware=h100 --hours=1 --cloud=frankfurt",
            "PROVIDER/REGION",
        ),
        ("--hardware=h100 --hours=1 --intensity=-5", "0 to 2000"),
    ] {
        let output = run(arguments(flags));
        assert_eq!(output.status.code(), Some(2), "{flags}: {}", said(&output));
        assert_eq!(output.stdout, b"", "{flags}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(says), "{flags}: {told}");
    }
}
