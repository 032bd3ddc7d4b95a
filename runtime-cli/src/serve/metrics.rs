//! Counters, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Classes of status codes: 2xx to 5xx.
const CLASSES: usize = 4;

/// What was done since the start.
#[derive(Default)]
pub(super) struct Metrics {
    requests: [AtomicU64; CLASSES],
    /// Until an answer begins.
    microseconds: AtomicU64,
    texts: AtomicU64,
    embedded_tokens: AtomicU64,
    prompt_tokens: AtomicU64,
    generated_tokens: AtomicU64,
}

impl Metrics {
    pub(super) fn answered(&self, status: u16, time: Duration) {
        if let Some(class) = (status / 100).checked_sub(2).and_then(|class| self.requests.get(usize::from(class))) {
            class.fetch_add(1, Relaxed);
        }
        self.microseconds.fetch_add(time.as_micros() as u64, Relaxed);
    }

    pub(super) fn embedded(&self, texts: usize, tokens: usize) {
        self.texts.fetch_add(texts as u64, Relaxed);
        self.embedded_tokens.fetch_add(tokens as u64, Relaxed);
    }

    pub(super) fn generated(&self, prompt: usize, tokens: usize) {
        self.prompt_tokens.fetch_add(prompt as u64, Relaxed);
        self.generated_tokens.fetch_add(tokens as u64, Relaxed);
    }

    /// `in_flight` requests are being answered.
    pub(super) fn text(&self, in_flight: usize) -> String {
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(out, "{name}{labels} {value}");
            }
        };
        let one = |value: &AtomicU64| [(String::new(), value.load(Relaxed) as f64)];
        let classes = self.requests.iter().zip(2..).map(|(count, class)| (format!("{{status=\"{class}xx\"}}"), count.load(Relaxed) as f64));
        family("hh_requests_total", "counter", "Requests that were answered.", &classes.collect::<Vec<_>>());
        family("hh_requests_in_flight", "gauge", "Requests that are being answered.", &[(String::new(), in_flight as f64)]);
        let seconds = [(String::new(), self.microseconds.load(Relaxed) as f64 / 1e6)];
        family("hh_request_seconds_total", "counter", "Time until answers began.", &seconds);
        family("hh_embedded_texts_total", "counter", "Texts that were embedded.", &one(&self.texts));
        family("hh_embedded_tokens_total", "counter", "Tokens of texts that were embedded.", &one(&self.embedded_tokens));
        family("hh_prompt_tokens_total", "counter", "Tokens of prompts that were continued.", &one(&self.prompt_tokens));
        family("hh_generated_tokens_total", "counter", "Tokens that were generated.", &one(&self.generated_tokens));
        out
    }
}
