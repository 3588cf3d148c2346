//! The repository tells the truth about the program: documents, versions, and the rules of the house.

use crate::tools::root;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the program prints, on no terminal.
fn gramwatt(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gramwatt"))
        .args(args)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "gramwatt {args:?}: {err}");
    String::from_utf8(out).unwrap()
}

/// All files below a folder, by their paths from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// `text` with the content of the generated block `name` replaced.
fn regenerated(text: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("README.md has no block {name}"));
    let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
    format!("{before}{begin}{content}<!-- /generated -->{after}")
}

#[test]
fn the_readme_holds_what_the_program_prints() {
    let old = read("README.md");
    let help = format!("```\n{}\n```\n", gramwatt(&["--help"]).trim_end());
    let example =
        "estimate --hardware h100 --count 8 --hours 100 --utilization 0.8 --cloud aws/eu-central-1";
    let flags: Vec<&str> = example.split(' ').collect();
    let estimate = format!("```\n$ gramwatt {example}\n{}```\n", gramwatt(&flags));
    let new = [
        ("estimate", estimate),
        ("metrics", gramwatt(&["metrics"])),
        ("configuration", gramwatt(&["config-reference"])),
        ("help", help),
    ]
    .iter()
    .fold(old.clone(), |text, (name, content)| {
        regenerated(&text, name, content)
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join("README.md"), new).unwrap();
        return;
    }
    let stale = new.lines().zip(old.lines()).find(|(new, old)| new != old);
    assert!(new == old, "README.md is stale, run `make docs`: {stale:?}");
}

#[test]
fn every_family_of_a_page_is_in_the_readme() {
    let readme = read("README.md");
    let page = gramwatt(&[
        "once",
        "--demo",
        "--grid.zone=DE",
        "--seconds=0.2",
        "--format=openmetrics",
    ]);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut families = 0;
    for (name, kind) in types.filter_map(|rest| rest.split_once(' ')) {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(
            readme.contains(&format!("| `{name}{suffix}` |")),
            "{name}{suffix}"
        );
        families += 1;
    }
    assert!(families > 20, "{families} families");
}

#[test]
fn every_provider_is_in_the_readme() {
    let readme = read("README.md");
    let reference = gramwatt(&["config-reference"]);
    let keys = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `grid.providers["));
    let keys = keys.filter_map(|rest| rest.split_once(']'));
    let types = keys.filter(|(_, rest)| rest.starts_with("` |"));
    let types: Vec<&str> = types.map(|(kind, _)| kind).collect();
    assert!(types.len() > 10, "{types:?}");
    for kind in types {
        assert!(readme.contains(&format!("\n| `{kind}` | ")), "{kind}");
    }
}

#[test]
fn the_readme_has_a_configuration_that_is_right() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```yaml\n# gramwatt.yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gramwatt.yaml");
    fs::write(&file, example).unwrap();
    gramwatt(&["check-config", file.to_str().unwrap()]);
}

#[test]
fn links_and_commands_of_the_documents_lead_somewhere() {
    let makefile = read("Makefile");
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "src/data/README.md",
    ] {
        let text = read(document);
        let folder = root().join(document);
        let folder = folder.parent().unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let is_here = !target.contains("://") && !target.starts_with('#');
            assert!(
                !is_here || folder.join(target).exists(),
                "{document}: {target}"
            );
        }
        for goal in text
            .split("`make ")
            .skip(1)
            .filter_map(|rest| rest.split([' ', '`']).next())
        {
            assert!(
                makefile.contains(&format!("\n{goal}: ")),
                "{document}: make {goal}"
            );
        }
    }
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = read("CHANGELOG.md");
    let headings: Vec<&str> = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## [")?.split(']').next())
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    match headings.as_slice() {
        // Work on the next version: it is in the text, or was released last.
        ["Unreleased", released @ ..] => assert!(
            changelog.contains(&format!("The first version, {version},"))
                || released.first() == Some(&version),
            "CHANGELOG.md does not know {version}"
        ),
        [newest, ..] => assert_eq!(*newest, version),
        [] => panic!("CHANGELOG.md has no versions"),
    }
}

#[test]
fn every_bundled_table_says_where_it_comes_from() {
    let readme = read("src/data/README.md");
    let tables: Vec<String> = files("src/data")
        .into_iter()
        .filter(|path| !path.ends_with(".rs") && !path.ends_with(".md"))
        .collect();
    assert!(tables.len() > 3, "{tables:?}");
    for table in tables {
        let name = table.trim_start_matches("src/data/");
        assert!(
            readme.contains(&format!("| `{name}` |")),
            "src/data/README.md: {name}"
        );
    }
    let notice = read("NOTICE");
    let mut sources = csv::Reader::from_path(root().join("src/data/sources.csv")).unwrap();
    for row in sources.records() {
        let row = row.unwrap();
        let url = row.get(4).unwrap().trim_end_matches('/');
        assert!(notice.contains(url), "NOTICE: {url}");
    }
}

#[test]
fn the_architecture_names_every_module() {
    let architecture = read("ARCHITECTURE.md");
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".rs");
        // A module's folder stands beside its file, or has a mod.rs.
        let named = [format!("`{stem}.rs`"), format!("`{stem}/`")];
        assert!(
            named.iter().any(|name| architecture.contains(name)),
            "{name}"
        );
    }
    for path in files("src/sensor") {
        let family = path
            .trim_start_matches("src/sensor/")
            .split(['/', '.'])
            .next()
            .unwrap();
        let named = family == "mod" || architecture.contains(&format!("`{family}"));
        assert!(named, "{path}");
    }
}

#[test]
fn the_tests_that_the_architecture_names_exist() {
    let code: String = files("src")
        .iter()
        .chain(&files("tests"))
        .filter(|path| path.ends_with(".rs"))
        .map(|path| read(path))
        .collect();
    let architecture = read("ARCHITECTURE.md");
    let (_, rest) = architecture.split_once("\n## Invariants").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let tests: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
    let tests: Vec<&str> = tests
        .into_iter()
        .filter(|name| name.matches('_').count() > 1)
        .collect();
    assert!(tests.len() > 8, "{tests:?}");
    for test in tests {
        let name = test.rsplit("::").next().unwrap();
        assert!(code.contains(&format!("fn {name}(")), "{test}");
    }
}

#[test]
fn files_are_short_and_nothing_is_left_to_be_done() {
    let marks = ["TODO", "FIXME", "todo!(", "unimplemented!("];
    let mut texts = vec![
        "Makefile".to_owned(),
        "README.md".into(),
        "ARCHITECTURE.md".into(),
    ];
    for folder in ["src", "tests", "fuzz/fuzz_targets", "scripts"] {
        texts.extend(files(folder));
    }
    texts.retain(|path| !path.ends_with("suite/repo.rs"));
    for path in texts {
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue;
        };
        for mark in marks {
            assert!(!text.contains(mark), "{path}: {mark}");
        }
        let lines = text.lines().count();
        let is_code =
            path.starts_with("src/") && path.ends_with(".rs") && !path.ends_with("tests.rs");
        assert!(!is_code || lines <= 500, "{path}: {lines} lines, split it");
    }
}
