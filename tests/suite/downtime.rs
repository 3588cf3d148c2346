//! Energy that was used while the program was down meets what holds of that time, and is no live one's.

use crate::moving::Machine;
use crate::program::{Program, until};
use crate::replica::Replica;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fs;

const GRAMS: f64 = 123.0;

/// The hour that we are in.
fn hour() -> Timestamp {
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now % 3600).unwrap()
}

fn energy(machine: &Machine, joules: u64) {
    let path = "sys/class/powercap/intel-rapl:0/energy_uj";
    machine.write(
        path,
        format!("{:<19}\n", 1_000_000_000 + joules * 1_000_000),
    );
}

/// Joules, grams, and the part of them that is estimated.
fn sums(program: &Program) -> Option<[f64; 3]> {
    let series = program.metrics();
    let find = |name: &str| series.find(&format!("gramwatt_node_{name}_total"));
    let all = ["energy_joules", "co2e_grams", "estimated_co2e_grams"].map(find);
    Some([all[0]?, all[1]?, all[2]?])
}

/// What is booked of 30 J that were used while the program was down, where the file of its last books is
/// changed meanwhile, and what it was told last becomes older by some hours: joules, grams, and what of them
/// is estimated.
fn gap(change: impl Fn(&mut Value), older: i64) -> [f64; 3] {
    let machine = Machine::two_packages();
    let replica = Replica::new(move |_| {
        let body = json!({"zone": "DE", "carbonIntensity": GRAMS, "datetime": hour().to_string(),
            "isEstimated": false, "emissionFactorType": "lifecycle", "temporalGranularity": "hourly",
            "history": []});
        ("200 OK".to_owned(), body.to_string().into_bytes())
    });
    let token = machine.write("token", "secret\n");
    let config = format!(
        "grid: {{zone: DE, max_age: 24h, providers: [{{type: electricity-maps, token_file: {}, base_url: \
         \"{}\"}}]}}\nsensors: {{interval: 200ms}}\n",
        token.display(),
        replica.url()
    );
    let config = machine.write("gramwatt.yaml", config);
    let flag = format!("--config.file={}", config.display());
    let program = Program::start(machine.with(&[&flag, "--no-sensor.model"]));
    until("a live intensity", || {
        let page = program.get("/metrics").body;
        let is_live =
            |line: &&str| line.starts_with("gramwatt_grid_info") && line.contains("\"live\"");
        page.lines().find(is_live).map(drop)
    });
    // The next energy is of the time after this.
    energy(&machine, 10);
    let before = until("joules", || sums(&program).filter(|sums| sums[0] > 0.0));
    program.crash();
    energy(&machine, 40);
    replica.change(|_| ("503 Service Unavailable".to_owned(), Vec::new()));
    let path = machine.state().join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    fs::write(&path, state.to_string()).unwrap();
    let path = machine.state().join("intensity.json");
    let told = fs::read_to_string(&path).unwrap();
    let shift = |told: String, hours: i64| {
        let later = |by: i64| (hour() + SignedDuration::from_hours(by)).to_string();
        told.replace(&later(hours), &later(hours - older))
    };
    fs::write(&path, shift(shift(told, 0), 1)).unwrap();
    let program = Program::start(machine.with(&[&flag, "--no-sensor.model"]));
    let after = until("the energy of the time between", || {
        sums(&program).filter(|after| after[0] > before[0])
    });
    [0, 1, 2].map(|number| after[number] - before[number])
}

/// To a hundred-thousandth: the clocks of a moment are read some microseconds apart.
fn near(found: f64, told: f64) {
    assert!(
        (found - told).abs() < 1e-5 * told.abs().max(1e-3),
        "{found}, not {told}"
    );
}

#[test]
fn a_factor_whose_time_has_ended_is_cached_while_the_program_is_down() {
    let [joules, grams, estimated] = gap(
        |state| {
            let read = &state["accounts"][0]["last"]["counter"]["at"]["wall"];
            state["term"]["until"] = read.clone();
        },
        2,
    );
    near(joules, 30.0);
    near(grams, 30.0 * GRAMS / 3.6e6);
    near(estimated, grams);
}

#[test]
fn a_factor_whose_time_has_not_ended_stays_live_while_the_program_is_down() {
    let [_, grams, estimated] = gap(
        |state| {
            assert_eq!(state["term"]["tier"], json!("live"));
        },
        0,
    );
    near(grams, 30.0 * GRAMS / 3.6e6);
    near(estimated, 0.0);
}
