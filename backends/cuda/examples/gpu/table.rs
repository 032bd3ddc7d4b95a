//! The table of measurements.

use crate::{kernels::Rates, peer::Answer};
use std::{
    fmt::Display,
    fs::File,
    io::{self, Write},
    path::Path,
};

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

/// Prints lines, and writes each at once as a line of JSON: what was measured is kept whatever ends the run.
pub(crate) struct Table {
    json: File,
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
    /// A table in a new file.
    pub(crate) fn begin(path: &Path, device: &str, peer: &str) -> io::Result<Self> {
        let mut table = Self { json: File::create(path)? };
        table.write(format!(r#"{{"device": {}, "peer": {}}}"#, quoted(device), quoted(peer)));
        Ok(table)
    }

    /// The measured peak rates, and the head of what is printed.
    pub(crate) fn rates(&mut self, rates: &Rates) {
        self.write(format!(r#"{{"bytes_per_second": {:e}, "operations_per_second": {:e}}}"#, rates.bytes, rates.operations));
        println!("copies {:.2} TB/s, multiplies bf16 matrices at {:.0} TFLOP/s\n", rates.bytes / 1e12, rates.operations / 1e12);
        println!("{:44} {:>12} {:>12} {:>6}   PyTorch", "", "µs", "floor µs", "of it");
    }

    /// Notes that a measurement failed.
    pub(crate) fn fault(&mut self, name: &str, error: impl Display) {
        println!("{name:44} failed: {error}");
        self.write(format!(r#"{{"name": {}, "error": {}}}"#, quoted(name), quoted(&error.to_string())));
    }

    fn write(&mut self, line: String) {
        if let Err(e) = writeln!(self.json, "{line}").and_then(|()| self.json.flush()) {
            eprintln!("a line was not written: {e}: {line}");
        }
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
        self.write(format!(
            r#"{{"name": {}, "seconds": {:e}, "floor": {}, "peers": [{}], "note": {}}}"#,
            quoted(&line.name),
            line.seconds,
            number(line.floor),
            peers.join(", "),
            quoted(&line.note)
        ));
    }
}

/// `eager 812.0 µs, 3.1 ×`
fn described(way: &str, answer: &Answer, ours: f64) -> String {
    let Answer { seconds, remark } = answer;
    let took = seconds.map_or("nothing".into(), |s| format!("{:.1} µs, {:.2} ×", s * 1e6, s / ours));
    [way, &took, &format!("({remark})")].join(" ").trim_start().to_owned()
}
