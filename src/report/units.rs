//! Functional units of runs, which who asks gives by a run's id or name.

use super::runs::{Run, Runs};
use crate::data::nearest_texts;

/// How many names are offered to who typed another.
const OFFERED: usize = 3;

/// How many functional units a run made: its id goes before its name, which several may have.
#[must_use]
pub fn of(run: &Run, told: &[(String, f64)]) -> Option<f64> {
    let by = |own: &String| told.iter().find(|(name, _)| name == own);
    let found = by(&run.run_id).or_else(|| by(&run.run));
    found.map(|(_, units)| *units)
}

/// That each name is that of a run.
///
/// # Errors
/// Where one is none, with the nearest.
pub fn check(runs: &Runs, told: &[(String, f64)]) -> Result<(), String> {
    let names = |run: &Run| [run.run.clone(), run.run_id.clone()];
    let mut known: Vec<String> = runs.runs.iter().flat_map(names).collect();
    known.sort();
    known.dedup();
    let Some((unknown, _)) = told.iter().find(|(name, _)| !known.contains(name)) else {
        return Ok(());
    };
    let near = nearest_texts(unknown, known, OFFERED);
    let near = match near.is_empty() {
        true => "there was no run in this time".to_owned(),
        false => format!("nearest: {}", near.join(", ")),
    };
    Err(format!(
        "--units {unknown}: no run of this time has that name or id; {near}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::runs::tests::run;
    use super::*;

    fn told(units: &[(&str, f64)]) -> Vec<(String, f64)> {
        let units = units.iter();
        units
            .map(|(name, number)| ((*name).to_owned(), *number))
            .collect()
    }

    #[test]
    fn an_id_goes_before_a_name_in_whatever_order() {
        let one = run("policy", "1a47dc39");
        let by_both = [("policy", 30.0), ("1a47dc39", 10.0)];
        let turned = [by_both[1], by_both[0]];
        assert_eq!(of(&one, &told(&by_both)), Some(10.0));
        assert_eq!(of(&one, &told(&turned)), Some(10.0));
        assert_eq!(of(&run("policy", "2"), &told(&by_both)), Some(30.0));
        assert_eq!(of(&run("other", "2"), &told(&by_both)), None);
    }

    #[test]
    fn units_of_no_run_are_refused_with_the_nearest() {
        let runs = |runs: Vec<Run>| Runs {
            runs,
            failed_energy_share: 0.0,
            failed_co2e_share: None,
            began_before: 0,
        };
        let some = runs(vec![run("grasp-policy", "1a47dc39"), run("eval", "2b")]);
        let good = told(&[("eval", 1.0), ("1a47dc39", 2.0)]);
        assert_eq!(check(&some, &good), Ok(()));
        let error = check(&some, &told(&[("eval", 1.0), ("grasp-polcy", 3.0)])).unwrap_err();
        assert!(
            error.contains("--units grasp-polcy: no run")
                && error.contains("nearest: grasp-policy"),
            "{error}"
        );
        let error = check(&runs(Vec::new()), &good).unwrap_err();
        assert!(error.contains("there was no run"), "{error}");
    }
}
