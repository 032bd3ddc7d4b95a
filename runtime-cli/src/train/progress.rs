//! Progress display of a training run.

use super::metrics::{Evaluation, Gates, Step};
use crate::progress::Bar;

/// Two lines that fit into 80 columns; a single line would wrap.
const TEMPLATE: &str = "{bar:40.cyan/dim} {pos}/{len} · {eta} left\n{wide_msg}";

/// Shows the steps of a run.
pub struct Progress {
    bar: Bar,
    steps: u64,
    /// Unit of the throughput.
    unit: &'static str,
}

impl Progress {
    /// For a run of `steps` steps that is at `step`, with throughput in `unit` per second.
    pub fn new(step: u64, steps: u64, unit: &'static str) -> Self {
        Self { bar: Bar::new(TEMPLATE, steps, step), steps, unit }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self { bar: Bar::hidden(), steps: 0, unit: "tokens" }
    }

    /// Advances to a step.
    pub fn tick(&self, step: u64) {
        self.bar.set(step);
    }

    /// Shows the metrics of a step.
    pub fn step(&mut self, r: &Step) {
        let speed = thousands(r.tokens_per_second as u64);
        let message = format!("loss {:.3} · lr {:.1e} · {speed} {}/s{}", r.loss(), r.lr, self.unit, gates(&r.gates));
        let (step, steps) = (r.step, self.steps);
        self.bar.report(message, |bar, message| format!("step {step}/{steps} · {} left · {message}", duration(bar.seconds_left())));
    }

    /// Prints the result of a validation.
    pub fn evaluation(&mut self, r: &Evaluation, best: bool) {
        let average = r.validation_ema.map_or(String::new(), |nll| format!(", averaged weights {nll:.4}"));
        let accuracy = r.accuracy.map_or(String::new(), |share| format!(" · accuracy {share:.4}"));
        let best = if best { " · best" } else { "" };
        self.say(&format!("step {}/{} · validation {:.4}{average}{accuracy}{best}", r.step, self.steps, r.validation));
    }

    /// Prints a line above the bar.
    pub fn say(&self, line: &str) {
        self.bar.say(line);
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

fn gates(g: &Gates) -> String {
    let named = [("ssm", g.ssm), ("hopfield", g.hopfield), ("attention", g.attention)];
    let on: Vec<_> = named.into_iter().filter_map(|(name, gate)| Some(format!("{name} {:.2}", gate?))).collect();
    if on.is_empty() { String::new() } else { format!(" · {}", on.join(" ")) }
}

/// `75 s`, `12 min`, `3.5 h`.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// `12,345`
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
