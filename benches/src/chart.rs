//! A report as a chart: a panel for each metric, a bar for each contestant.
//!
//! Each panel has an axis of its own from zero to its largest sample, so that lengths within it are
//! true; a line through the bar is the spread of the samples.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::report::{Better, Report, Row};
use crate::statistics::spread;
use crate::table::short;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const PANEL_WIDTH: i32 = 560;
const PANELS_ABREAST: usize = 2;
const MARGIN: i32 = 16;
const LINE: i32 = 20;
/// Room for a contestant's name, and for what is said behind its bar.
const NAME: i32 = 80;
const VALUE: i32 = 160;

/// Ours, the baseline, others: told apart by colour-blind eyes too, and on paper by their lightness.
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 90, 160),
    RGBColor(230, 140, 20),
    RGBColor(120, 170, 210),
    RGBColor(170, 170, 170),
    RGBColor(205, 195, 130),
];

pub(crate) fn render(report: &Report) -> Result<String> {
    let panels_down = report.rows.len().div_ceil(PANELS_ABREAST) as i32;
    let panel_height = LINE * (report.contestants.len() as i32 + 2);
    let title_height = 2 * LINE;
    let notes_height = LINE * report.notes.len() as i32 + MARGIN;
    let width = PANEL_WIDTH * PANELS_ABREAST as i32;
    let height = title_height + panels_down * panel_height + notes_height;

    let mut svg = String::new();
    {
        let size = (width as u32, height as u32);
        let sheet = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        sheet.fill(&WHITE)?;
        let title = format!("{}: medians, and in grey the spread", report.bench);
        write(&sheet, &title, (MARGIN, LINE), HPos::Left, 20)?;
        for (index, row) in report.rows.iter().enumerate() {
            let left = (index % PANELS_ABREAST) as i32 * PANEL_WIDTH;
            let top = title_height + (index / PANELS_ABREAST) as i32 * panel_height;
            panel(&sheet, report, row, (left, top))?;
        }
        for (index, note) in report.notes.iter().enumerate() {
            let top = height - notes_height + LINE * index as i32 + LINE / 2;
            write(&sheet, note, (MARGIN, top), HPos::Left, 15)?;
        }
        sheet.present()?;
    }
    Ok(svg)
}

fn panel(sheet: &Area<'_>, report: &Report, row: &Row, (left, top): (i32, i32)) -> Result<()> {
    let better = match row.metric.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let heading = format!("{}, {} ({better})", row.metric.name, row.metric.unit);
    write(sheet, &heading, (left + MARGIN, top + LINE / 2), HPos::Left, 16)?;

    let contestants = 0..report.contestants.len();
    let largest = contestants.clone().filter_map(|column| spread(row.samples(column)));
    let largest = largest.map(|(_, most)| most).fold(f64::MIN_POSITIVE, f64::max);
    let zero = left + MARGIN + NAME;
    let room = PANEL_WIDTH - 2 * MARGIN - NAME - VALUE;
    let at = |value: f64| zero + (value / largest * f64::from(room)).round() as i32;

    for (column, name) in contestants.zip(&report.contestants) {
        let top = top + LINE * (column as i32 + 1);
        let middle = top + LINE / 2;
        write(sheet, name, (zero - 6, middle), HPos::Right, 15)?;
        let (Some(median), Some((least, most))) = (row.median(column), spread(row.samples(column)))
        else {
            write(sheet, "does not have it", (zero + 6, middle), HPos::Left, 15)?;
            continue;
        };
        let colour = COLOURS[column % COLOURS.len()];
        let bar = [(zero, top + 3), (at(median).max(zero + 1), top + LINE - 3)];
        sheet.draw(&Rectangle::new(bar, colour.filled()))?;
        let whisker = [(at(least), middle), (at(most), middle)];
        sheet.draw(&PathElement::new(whisker, BLACK.mix(0.5).stroke_width(2)))?;
        let value = match row.ratio_to(column) {
            Some(ratio) if column > 0 => format!("{} (ours: {ratio:.2} of it)", short(median)),
            _ => short(median),
        };
        write(sheet, &value, (at(most).max(zero) + 6, middle), HPos::Left, 15)?;
    }
    Ok(())
}

fn write(sheet: &Area<'_>, text: &str, place: (i32, i32), side: HPos, size: i32) -> Result<()> {
    let style = ("sans-serif", size).into_text_style(sheet).pos(Pos::new(side, VPos::Center));
    sheet.draw(&Text::new(text.to_owned(), place, style))?;
    Ok(())
}
