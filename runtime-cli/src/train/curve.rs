//! `curve.svg`: losses over steps, and below them the share that each path has.

use super::metrics::{Evaluation, Gates, Record, Step};
use super::recipe::NATS;
use crate::files;
use anyhow::{Result, anyhow};
use plotters::chart::SeriesLabelPosition;
use plotters::prelude::*;
use plotters::style::FontTransform;
use std::ops::Range;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

const SIZE: (u32, u32) = (960, 640);
const LOSSES: u32 = 420;
/// Room for the names above the gates.
const KEY: u32 = 30;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(229, 229, 229);
const TRAIN: RGBColor = RGBColor(166, 189, 219);
const VALIDATION: RGBColor = RGBColor(214, 96, 39);
const AVERAGE: RGBColor = RGBColor(33, 113, 181);
const PATHS: [(&str, RGBColor); 3] =
    [("state space", RGBColor(35, 139, 69)), ("Hopfield memory", RGBColor(136, 65, 157)), ("attention", RGBColor(204, 152, 24))];

/// Points of a line at most; more would make the file large and the picture no finer.
const POINTS: usize = 600;

/// Draws the records of a run, whose losses are in `unit`, replacing the picture that is there. Without a logged step there is nothing to draw.
///
/// # Errors
/// One sentence where the file cannot be written.
pub fn draw(path: &Path, records: &[Record], unit: &str) -> Result<()> {
    let steps: Vec<Step> = records.iter().filter_map(|r| if let Record::Step(r) = r { Some(*r) } else { None }).collect();
    let evaluations = records.iter().filter_map(|r| if let Record::Evaluation(r) = r { Some(*r) } else { None });
    // Those on the way score the beginning of what is held out, the last one all of it: two different figures.
    let (whole, evaluations): (Vec<Evaluation>, _) = evaluations.partition(|r| r.whole);
    let evaluations = Evaluations { on_the_way: evaluations, whole: whole.last().copied() };
    if steps.is_empty() {
        return Ok(());
    }
    let mut svg = String::new();
    picture(&mut svg, &steps, &evaluations, unit).map_err(|e| anyhow!("cannot draw {}: {e}", path.display()))?;
    files::write_atomically(path, |w| w.write_all(svg.as_bytes()))
}

struct Evaluations {
    on_the_way: Vec<Evaluation>,
    whole: Option<Evaluation>,
}

fn picture(svg: &mut String, steps: &[Step], evaluations: &Evaluations, unit: &str) -> Result<(), Box<dyn std::error::Error>> {
    let gated = steps.iter().any(|r| r.gates != Gates::default());
    let height = if gated { SIZE.1 } else { LOSSES + 30 };
    let root = SVGBackend::with_string(svg, (SIZE.0, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let last = steps.last().map_or(1, |r| r.step).max(evaluations.on_the_way.last().map_or(1, |r| r.step));
    let across = 0.0..last.max(2) as f64;
    if gated {
        let (above, below) = root.split_vertically(LOSSES);
        losses(&above, across.clone(), steps, evaluations, ["", unit])?;
        gates(&below, across, steps)?;
    } else {
        losses(&root, across, steps, evaluations, ["step", unit])?;
    }
    root.present()?;
    Ok(())
}

fn losses(
    area: &Area,
    across: Range<f64>,
    steps: &[Step],
    evaluations: &Evaluations,
    [x_desc, unit]: [&str; 2],
) -> Result<(), Box<dyn std::error::Error>> {
    let train = thinned(steps.iter().map(|r| (r.step as f64, r.loss())));
    let Evaluations { on_the_way, whole } = evaluations;
    let validation: Vec<_> = on_the_way.iter().map(|r| (r.step as f64, r.validation)).collect();
    let average: Vec<_> = on_the_way.iter().filter_map(|r| Some((r.step as f64, r.validation_ema?))).collect();
    let scored = if unit == NATS { "tokens" } else { "texts" };
    let held_out = on_the_way.last().map_or("validation".into(), |r| format!("validation, first {} {scored}", r.scored));
    let averaged = format!("{held_out}, averaged weights");
    let end = whole.map(|r| (r.step as f64, r.validation_ema.unwrap_or(f64::INFINITY).min(r.validation)));
    let up = span(&train, &validation, &average, end.map(|p| p.1));
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(24)
        .x_label_area_size(if x_desc.is_empty() { 24 } else { 44 })
        .y_label_area_size(64)
        .build_cartesian_2d(across, up.clone())?;
    mesh(&mut chart, x_desc, unit, 8)?;

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

fn gates(area: &Area, across: Range<f64>, steps: &[Step]) -> Result<(), Box<dyn std::error::Error>> {
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
    mesh(&mut chart, "step", "mean gate", 5)?;
    for ((i, (name, color)), line) in PATHS.into_iter().enumerate().zip(&lines).filter(|(_, line)| !line.is_empty()) {
        chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(2)))?;
        // Beside one another above the lines, which may run anywhere below.
        let x = 96 + 190 * i as i32;
        area.draw(&PathElement::new([(x, 14), (x + 22, 14)], color.stroke_width(2)))?;
        area.draw(&Text::new(name, (x + 30, 7), (FONT, 14).into_font().color(&INK)))?;
    }
    Ok(())
}

type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>>;

fn mesh<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, x_desc: &str, y_desc: &str, y_labels: usize) -> Result<(), Box<dyn std::error::Error>> {
    chart
        .configure_mesh()
        .x_desc(x_desc)
        .y_desc(y_desc)
        .x_labels(9)
        .y_labels(y_labels)
        .max_light_lines(1)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.5))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .label_style((FONT, 13).into_font().color(&INK).transform(FontTransform::None))
        // Few steps have grid lines between them, which are none.
        .x_label_formatter(&|x| if (x - x.round()).abs() < 1e-9 { super::progress::thousands(x.round() as u64) } else { String::new() })
        .draw()?;
    Ok(())
}

/// A name with the last value, as `validation 1.642`.
fn named(name: &str, points: &[(f64, f64)]) -> String {
    points.last().map_or(name.to_owned(), |(_, y)| format!("{name}: {y:.3}"))
}

/// From a little below the lowest value to where the steep fall at the beginning is over: its rest leaves the picture above.
fn span(train: &[(f64, f64)], validation: &[(f64, f64)], average: &[(f64, f64)], end: Option<f64>) -> Range<f64> {
    let low = train.iter().chain(validation).chain(average).map(|p| p.1).fold(f64::INFINITY, f64::min);
    let mut sorted: Vec<f64> = train.iter().map(|p| p.1).collect();
    sorted.sort_by(f64::total_cmp);
    let high = sorted[(sorted.len() - 1) * 97 / 100].max(validation.first().map_or(low, |p| p.1)).max(end.unwrap_or(low));
    let room = ((high - low) * 0.05).max(1e-3);
    (low - room).max(0.0)..high + room
}

/// At most [`POINTS`], each the mean of its neighbours.
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
