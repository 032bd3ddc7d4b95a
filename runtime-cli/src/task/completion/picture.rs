//! `completion.svg`: the fraction of patterns that each memory completes, over noise, masking and number of stored patterns.

use super::{MEMORIES, Probe, Row};
use crate::picture::{Area, BLUE, Drawn, FONT, GRID, INK, PATHS, save};
use anyhow::Result;
use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (960, 900);
/// The modern memory has the colour of the Hopfield path.
const COLORS: [RGBColor; 3] = [PATHS[1].1, BLUE, PATHS[2].1];
const NAMES: [&str; 3] = ["modern, one step", "classic (1982), one step", "CA3, to a fixed point"];

/// Number of patterns in the first two panels, and noise of the third; if absent, the nearest values in the rows.
const PATTERNS: f64 = 100.0;
const NOISE: f64 = 0.5;

/// One line per memory over one axis.
struct Panel {
    axis: String,
    /// Whether the x axis is logarithmic.
    logarithmic: bool,
    lines: [Vec<(f64, f64)>; 3],
}

/// Draws the rows into a file, replacing an existing one.
///
/// # Errors
/// A file that cannot be written.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let panels = panels(rows);
    let height = SIZE.1 / 3 * panels.len().max(1) as u32;
    save(path, (SIZE.0, height), |root| picture(root, &panels))
}

fn panels(rows: &[Row]) -> Vec<Panel> {
    let stored = nearest(rows.iter().map(|row| row.patterns as f64), PATTERNS);
    let sigma = nearest(rows.iter().filter_map(noise), NOISE);
    let panel = |axis: String, logarithmic, x: &dyn Fn(&Row) -> Option<f64>| {
        let line = |memory| rows.iter().filter(|row| row.memory == memory).filter_map(|row| Some((x(row)?, row.completed))).collect();
        Panel { axis, logarithmic, lines: MEMORIES.map(line) }
    };
    let here = |row: &Row| row.patterns as f64 == stored;
    let all = [
        panel(format!("standard deviation of the noise, {stored} patterns"), false, &|row| noise(row).filter(|_| here(row))),
        panel(format!("fraction of components masked, {stored} patterns"), false, &|row| mask(row).filter(|_| here(row))),
        panel(format!("patterns stored, noise {sigma}"), true, &|row| noise(row).filter(|x| *x == sigma).map(|_| row.patterns as f64)),
    ];
    all.into_iter().filter(|panel| !panel.lines[0].is_empty()).collect()
}

fn noise(row: &Row) -> Option<f64> {
    if let Probe::Gaussian(sigma) = row.probe { Some(sigma) } else { None }
}

fn mask(row: &Row) -> Option<f64> {
    if let Probe::Mask(share) = row.probe { Some(share) } else { None }
}

fn nearest(all: impl Iterator<Item = f64>, to: f64) -> f64 {
    all.min_by(|a, b| (a - to).abs().total_cmp(&(b - to).abs())).unwrap_or(to)
}

fn picture(root: &Area<'_>, panels: &[Panel]) -> Drawn {
    for (index, (area, panel)) in root.split_evenly((panels.len().max(1), 1)).iter().zip(panels).enumerate() {
        let xs = || panel.lines.iter().flatten().map(|p| if panel.logarithmic { p.0.log10() } else { p.0 });
        let (low, high) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
        let margin = ((high - low) * 0.02).max(1e-3);
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(low - margin..high + margin, -0.03..1.05)?;
        let label = |x: &f64| if panel.logarithmic { format!("{:.0}", 10f64.powf(*x)) } else { format!("{x:.2}") };
        chart
            .configure_mesh()
            .x_desc(&panel.axis)
            .y_desc("fraction completed")
            .x_labels(9)
            .y_labels(5)
            .max_light_lines(1)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK.mix(0.5))
            .axis_desc_style((FONT, 15).into_font().color(&INK))
            .label_style((FONT, 13).into_font().color(&INK))
            .x_label_formatter(&label)
            .draw()?;
        for ((name, color), line) in NAMES.into_iter().zip(COLORS).zip(&panel.lines) {
            let at: Vec<_> = line.iter().map(|&(x, y)| (if panel.logarithmic { x.log10() } else { x }, y)).collect();
            chart
                .draw_series(LineSeries::new(at.clone(), color.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2)));
            chart.draw_series(at.into_iter().map(|at| Circle::new(at, 3, color.filled())))?;
        }
        // The legend is drawn once, in the first panel.
        if index > 0 {
            continue;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleLeft)
            .margin(10)
            .legend_area_size(30)
            .label_font((FONT, 14).into_font().color(&INK))
            .background_style(WHITE.mix(0.85))
            .draw()?;
    }
    Ok(())
}
