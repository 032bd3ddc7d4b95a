//! The table of measurements.

use crate::{kernels::Rates, peer::Answer};
use std::{fs, io, path::Path};

/// One line of the table.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Seconds per run.
    pub(crate) seconds: f64,
    /// Lower bound in seconds, if known.
    pub(crate) floor: Option<f64>,
    /// Measurements of PyTorch, by name of the method.
    pub(crate) peers: Vec<(&'static str, Answer)>,
    /// Further results: tokens per second, memory.
    pub(crate) note: String,
}

#[derive(Default)]
pub(crate) struct Table {
    json: Vec<String>,
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{}\"", escaped.replace('\\', "\\\\").replace('"', "\\\""))
}

fn number(x: Option<f64>) -> String {
    x.map_or("null".into(), |x| format!("{x:e}"))
}

impl Table {
    pub(crate) fn begin() -> Self {
        println!("{:44} {:>12} {:>12} {:>6}   PyTorch", "", "µs", "floor µs", "of it");
        Self::default()
    }

    /// Prints a line and adds it to the table.
    pub(crate) fn add(&mut self, line: Line) {
        let floor = line.floor.map_or(format!("{:19}", ""), |floor| format!("{:12.1} {:4.0} %", floor * 1e6, 100.0 * floor / line.seconds));
        let peers: Vec<String> = line.peers.iter().map(|(way, answer)| described(way, answer, line.seconds)).collect();
        println!("{:44} {:12.1} {floor}   {} {}", line.name, line.seconds * 1e6, peers.join("; "), line.note);
        let peers: Vec<String> = line
            .peers
            .iter()
            .map(|(way, a)| format!(r#"{{"way": {}, "seconds": {}, "remark": {}}}"#, quoted(way), number(a.seconds), quoted(&a.remark)))
            .collect();
        self.json.push(format!(
            r#"{{"name": {}, "seconds": {:e}, "floor": {}, "peers": [{}], "note": {}}}"#,
            quoted(&line.name),
            line.seconds,
            number(line.floor),
            peers.join(", "),
            quoted(&line.note)
        ));
    }

    /// Writes the table as JSON.
    pub(crate) fn write(&self, path: &Path, device: &str, peer: &str, rates: &Rates) -> io::Result<()> {
        let head = format!(r#""device": {}, "peer": {}"#, quoted(device), quoted(peer));
        let rates = format!(r#""bytes_per_second": {:e}, "operations_per_second": {:e}"#, rates.bytes, rates.operations);
        fs::write(path, format!("{{{head}, {rates}, \"lines\": [\n{}\n]}}\n", self.json.join(",\n")))
    }
}

/// `eager 812.0 µs, 3.1 ×`
fn described(way: &str, answer: &Answer, ours: f64) -> String {
    let Answer { seconds, remark } = answer;
    let took = seconds.map_or("nothing".into(), |s| format!("{:.1} µs, {:.2} ×", s * 1e6, s / ours));
    [way, &took, &format!("({remark})")].join(" ").trim_start().to_owned()
}
