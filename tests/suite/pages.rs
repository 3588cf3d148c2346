//! Others' parsers read our pages: promtool the classic format, `prometheus_client` OpenMetrics.

use crate::golden;
use crate::machine::Machine;
use crate::tools::{mend, said, tool};
use gramwatt::data::Reference;
use gramwatt::exposition;
use gramwatt::snapshot::{Process, Snapshot};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for path in sys.argv[1:]:
    families = list(text_string_to_metric_families(open(path).read()))
    assert families, path
    for family in families:
        assert family.documentation and family.samples, (path, family)
print(len(sys.argv) - 1)
";

/// Every step of every fixture machine, with what the exporter says of itself; and what a relay tells for
/// comparison.
fn snapshots() -> Vec<Arc<Snapshot>> {
    let machines = Machine::folders();
    let steps = machines.iter().flat_map(|folder| golden::snapshots(folder));
    let with_process = |snapshot: Arc<Snapshot>| {
        Arc::new(Snapshot {
            process: Some(Process::default()),
            ..Snapshot::clone(&snapshot)
        })
    };
    let relay = Arc::new(Snapshot {
        reference: Some(Arc::new(Reference::bundled())),
        ..Snapshot::default()
    });
    steps
        .map(|(_, snapshot)| with_process(snapshot))
        .chain([relay])
        .collect()
}

/// `promtool check metrics` has nothing to say of a page.
pub fn lint(page: &str) {
    let promtool = tool("promtool");
    let mut child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| mend(&promtool, &error));
    let mut input = child.stdin.take().expect("its input");
    input.write_all(page.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = said(&output);
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}

#[test]
fn promtool_has_nothing_to_say() {
    for snapshot in snapshots() {
        lint(&exposition::text(&snapshot));
    }
}

#[test]
fn the_reference_parser_reads_openmetrics() {
    let python = tool("python3");
    let folder = TempDir::new().expect("a temporary directory");
    let write = |(number, snapshot): (usize, &Arc<Snapshot>)| {
        let path = folder.path().join(format!("{number}.txt"));
        fs::write(&path, exposition::openmetrics(snapshot)).expect("a page");
        path
    };
    let snapshots = snapshots();
    let paths: Vec<PathBuf> = snapshots.iter().enumerate().map(write).collect();
    let output = Command::new(&python)
        .args(["-c", PARSE])
        .args(&paths)
        .output()
        .unwrap_or_else(|error| mend(&python, &error));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n(no prometheus_client? run `make setup`)"
    );
    let read = String::from_utf8_lossy(&output.stdout);
    assert_eq!(read.trim(), paths.len().to_string());
}
