//! Pictures of the gates of the paths and of the weights of the depths.

use crate::picture::{Anchor, Area, Drawn, INK, PATHS, fill, mesh, path_key, save, write};
use crate::probe::findings::Findings;
use crate::probe::means::{Depths, Gate};
use anyhow::Result;
use hh_core::config::PATHS as NAMES;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (960, 660);
const BARS: u32 = 300;
/// Width of a bar; a layer is 1 wide.
const BAR: f64 = 0.26;
/// Maximum number of points of a line.
const POINTS: usize = 240;

/// `gates.svg`: the mean gate of each path in each layer, and over the positions of a window; not written without gates.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::probe) fn gates(path: &Path, findings: &Findings) -> Result<()> {
    let gates = &findings.gates;
    if gates.is_empty() {
        return Ok(());
    }
    save(path, SIZE, |area| {
        let (above, below) = area.split_vertically(BARS);
        by_layer(&above, gates)?;
        by_position(&below, gates)
    })
}

/// Index of a path.
fn path_of(gate: &Gate) -> usize {
    NAMES.iter().position(|name| *name == gate.path).unwrap_or_default()
}

fn by_layer(area: &Area<'_>, gates: &[Gate]) -> Drawn {
    let last = gates.iter().map(|gate| gate.layer).max().unwrap_or_default();
    let top = gates.iter().map(|gate| gate.mean).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_top(30)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.5..last as f64 + 0.5, 0.0..top * 1.1)?;
    mesh(&mut chart, "layer", "mean gate", [(last + 2).min(24), 5])?;
    chart.draw_series(gates.iter().map(|gate| {
        // The bars of a layer are centred on its number.
        let paths: Vec<_> = gates.iter().filter(|other| other.layer == gate.layer).map(path_of).collect();
        let (i, n) = (path_of(gate), paths.len() as f64);
        let before = paths.into_iter().filter(|&other| other < i).count() as f64;
        let middle = gate.layer as f64 + (before - (n - 1.0) / 2.0) * BAR;
        Rectangle::new([(middle - 0.46 * BAR, 0.0), (middle + 0.46 * BAR, gate.mean)], PATHS[i].1.filled())
    }))?;
    path_key(area, [0, 1, 2].map(|i| gates.iter().any(|gate| path_of(gate) == i)))
}

/// A strong line for the mean over layers, a faint line for each layer.
fn by_position(area: &Area<'_>, gates: &[Gate]) -> Drawn {
    let length = gates.first().map_or(0, |gate| gate.positions.len());
    let group = length.div_ceil(POINTS).max(1);
    let line = |positions: &[f32]| -> Vec<(f64, f64)> {
        let near = positions.chunks(group).enumerate();
        near.map(|(i, at)| {
            let middle = (i * group) as f64 + (at.len() - 1) as f64 / 2.0;
            (middle, at.iter().map(|&x| f64::from(x)).sum::<f64>() / at.len() as f64)
        })
        .collect()
    };
    let top = gates.iter().flat_map(|gate| line(&gate.positions)).map(|(_, y)| y).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..(length.max(2) - 1) as f64, 0.0..top * 1.1)?;
    mesh(&mut chart, "position in the window (faint: each layer; strong: their mean)", "mean gate", [9, 6])?;
    for gate in gates {
        chart.draw_series(LineSeries::new(line(&gate.positions), PATHS[path_of(gate)].1.mix(0.25).stroke_width(1)))?;
    }
    for (i, (_, color)) in PATHS.into_iter().enumerate() {
        let of_path: Vec<&Gate> = gates.iter().filter(|gate| path_of(gate) == i).collect();
        let mean = |t: usize| of_path.iter().map(|gate| gate.positions[t]).sum::<f32>() / of_path.len() as f32;
        if !of_path.is_empty() {
            let mean: Vec<f32> = (0..length).map(mean).collect();
            chart.draw_series(LineSeries::new(line(&mean), color.stroke_width(2)))?;
        }
    }
    Ok(())
}

const LINE: i32 = 30;
const TOP: i32 = 92;
const LEFT: i32 = 100;
const WIDTH: i32 = 640;

/// `depths.svg`: the mean weight of each refinement in each layer; not written without a Hopfield memory.
///
/// # Errors
/// A file that cannot be written.
pub(in crate::probe) fn depths(path: &Path, findings: &Findings) -> Result<()> {
    let depths = &findings.depths;
    if depths.is_empty() {
        return Ok(());
    }
    let height = TOP + LINE * depths.len() as i32 + 20;
    save(path, ((LEFT + WIDTH + 32) as u32, height as u32), |area| shares(area, depths))
}

fn shares(area: &Area<'_>, depths: &[Depths]) -> Drawn {
    let most = depths.iter().map(|layer| layer.weights.len()).max().unwrap_or(1);
    // Later refinements are fainter.
    let color = |k: usize| PATHS[1].1.mix(1.0 - 0.75 * k as f64 / (most - 1).max(1) as f64);
    write(area, "Mean weight of each refinement of the Hopfield memory", (24, 24), 18, Anchor::Left, INK)?;
    for k in 0..most.min(8) {
        let x = LEFT + 78 * k as i32;
        fill(area, [(x, 50), (x + 14, 64)], color(k))?;
        write(area, &format!("depth {}", k + 1), (x + 20, 57), 13, Anchor::Left, INK)?;
    }
    for (line, layer) in depths.iter().enumerate() {
        let y = TOP + LINE * line as i32;
        write(area, &format!("layer {}", layer.layer), (LEFT - 12, y + LINE / 2), 13, Anchor::Right, INK)?;
        let mut sum = 0.0;
        for (k, weight) in layer.weights.iter().enumerate() {
            let [from, to] = [sum, sum + weight].map(|x| LEFT + (x * f64::from(WIDTH)).round() as i32);
            fill(area, [(from, y + 2), (to, y + LINE - 2)], color(k))?;
            if to - from > 44 {
                let ink = if color(k).3 > 0.55 { WHITE } else { INK };
                write(area, &format!("{weight:.2}"), ((from + to) / 2, y + LINE / 2), 13, Anchor::Middle, ink)?;
            }
            sum += weight;
        }
    }
    Ok(())
}
