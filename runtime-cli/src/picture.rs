//! Shared parts of all pictures: SVG output, colours, fonts, axes.

use crate::files;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// A part of a picture, in pixels.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A part with two numeric axes.
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// The result of drawing.
pub(crate) type Drawn = Result<(), Box<dyn std::error::Error>>;

pub(crate) const FONT: &str = "sans-serif";
pub(crate) const INK: RGBColor = RGBColor(51, 51, 51);
pub(crate) const GRID: RGBColor = RGBColor(229, 229, 229);
pub(crate) const BLUE: RGBColor = RGBColor(33, 113, 181);
pub(crate) const PALE_BLUE: RGBColor = RGBColor(166, 189, 219);
pub(crate) const ORANGE: RGBColor = RGBColor(214, 96, 39);
/// Name and colour of each path of [`PATHS`](hh_core::config::PATHS).
pub(crate) const PATHS: [(&str, RGBColor); 3] =
    [("state space", RGBColor(35, 139, 69)), ("Hopfield memory", RGBColor(136, 65, 157)), ("attention", RGBColor(204, 152, 24))];

/// Draws a picture and writes it, replacing an existing file.
///
/// # Errors
/// A picture that cannot be drawn, or a file that cannot be written.
pub(crate) fn save(path: &Path, size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<()> {
    let mut svg = String::new();
    let picture = || -> Drawn {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
        Ok(())
    };
    picture().map_err(|e| anyhow!("cannot draw {}: {e}", path.display()))?;
    files::write_atomically(path, |w| w.write_all(svg.as_bytes()))
}

/// Grid, axes and their names; the x axis has whole numbers.
pub(crate) fn mesh<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, x_desc: &str, y_desc: &str, [x_labels, y_labels]: [usize; 2]) -> Drawn {
    chart
        .configure_mesh()
        .x_desc(x_desc)
        .y_desc(y_desc)
        .x_labels(x_labels)
        .y_labels(y_labels)
        .max_light_lines(1)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK.mix(0.5))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .label_style((FONT, 13).into_font().color(&INK).transform(FontTransform::None))
        // With few steps, grid lines fall between whole numbers; those get no label.
        .x_label_formatter(&|x| if (x - x.round()).abs() < 1e-9 { thousands(x.round() as i64) } else { String::new() })
        .draw()?;
    Ok(())
}

/// The legend of the paths, in one row at the top.
pub(crate) fn path_key(area: &Area<'_>, present: [bool; 3]) -> Drawn {
    for ((i, (name, color)), _) in PATHS.into_iter().enumerate().zip(present).filter(|(_, present)| *present) {
        let x = 96 + 190 * i as i32;
        area.draw(&PathElement::new([(x, 14), (x + 22, 14)], color.stroke_width(2)))?;
        area.draw(&Text::new(name, (x + 30, 7), (FONT, 14).into_font().color(&INK)))?;
    }
    Ok(())
}

/// Horizontal alignment of a text at its position.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Left,
    Middle,
    Right,
}

/// A line of text, vertically centred at its position.
pub(crate) fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: u32, anchor: Anchor, color: RGBColor) -> Drawn {
    let across = match anchor {
        Anchor::Left => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::Right => HPos::Right,
    };
    let style = (FONT, size).into_font().color(&color).pos(Pos::new(across, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// A filled rectangle, given by two corners.
pub(crate) fn fill(area: &Area<'_>, corners: [(i32, i32); 2], color: RGBAColor) -> Drawn {
    area.draw(&Rectangle::new(corners, color.filled()))?;
    Ok(())
}

/// About five round numbers in a range, with their labels.
pub(crate) fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&step| step >= rough).unwrap_or(rough);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|&x| x <= high).map(|x| (x, format!("{x:.digits$}"))).collect()
}

/// `12,345`
fn thousands(n: i64) -> String {
    let sign = if n < 0 { "−" } else { "" };
    format!("{sign}{}", crate::train::thousands(n.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_few_round_ticks() {
        for (low, high) in [(0.0, 0.001), (-0.02, 0.05), (0.0, 0.9), (1.3, 2.3), (-0.1, 6.2), (0.0, 40.0)] {
            let ticks = ticks(low, high);
            assert!((2..=6).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            for (x, text) in &ticks {
                assert!((low..=high).contains(x) && (text.parse::<f64>().unwrap() - x).abs() < 1e-9, "{low} to {high}: {ticks:?}");
            }
            let significant = |text: &str| {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                digits.trim_matches('0').len()
            };
            assert!(ticks.iter().all(|(_, text)| significant(text) <= 2), "{low} to {high}: {ticks:?}");
        }
    }
}
