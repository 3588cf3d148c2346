//! A report as text for people: headings, facts, tables, notes; plain or as Markdown.

use super::tables::{self, Grid};
use super::{Report, show, words};
use std::fmt::Write;

/// The widest line of plain text that is not a table.
const WIDTH: usize = 100;

/// A part of the text.
enum Block {
    Heading(&'static str),
    Facts(Vec<(String, String)>),
    Grid(Grid),
    List(Vec<String>),
}

/// The parts, with at most `top` rows of a table.
fn blocks(report: &Report, top: usize) -> Vec<Block> {
    let mut all = vec![Block::Facts(words::facts(report))];
    if report.by_cluster.len() > 1 {
        all.push(Block::Heading("By cluster"));
        all.push(Block::Grid(tables::clusters(report)));
    }
    all.push(Block::Heading(tables::who(report.by)));
    match &report.runs {
        Some(runs) => {
            all.push(Block::Grid(tables::runs(runs, top)));
            all.push(Block::List(words::about_runs(runs)));
        }
        None => all.push(Block::Grid(tables::rows(report, top))),
    }
    if let Some(sci) = &report.sci {
        all.push(Block::Heading(
            "Software carbon intensity (ISO/IEC 21031:2024)",
        ));
        all.push(Block::List(vec![words::sci(sci)]));
    }
    let equivalents = words::equivalents(&report.equivalents);
    if !equivalents.is_empty() {
        all.push(Block::Heading("As much as"));
        all.push(Block::List(equivalents));
    }
    all.push(Block::Heading("The same load elsewhere"));
    all.push(Block::Grid(tables::elsewhere(report)));
    if !report.other_pues.is_empty() {
        all.push(Block::Heading("The same load here, with another PUE"));
        all.push(Block::Grid(tables::pues(report)));
    }
    all.push(Block::Heading("To read it rightly"));
    all.push(Block::List(report.notes.clone()));
    all
}

/// Plain text, for a terminal.
pub fn text(report: &Report, top: usize) -> String {
    let mut out = format!("Gramwatt report, {}\n\n", show::period(report));
    for block in blocks(report, top) {
        match block {
            Block::Heading(text) => {
                out += "\n";
                out += text;
                out += "\n";
            }
            Block::Facts(facts) => {
                let wide = facts.iter().map(|(name, _)| name.chars().count()).max();
                let wide = wide.unwrap_or(0);
                for (name, value) in facts {
                    let _ = writeln!(out, "{name:wide$}  {value}");
                }
            }
            Block::Grid(grid) => out += &aligned(&grid),
            Block::List(items) => {
                for item in items {
                    out += &wrapped(&item);
                }
            }
        }
    }
    out
}

/// Columns as wide as they must be: words to the left, numbers to the right.
fn aligned(grid: &Grid) -> String {
    let lines = || std::iter::once(&grid.head).chain(&grid.rows);
    let wide = |column: usize| {
        let cells = lines().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut out = String::new();
    for line in lines() {
        let mut text = String::from(" ");
        for (column, cell) in line.iter().enumerate() {
            let wide = wide(column);
            let _ = if column < grid.words {
                write!(text, " {cell:wide$} ")
            } else {
                write!(text, " {cell:>wide$} ")
            };
        }
        out += text.trim_end();
        out.push('\n');
    }
    if let Some(rest) = &grid.rest {
        let _ = writeln!(out, "  {rest}");
    }
    out
}

/// An item of a list, in lines that a terminal shows.
fn wrapped(item: &str) -> String {
    let mut out = String::from("  -");
    let mut length = 3;
    for word in item.split(' ') {
        let more = word.chars().count() + 1;
        if length + more > WIDTH {
            out += "\n   ";
            length = 3;
        }
        out.push(' ');
        out += word;
        length += more;
    }
    out.push('\n');
    out
}

/// Markdown, for a page or a ticket.
pub fn markdown(report: &Report, top: usize) -> String {
    let mut out = format!("# Gramwatt report\n\n{}\n", escaped(&show::period(report)));
    for block in blocks(report, top) {
        match block {
            Block::Heading(text) => {
                let _ = write!(out, "\n## {text}\n");
            }
            Block::Facts(facts) => {
                out += "\n| | |\n|-|-|\n";
                for (name, value) in facts {
                    let _ = writeln!(out, "| {} | {} |", escaped(&name), escaped(&value));
                }
            }
            Block::Grid(grid) => {
                out.push('\n');
                let columns = 0..grid.head.len();
                let rule = columns.map(|column| if column < grid.words { "-" } else { "-:" });
                let rule: Vec<String> = rule.map(str::to_owned).collect();
                for line in [&grid.head, &rule].into_iter().chain(&grid.rows) {
                    let is_rule = std::ptr::eq(line, &raw const rule);
                    let cells = line.iter().map(|cell| match is_rule {
                        true => cell.clone(),
                        false => escaped(cell),
                    });
                    let cells: Vec<String> = cells.collect();
                    let _ = writeln!(out, "| {} |", cells.join(" | "));
                }
                if let Some(rest) = &grid.rest {
                    let _ = write!(out, "\n{}\n", escaped(rest));
                }
            }
            Block::List(items) => {
                out.push('\n');
                for item in items {
                    let _ = writeln!(out, "- {}", escaped(&item));
                }
            }
        }
    }
    out
}

/// A text of which Markdown takes nothing for markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' => {
                out.extend(['\\', letter])
            }
            _ if letter.is_control() => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}
