//! Pictures of the knock-outs: a bar chart for the whole model, and a table for single layers.

use crate::picture::{Anchor, Area, BLUE, Drawn, FONT, GRID, INK, ORANGE, fill, save, ticks, write};
use crate::probe::findings::{Findings, Row};
use crate::probe::knockout::Group;
use anyhow::Result;
use plotters::prelude::*;
use std::path::Path;

/// Heights in pixels: of a row, of a group's title, of the header.
const LINE: i32 = 22;
const TITLE: i32 = 36;
const TOP: i32 = 84;
const WIDTH: i32 = 960;
/// Horizontal positions in pixels.
const TITLES: i32 = 24;
const NAMES: i32 = 36;
const LEFT: i32 = 300;
/// Right ends of the bars and of the number columns.
const RIGHT: i32 = 690;
const NLL: i32 = 760;
const DIFFERENCE: i32 = 850;
const ERROR: i32 = 936;
/// Width of a layer's cell.
const CELL: i32 = 72;

/// Rows and group titles with their vertical centres.
struct Lines<T> {
    titles: Vec<(i32, Group)>,
    rows: Vec<(i32, T)>,
    bottom: i32,
}

fn lines<T>(rows: impl IntoIterator<Item = (Group, T)>) -> Lines<T> {
    let mut lines = Lines { titles: Vec::new(), rows: Vec::new(), bottom: TOP };
    let mut last = Group::Baseline;
    for (group, row) in rows {
        if group != last {
            lines.titles.push((lines.bottom + TITLE - LINE / 2, group));
            lines.bottom += TITLE;
            last = group;
        }
        lines.rows.push((lines.bottom + LINE / 2, row));
        lines.bottom += LINE;
    }
    lines
}

impl<T> Lines<T> {
    fn write_titles(&self, area: &Area<'_>) -> Drawn {
        self.titles.iter().try_for_each(|(y, group)| heading(area, group.title(), (TITLES, *y), 14))
    }

    fn height(&self) -> u32 {
        (self.bottom + 28) as u32
    }
}

fn heading(area: &Area<'_>, text: &str, at: (i32, i32), size: u32) -> Drawn {
    let style = (FONT, size).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new(text.to_owned(), (at.0, at.1 - size as i32 / 2), style))?;
    Ok(())
}

/// `knockouts.svg`: a bar, the nll and the difference to the baseline for each knock-out in the whole model.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::probe) fn knockouts(path: &Path, findings: &Findings, title: &str) -> Result<()> {
    let rows = findings.rows.iter().filter(|row| row.layer.is_none()).map(|row| (row.group, row));
    let lines = lines(rows);
    save(path, (WIDTH as u32, lines.height()), |area| bars(area, &lines, title))
}

fn bars(area: &Area<'_>, lines: &Lines<&Row>, title: &str) -> Drawn {
    heading(area, "What the model depends on", (TITLES, 24), 18)?;
    write(area, title, (TITLES, 46), 13, Anchor::Left, INK)?;
    let head = TOP - 14;
    for (name, x) in [("nll", NLL), ("difference", DIFFERENCE), ("± error", ERROR)] {
        write(area, name, (x, head), 13, Anchor::Right, INK)?;
    }
    let differences = || lines.rows.iter().map(|(_, row)| row.difference);
    let (low, high) = (differences().fold(0.0, f64::min), differences().fold(1e-3, f64::max));
    let at = |x: f64| LEFT + ((x - low) / (high - low) * f64::from(RIGHT - LEFT)).round() as i32;
    for (tick, text) in ticks(low, high) {
        let x = at(tick);
        let color = if tick == 0.0 { INK.mix(0.5) } else { GRID.mix(1.0) };
        area.draw(&PathElement::new([(x, TOP), (x, lines.bottom)], color))?;
        write(area, &text, (x, head), 12, Anchor::Middle, INK)?;
    }
    lines.write_titles(area)?;
    for (y, row) in &lines.rows {
        write(area, &row.name, (NAMES, *y), 13, Anchor::Left, INK)?;
        let color = if row.difference < 0.0 { ORANGE } else { BLUE };
        let [from, to] = [at(row.difference.min(0.0)), at(row.difference.max(0.0))];
        if to > from {
            fill(area, [(from, y - 7), (to, y + 7)], color.mix(1.0))?;
        }
        write(area, &format!("{:.4}", row.nll), (NLL, *y), 13, Anchor::Right, INK)?;
        write(area, &signed(row.difference, 4), (DIFFERENCE, *y), 13, Anchor::Right, INK)?;
        if let Some(error) = row.standard_error.filter(|&error| error > 0.0) {
            write(area, &format!("± {error:.4}"), (ERROR, *y), 13, Anchor::Right, INK)?;
        }
    }
    Ok(())
}

