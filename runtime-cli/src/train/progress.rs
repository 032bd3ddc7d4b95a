//! What a run shows of itself while it goes on: a bar on a terminal, plain lines elsewhere.

use super::metrics::{Evaluation, Gates, Step};
use crate::stderr::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Off a terminal, a step has a line at most this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows progress on the standard error stream.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    /// What is counted.
    unit: &'static str,
    began: Instant,
    first: u64,
    spoke: Instant,
}

impl Progress {
    /// For a run of `steps` that has taken `step` of them, and counts `unit`.
    pub fn new(step: u64, steps: u64, unit: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(8)).with_position(step);
            // Two lines that fit 80 columns, where one would be folded wherever the terminal ends.
            let style = "{bar:40.cyan/dim} {pos}/{len} · {eta} left\n{wide_msg}";
            bar.set_style(ProgressStyle::with_template(style).expect("a valid template").progress_chars("━╸─"));
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self { bar, steps, unit, began: now, first: step, spoke: now }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        let now = Instant::now();
        Self { bar: Some(ProgressBar::hidden()), steps: 0, unit: "tokens", began: now, first: 0, spoke: now }
    }

    /// A step is done.
    pub fn tick(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// A step was measured.
    pub fn step(&mut self, r: &Step) {
        let message = format!(
            "loss {:.3} · lr {:.1e} · {} {}/s{}",
            r.loss(),
            r.lr,
            thousands(r.tokens_per_second as u64),
            self.unit,
            gates(&r.gates)
        );
        match &self.bar {
            Some(bar) => bar.set_message(message),
            None if self.spoke.elapsed() >= BETWEEN_LINES => {
                self.spoke = Instant::now();
                say(format_args!("step {}/{} · {} left · {message}", r.step, self.steps, self.left(r.step)));
            }
            None => {}
        }
    }

    /// A validation is done.
    pub fn evaluation(&mut self, r: &Evaluation, best: bool) {
        let average = r.validation_ema.map_or(String::new(), |nll| format!(", averaged weights {nll:.4}"));
        let right = r.accuracy.map_or(String::new(), |share| format!(" · accuracy {share:.4}"));
        let best = if best { " · best" } else { "" };
        self.say(&format!("step {}/{} · validation {:.4}{average}{right}{best}", r.step, self.steps, r.validation));
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) if !bar.is_hidden() => bar.println(line),
            Some(_) => {}
            None => say(line),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn left(&self, step: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64() / (step - self.first).max(1) as f64 * self.steps.saturating_sub(step) as f64;
        duration(seconds)
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
