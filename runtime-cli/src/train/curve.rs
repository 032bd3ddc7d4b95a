//! `curve.svg`: losses over steps, and below them the mean gate of each path.

use super::metrics::{Evaluation, Gates, Record, Step};
use super::recipe::NATS;
use crate::picture::{Area, BLUE, Drawn, FONT, INK, ORANGE, PALE_BLUE, PATHS, mesh, path_key, save};
use anyhow::Result;
use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (960, 640);
const LOSSES: u32 = 420;
/// Height in pixels of the legend above the gates.
const KEY: u32 = 30;
const TRAIN: RGBColor = PALE_BLUE;
const VALIDATION: RGBColor = ORANGE;
const AVERAGE: RGBColor = BLUE;

/// Maximum number of points of a line.
const POINTS: usize = 600;

/// Draws the records of a run, whose losses are in `unit`, replacing an existing file. Without a logged step, nothing is written.
///
/// # Errors
/// A file that cannot be written.
pub fn draw(path: &Path, records: &[Record], unit: &str) -> Result<()> {
    let steps: Vec<Step> = records.iter().filter_map(|r| if let Record::Step(r) = r { Some(*r) } else { None }).collect();
    let evaluations = records.iter().filter_map(|r| if let Record::Evaluation(r) = r { Some(*r) } else { None });
    // Validations during training score the start of the held-out text, the final one all of it, so they are not comparable.
    let (whole, evaluations): (Vec<Evaluation>, _) = evaluations.partition(|r| r.whole);
    let evaluations = Evaluations { partial: evaluations, whole: whole.last().copied() };
    if steps.is_empty() {
        return Ok(());
    }
    let gated = steps.iter().any(|r| r.gates != Gates::default());
    let height = if gated { SIZE.1 } else { LOSSES + 30 };
    save(path, (SIZE.0, height), |root| picture(root, &steps, &evaluations, unit, gated))
}

struct Evaluations {
    partial: Vec<Evaluation>,
    whole: Option<Evaluation>,
}

fn picture(root: &Area<'_>, steps: &[Step], evaluations: &Evaluations, unit: &str, gated: bool) -> Drawn {
    let last = steps.last().map_or(1, |r| r.step).max(evaluations.partial.last().map_or(1, |r| r.step));
    let across = 0.0..last.max(2) as f64;
    if gated {
        let (above, below) = root.split_vertically(LOSSES);
        losses(&above, across.clone(), steps, evaluations, ["", unit])?;
        gates(&below, across, steps)
    } else {
        losses(root, across, steps, evaluations, ["step", unit])
    }
}

fn losses(area: &Area<'_>, across: Range<f64>, steps: &[Step], evaluations: &Evaluations, [x_desc, unit]: [&str; 2]) -> Drawn {
    let train = thinned(steps.iter().map(|r| (r.step as f64, r.loss())));
    let Evaluations { partial, whole } = evaluations;
    let validation: Vec<_> = partial.iter().map(|r| (r.step as f64, r.validation)).collect();
    let average: Vec<_> = partial.iter().filter_map(|r| Some((r.step as f64, r.validation_ema?))).collect();
    let scored = if unit == NATS { "tokens" } else { "texts" };
    let held_out = partial.last().map_or("validation".into(), |r| format!("validation, first {} {scored}", r.scored));
    let averaged = format!("{held_out}, averaged weights");
    let end = whole.map(|r| (r.step as f64, r.validation_ema.unwrap_or(f64::INFINITY).min(r.validation)));
    let up = span(&train, &validation, &average, end.map(|p| p.1));
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(24)
        .x_label_area_size(if x_desc.is_empty() { 24 } else { 44 })
        .y_label_area_size(64)
        .build_cartesian_2d(across, up.clone())?;
    mesh(&mut chart, x_desc, unit, [9, 8])?;

    let inside = |points: &[(f64, f64)]| points.iter().copied().filter(|&(_, y)| y <= up.end).collect::<Vec<_>>();
    let swatch = |color: RGBColor, width| move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(width));
    chart.draw_series(LineSeries::new(inside(&train), TRAIN.stroke_width(1)))?.label(named("training", &train)).legend(swatch(TRAIN, 2));
    for (name, color, points) in [(&held_out, VALIDATION, &validation), (&averaged, AVERAGE, &average)] {
        if points.is_empty() {
            continue;
        }
        chart.draw_series(LineSeries::new(inside(points), color.stroke_width(2)))?.label(named(name, points)).legend(swatch(color, 2));
        if points.len() <= 40 {
            chart.draw_series(inside(points).into_iter().map(|at| Circle::new(at, 3, color.filled())))?;
        }
    }
    if let (Some(whole), Some(at)) = (whole, end) {
        let name = format!("validation, all {} {scored}", whole.scored);
        let style = INK.stroke_width(2);
        chart.draw_series([Circle::new(at, 5, style)])?.label(named(&name, &[at])).legend(move |(x, y)| Circle::new((x + 11, y), 5, style));
    }
    let style = (FONT, 14).into_font().color(&INK);
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(10)
        .legend_area_size(30)
        .label_font(style)
        .background_style(WHITE.mix(0.85))
        .draw()?;
    Ok(())
}

fn gates(area: &Area<'_>, across: Range<f64>, steps: &[Step]) -> Drawn {
    let of = |i: usize, g: &Gates| [g.ssm, g.hopfield, g.attention][i];
    let lines: [Vec<(f64, f64)>; 3] =
        std::array::from_fn(|i| thinned(steps.iter().filter_map(|r| Some((r.step as f64, of(i, &r.gates)?.into())))));
    let top = lines.iter().flatten().map(|p| p.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_top(KEY)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(across, 0.0..top * 1.1)?;
    mesh(&mut chart, "step", "mean gate", [9, 5])?;
    for ((_, color), line) in PATHS.into_iter().zip(&lines).filter(|(_, line)| !line.is_empty()) {
        chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?;
    }
    path_key(area, lines.each_ref().map(|line| !line.is_empty()))
}

/// A name with the last value, as `validation: 1.642`.
fn named(name: &str, points: &[(f64, f64)]) -> String {
    points.last().map_or(name.to_owned(), |(_, y)| format!("{name}: {y:.3}"))
}

/// The range of the y axis: from just below the lowest value to the 97th percentile of the training loss, so that the steep
/// initial decrease is cut off.
fn span(train: &[(f64, f64)], validation: &[(f64, f64)], average: &[(f64, f64)], end: Option<f64>) -> Range<f64> {
    let low = train.iter().chain(validation).chain(average).map(|p| p.1).fold(f64::INFINITY, f64::min);
    let mut sorted: Vec<f64> = train.iter().map(|p| p.1).collect();
    sorted.sort_by(f64::total_cmp);
    let high = sorted[(sorted.len() - 1) * 97 / 100].max(validation.first().map_or(low, |p| p.1)).max(end.unwrap_or(low));
    let margin = ((high - low) * 0.05).max(1e-3);
    (low - margin).max(0.0)..high + margin
}

/// At most [`POINTS`] points, each the mean of a group of neighbours.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let all: Vec<_> = points.collect();
    let group = all.len().div_ceil(POINTS).max(1);
    all.chunks(group)
        .map(|near| {
            let n = near.len() as f64;
            (near.iter().map(|p| p.0).sum::<f64>() / n, near.iter().map(|p| p.1).sum::<f64>() / n)
        })
        .collect()
}
