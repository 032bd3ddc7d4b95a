//! Progress on the standard error: a bar on a terminal, otherwise a line every ten seconds.

use crate::stderr::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shortest interval between lines where the standard error is not a terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Maximum redraws per second.
const HZ: u8 = 8;

/// A progress display.
pub struct Bar {
    bar: ProgressBar,
    display: Display,
    /// The initial position.
    first: u64,
    began: Instant,
    last_line: Instant,
}

/// Where progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Display {
    Terminal,
    Lines,
    Hidden,
}

impl Display {
    /// A bar redraws itself, so it needs a terminal that moves its cursor. `NO_COLOR` asks for plain text, and the output of a
    /// build server (`CI`) is read as a log.
    fn of(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let ci = set("CI") && variable("CI").is_some_and(|value| value != "false" && value != "0");
        let moves = variable("TERM").map_or(cfg!(windows), |term| !term.is_empty() && term != "dumb");
        if is_terminal && moves && !ci && !set("NO_COLOR") { Self::Terminal } else { Self::Lines }
    }
}

impl Bar {
    /// A bar with a template of `indicatif`, at position `done` of `length`.
    ///
    /// # Panics
    /// If the template is not valid.
    pub fn new(template: &str, length: u64, done: u64) -> Self {
        let display = Display::of(std::io::stderr().is_terminal(), |name| std::env::var_os(name));
        let target = if display == Display::Terminal { ProgressDrawTarget::stderr_with_hz(HZ) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_position(done);
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template").progress_chars("━╸─"));
        bar.reset_eta();
        Self::of(bar, display, done)
    }

    /// A spinner, for work of unknown length.
    ///
    /// # Panics
    /// If the template is not valid.
    pub fn spinner(template: &str) -> Self {
        let spinner = Self::new(template, 0, 0);
        spinner.bar.unset_length();
        spinner.bar.enable_steady_tick(Duration::from_millis(200));
        spinner
    }

    /// Displays nothing.
    pub fn hidden() -> Self {
        Self::of(ProgressBar::hidden(), Display::Hidden, 0)
    }

    fn of(bar: ProgressBar, display: Display, first: u64) -> Self {
        let now = Instant::now();
        Self { bar, display, first, began: now, last_line: now }
    }

    /// Sets the length.
    pub fn set_length(&self, length: u64) {
        self.bar.set_length(length);
    }

    /// Sets the position.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Advances the position.
    pub fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// Sets the template's `msg`.
    pub fn set_message(&self, message: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(message);
    }

    /// Sets the message of the bar; off a terminal, prints `line` if the interval has passed.
    pub fn report(&mut self, message: String, line: impl FnOnce(&Self, &str) -> String) {
        match self.display {
            Display::Terminal => self.bar.set_message(message),
            Display::Lines if self.last_line.elapsed() >= BETWEEN_LINES => {
                self.last_line = Instant::now();
                say(line(self, &message));
            }
            Display::Lines | Display::Hidden => {}
        }
    }

    /// Prints a line above the bar.
    pub fn say(&self, line: &str) {
        match self.display {
            Display::Terminal => self.bar.println(line),
            Display::Lines => say(line),
            Display::Hidden => {}
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Mean rate per second since the start.
    pub fn rate(&self) -> f64 {
        self.bar.position().saturating_sub(self.first) as f64 / self.began.elapsed().as_secs_f64().max(1e-9)
    }

    /// Estimated remaining seconds at the mean rate.
    pub fn seconds_left(&self) -> f64 {
        let done = self.bar.position();
        let rest = self.bar.length().unwrap_or(done).saturating_sub(done);
        self.began.elapsed().as_secs_f64() / done.saturating_sub(self.first).max(1) as f64 * rest as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_only_where_it_can_be_redrawn() {
        let display = |is_terminal, variables: &[(&str, &str)]| {
            let terminal = [("TERM", "xterm-256color")];
            let find = |name: &str| variables.iter().chain(&terminal).find(|(key, _)| *key == name).map(|(_, value)| value.into());
            Display::of(is_terminal, find)
        };
        for bar in [&[][..], &[("NO_COLOR", "")], &[("CI", "")], &[("CI", "false")], &[("CI", "0")]] {
            assert_eq!(display(true, bar), Display::Terminal, "{bar:?}");
            assert_eq!(display(false, bar), Display::Lines, "{bar:?}");
        }
        for lines in [[("NO_COLOR", "1")], [("CI", "1")], [("CI", "true")], [("TERM", "dumb")], [("TERM", "")]] {
            assert_eq!(display(true, &lines), Display::Lines, "{lines:?}");
        }
        assert_eq!(Display::of(true, |_| None), if cfg!(windows) { Display::Terminal } else { Display::Lines });
    }

    #[test]
    fn rate_and_remaining_time_count_from_the_initial_position() {
        let mut bar = Bar::new("{pos}", 100, 40);
        bar.began = Instant::now() - Duration::from_secs(10);
        bar.set(60);
        assert!((bar.rate() - 2.0).abs() < 0.1, "{}", bar.rate());
        assert!((bar.seconds_left() - 20.0).abs() < 1.0, "{}", bar.seconds_left());
    }
}
