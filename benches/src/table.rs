//! A report as text.

use crate::report::{Better, Report, Row};
use crate::statistics::spread;

/// A value as a human wants it: three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{:.2} M", value / 1e6),
        1e5.. => format!("{:.0} k", value / 1e3),
        1e4.. => format!("{:.1} k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn render(report: &Report) -> String {
    let mut lines = vec![head(report)];
    for row in &report.rows {
        lines.push(medians(report, row));
        lines.push(spreads(report, row));
    }
    let rounds = report.rows.iter().map(|row| row.samples(0).len()).max().unwrap_or(0);
    let mut text = format!(
        "{}, rounds: {rounds}; medians, least..most below; + more is better, - less is better\n\n",
        report.bench
    );
    text += &align(&lines);
    for note in &report.notes {
        text += &format!("\n{note}");
    }
    text
}

fn head(report: &Report) -> Vec<String> {
    let mut cells = vec!["metric".to_owned(), "unit".to_owned()];
    cells.extend(report.contestants.iter().cloned());
    let ours = report.contestants.first().map_or("", String::as_str);
    cells.extend(report.contestants.iter().skip(1).map(|other| format!("{ours}/{other}")));
    cells
}

fn medians(report: &Report, row: &Row) -> Vec<String> {
    let sign = match row.metric.better {
        Better::Higher => '+',
        Better::Lower => '-',
    };
    let mut cells = vec![row.metric.name.to_owned(), format!("{sign} {}", row.metric.unit)];
    let columns = 0..report.contestants.len();
    cells.extend(columns.clone().map(|column| row.median(column).map_or("-".to_owned(), short)));
    let ratio = |column| row.ratio_to(column).map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    cells.extend(columns.skip(1).map(ratio));
    cells
}

fn spreads(report: &Report, row: &Row) -> Vec<String> {
    let cell = |column| match spread(row.samples(column)) {
        Some((least, most)) => format!("{}..{}", short(least), short(most)),
        None => String::new(),
    };
    let mut cells = vec![String::new(); 2];
    cells.extend((0..report.contestants.len()).map(cell));
    cells
}

/// Lays cells out in columns: words to the left, numbers to the right.
fn align(lines: &[Vec<String>]) -> String {
    let mut widths = vec![0; lines.iter().map(Vec::len).max().unwrap_or(0)];
    for line in lines {
        for (cell, width) in line.iter().zip(&mut widths) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(index, (cell, &width))| {
            if index < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
