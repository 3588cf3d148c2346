//! The classic text format differs from OpenMetrics only in its comments: a family is named as its
//! samples are, an info is a gauge, and there is neither a unit nor an end mark.

/// Rewrites a page of gauges, counters and infos, as ours are.
pub(super) fn from_openmetrics(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, text)) = help.take() {
                out.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn families_take_the_names_of_their_samples() {
        let page = "# HELP a_joules Energy.\n# TYPE a_joules counter\n# UNIT a_joules joules\n\
                    a_joules_total{x=\"# TYPE\"} 1.0\n# HELP b What.\n# TYPE b info\nb_info{} 1\n# EOF\n";
        let classic = "# HELP a_joules_total Energy.\n# TYPE a_joules_total counter\n\
                       a_joules_total{x=\"# TYPE\"} 1.0\n# HELP b_info What.\n# TYPE b_info gauge\n\
                       b_info{} 1\n";
        assert_eq!(super::from_openmetrics(page), classic);
    }
}
