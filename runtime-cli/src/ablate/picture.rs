//! `ablate.svg`: a row for each variant, a dot for each seed, their mean and deviation, and the base as a line through all rows.

use super::results::{Line, Table};
use crate::picture::{Area, BLUE, Drawn, FONT, GRID, INK, PALE_BLUE, save, ticks};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: u32 = 960;
const ROW: i32 = 24;
const TOP: i32 = 44;
const BOTTOM: i32 = 52;
/// Horizontal positions in pixels: end of the names, start and end of the scale, start of the numbers.
const COLUMNS: [i32; 4] = [270, 290, 740, 760];
const FAINT: RGBColor = RGBColor(119, 119, 119);
const DOT: RGBColor = PALE_BLUE;
const MEAN: RGBColor = BLUE;

/// Draws a table into a file, replacing an existing one; writes nothing if no run is complete.
///
/// # Errors
/// A file that cannot be written.
pub fn draw(path: &Path, table: &Table) -> Result<()> {
    if table.lines.iter().all(|line| line.runs.is_empty()) {
        return Ok(());
    }
    let rows = rows(table);
    let height = TOP + ROW * rows.len() as i32 + BOTTOM;
    save(path, (WIDTH, height as u32), |root| picture(root, table, &rows))
}

/// A row of the picture.
enum Row<'a> {
    Group(&'a str),
    Line(&'a Line),
}

fn rows(table: &Table) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut group = "";
    for line in &table.lines {
        // The base is the only member of its group and needs no heading.
        if line.group != group && line.group != line.name {
            rows.push(Row::Group(&line.group));
        }
        group = &line.group;
        rows.push(Row::Line(line));
    }
    rows
}

fn picture(root: &Area<'_>, table: &Table, rows: &[Row<'_>]) -> Drawn {
    let values = || table.lines.iter().flat_map(|line| line.runs.iter().map(|run| run.1));
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.06).max(1e-3);
    let (low, high) = (low - margin, high + margin);
    let [names, from, to, numbers] = COLUMNS;
    let across = |value: f64| from + ((value - low) / (high - low) * f64::from(to - from)).round() as i32;
    let text = |size: i32, color: &RGBColor, h: HPos| (FONT, size).into_font().color(color).pos(Pos::new(h, VPos::Center));
    let bottom = TOP + ROW * rows.len() as i32;

    for tick in ticks(low, high) {
        let x = across(tick.0);
        root.draw(&PathElement::new([(x, TOP - 8), (x, bottom)], GRID))?;
        root.draw(&Text::new(tick.1, (x, bottom + 12), text(13, &INK, HPos::Center)))?;
    }
    let steps = crate::train::thousands(table.tokens);
    let seeds = if table.seeds.len() == 1 { "1 seed".into() } else { format!("{} seeds", table.seeds.len()) };
    let title = format!("retrained on {steps} tokens, {seeds}");
    root.draw(&Text::new(title, (16, 18), text(15, &INK, HPos::Left)))?;
    root.draw(&Text::new("nats per held-out token", ((from + to) / 2, bottom + 34), text(14, &INK, HPos::Center)))?;
    root.draw(&Text::new("mean ± deviation", (numbers, 18), text(13, &FAINT, HPos::Left)))?;
    if let Some(base) = table.lines.first().and_then(|line| line.mean) {
        let x = across(base);
        root.draw(&PathElement::new([(x, TOP - 8), (x, bottom)], FAINT.stroke_width(1)))?;
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + ROW * index as i32 + ROW / 2;
        let line = match row {
            Row::Group(name) => {
                root.draw(&Text::new(
                    *name,
                    (16, y),
                    (FONT, 14, FontStyle::Bold).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center)),
                ))?;
                continue;
            }
            Row::Line(line) => line,
        };
        root.draw(&Text::new(line.name.clone(), (names, y), text(14, &INK, HPos::Right)))?;
        for run in &line.runs {
            root.draw(&Circle::new((across(run.1), y), 4, DOT.filled()))?;
        }
        let Some(mean) = line.mean else { continue };
        let deviation = line.deviation.unwrap_or(0.0);
        root.draw(&PathElement::new([(across(mean - deviation), y), (across(mean + deviation), y)], MEAN.stroke_width(2)))?;
        root.draw(&PathElement::new([(across(mean), y - 6), (across(mean), y + 6)], MEAN.stroke_width(3)))?;
        let spread = line.deviation.map_or(String::new(), |d| format!(" ± {d:.4}"));
        let against = line.against_base.map_or(String::new(), |(d, _)| format!("  {d:+.4}"));
        root.draw(&Text::new(format!("{mean:.4}{spread}{against}"), (numbers, y), text(13, &INK, HPos::Left)))?;
    }
    Ok(())
}
