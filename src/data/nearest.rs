//! "Did you mean": which rows are closest to what a person typed.

/// Below equal and above all but the slightest misspelling.
const ALL_PARTS_KNOWN: f64 = 0.97;

/// How alike two texts are, whatever their case: 0 for nothing in common, 1 for equal. Leaving words out
/// (`US-PJM` for `US-MIDA-PJM`, `Korea` for `South Korea`) counts as nearly equal.
pub(super) fn likeness(typed: &str, known: &str) -> f64 {
    let (typed, known) = (typed.trim().to_lowercase(), known.to_lowercase());
    let alike = strsim::jaro_winkler(&typed, &known);
    let known_parts: Vec<&str> = parts(&known).collect();
    if parts(&typed).next().is_some() && parts(&typed).all(|part| known_parts.contains(&part)) {
        return alike.max(ALL_PARTS_KNOWN);
    }
    alike
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
}

/// The `how_many` texts most like what was typed, best first.
#[must_use]
pub fn nearest_texts(typed: &str, known: Vec<String>, how_many: usize) -> Vec<String> {
    best(known, how_many, |known| likeness(typed, known))
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
