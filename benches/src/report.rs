//! [`Report`]: the samples of one bench, and what they come to.

use std::path::PathBuf;

use serde::Serialize;

use crate::statistics::median;
use crate::{Result, chart, files, measure_dir, table};

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in tables and files, with the unit last, as in `connect_cold_ms`.
    pub name: &'static str,
    /// The unit, for humans.
    pub unit: &'static str,
    /// Which way is good.
    pub better: Better,
}

impl Metric {
    /// A metric.
    pub const fn new(name: &'static str, unit: &'static str, better: Better) -> Self {
        Self { name, unit, better }
    }
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A line of the JSON file: `[{"name", "value", "unit", "baseline", "ratio"}]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The metric's name.
    pub name: &'static str,
    /// Our median.
    pub value: f64,
    /// The unit of `value` and `baseline`.
    pub unit: &'static str,
    /// The baseline's median in the same run; `null` if it was not measured.
    pub baseline: Option<f64>,
    /// `value / baseline`. Whether more is better, the metric says: a rate's ratio should be high, a
    /// latency's low.
    pub ratio: Option<f64>,
}

/// The samples of one bench, by metric and by contestant.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) bench: &'static str,
    /// Ours, then the baseline, then others.
    pub(crate) contestants: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) metric: Metric,
    /// By contestant.
    samples: Vec<Vec<f64>>,
}

impl Row {
    pub(crate) fn samples(&self, contestant: usize) -> &[f64] {
        self.samples.get(contestant).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn median(&self, contestant: usize) -> Option<f64> {
        median(self.samples(contestant))
    }

    /// Ours in relation to a contestant's. `None` if one is missing, or a division by zero.
    pub(crate) fn ratio_to(&self, contestant: usize) -> Option<f64> {
        Some(self.median(0)? / self.median(contestant)?).filter(|ratio| ratio.is_finite())
    }
}

impl Report {
    /// An empty report of a bench. The first contestant is ours, the second the baseline of the
    /// JSON file; with one alone there is none.
    pub fn new(bench: &'static str, contestants: &[&str]) -> Self {
        let contestants = contestants.iter().map(ToString::to_string).collect();
        Self { bench, contestants, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a sample: usually the result of one round. Metrics keep the order in which they come
    /// first; a new contestant gets a column.
    pub fn add(&mut self, metric: &Metric, contestant: &str, value: f64) {
        let column = self.contestants.iter().position(|name| name == contestant);
        let column = column.unwrap_or_else(|| {
            self.contestants.push(contestant.to_owned());
            self.contestants.len() - 1
        });
        let row = self.rows.iter().position(|row| row.metric == *metric).unwrap_or_else(|| {
            self.rows.push(Row { metric: metric.clone(), samples: Vec::new() });
            self.rows.len() - 1
        });
        let samples = &mut self.rows[row].samples;
        samples.resize(samples.len().max(column + 1), Vec::new());
        samples[column].push(value);
    }

    /// Adds a sentence to stand below the table and the chart.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// What the samples come to, metric by metric. Metrics without a sample of ours are left out.
    pub fn results(&self) -> Vec<Outcome> {
        let outcome = |row: &Row| {
            Some(Outcome {
                name: row.metric.name,
                value: row.median(0)?,
                unit: row.metric.unit,
                baseline: row.median(1),
                ratio: row.ratio_to(1),
            })
        };
        self.rows.iter().filter_map(outcome).collect()
    }

    /// One table: medians, below each its spread, and our ratio to each other contestant.
    pub fn table(&self) -> String {
        table::render(self)
    }

    /// The same as a chart, in SVG.
    ///
    /// # Errors
    ///
    /// What the drawing library says; in memory it has no reason to fail.
    pub fn chart(&self) -> Result<String> {
        chart::render(self)
    }

    /// Writes `<bench>.json` and `<bench>.svg` into [`measure_dir`], each whole or not at all, and
    /// tells where.
    ///
    /// # Errors
    ///
    /// What the file system says, with the path.
    pub fn write(&self) -> Result<Vec<PathBuf>> {
        let json = serde_json::to_string_pretty(&self.results())? + "\n";
        let path = |extension| measure_dir().join(self.bench).with_extension(extension);
        let files = vec![(path("json"), json), (path("svg"), self.chart()?)];
        for (path, content) in &files {
            files::write(path, content)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}