/// `+0.123` or `−0.123`, without a sign if it rounds to zero.
fn signed(x: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", x.abs());
    if text.bytes().all(|b| b == b'0' || b == b'.') {
        return text;
    }
    format!("{}{text}", if x < 0.0 { '−' } else { '+' })
}

/// `layers.svg`: the difference of each knock-out in each single layer; not written if there is none.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::probe) fn layers(path: &Path, findings: &Findings) -> Result<()> {
    let mut table: Vec<(Group, Cells<'_>)> = Vec::new();
    let mut last = 0;
    for row in &findings.rows {
        let Some(layer) = row.layer else { continue };
        last = last.max(layer);
        match table.iter_mut().find(|(group, cells)| *group == row.group && cells.name == row.name) {
            Some((_, cells)) => cells.of.push((layer, row.difference)),
            None => table.push((row.group, Cells { name: &row.name, of: vec![(layer, row.difference)] })),
        }
    }
    if table.is_empty() {
        return Ok(());
    }
    // In the order of the whole model's rows: the first layer may lack some of them.
    let place = |cells: &Cells<'_>| findings.rows.iter().position(|row| row.layer.is_none() && row.name == cells.name);
    table.sort_by_key(|(_, cells)| place(cells));
    let lines = lines(table);
    let width = (LEFT + CELL * (last as i32 + 1) + 28).max(560);
    save(path, (width as u32, lines.height()), |area| heat(area, &lines, last))
}

/// The differences of one knock-out, each with its layer.
struct Cells<'a> {
    name: &'a str,
    of: Vec<(usize, f64)>,
}

fn heat(area: &Area<'_>, lines: &Lines<Cells<'_>>, last: usize) -> Drawn {
    heading(area, "Knocked out in single layers", (TITLES, 24), 18)?;
    write(area, "difference to the baseline in nats per token", (TITLES, 46), 13, Anchor::Left, INK)?;
    let left = |layer: usize| LEFT + CELL * layer as i32;
    for layer in 0..=last {
        write(area, &format!("layer {layer}"), (left(layer) + CELL / 2, TOP - 2), 13, Anchor::Middle, INK)?;
    }
    lines.write_titles(area)?;
    let most = lines.rows.iter().flat_map(|(_, cells)| &cells.of).map(|(_, x)| x.abs()).fold(1e-3, f64::max);
    for (y, cells) in &lines.rows {
        write(area, cells.name, (NAMES, *y), 13, Anchor::Left, INK)?;
        for &(layer, x) in &cells.of {
            // The square root keeps small differences distinguishable.
            let depth = (x.abs() / most).sqrt();
            let text = signed(x, 3);
            let color = match text.chars().next() {
                Some('+') => BLUE.mix(0.04 + 0.96 * depth),
                Some('−') => ORANGE.mix(0.04 + 0.96 * depth),
                _ => GRID.mix(0.5),
            };
            let corners = [(left(layer) + 1, y - LINE / 2 + 1), (left(layer) + CELL - 1, y + LINE / 2 - 1)];
            fill(area, corners, color)?;
            let ink = if depth > 0.55 { WHITE } else { INK };
            write(area, &text, (left(layer) + CELL / 2, *y), 12, Anchor::Middle, ink)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_rounds_to_zero_has_no_sign() {
        assert_eq!([signed(0.04, 2), signed(-0.04, 2), signed(0.004, 2), signed(-0.004, 2)], ["+0.04", "−0.04", "0.00", "0.00"]);
    }
}
