//! "Did you mean": which rows are closest to what a person typed.

/// How alike two texts are, whatever their case: 0 for nothing in common, 1 for equal.
pub(super) fn likeness(typed: &str, known: &str) -> f64 {
    strsim::jaro_winkler(&typed.to_lowercase(), &known.to_lowercase())
}

/// The `how_many` items with the highest score, best first; equal scores keep their order.
pub(super) fn best<T>(items: Vec<T>, how_many: usize, score: impl Fn(&T) -> f64) -> Vec<T> {
    let mut scored: Vec<(f64, T)> = items.into_iter().map(|item| (score(&item), item)).collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored
        .into_iter()
        .take(how_many)
        .map(|(_, item)| item)
        .collect()
}
