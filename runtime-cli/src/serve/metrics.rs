//! Counters, in the text format of Prometheus.

use hh::CacheStats;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Classes of status codes: 2xx to 5xx.
const CLASSES: usize = 4;
/// Upper bounds of the times to the first token, in seconds.
const BOUNDS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

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
    /// Texts that are being drawn, and those that wait for a place.
    texts_running: AtomicUsize,
    texts_waiting: AtomicUsize,
    steps: AtomicU64,
    /// Texts whose first token came within each of [`BOUNDS`] and not the one before; the last are beyond all.
    first_tokens: [AtomicU64; BOUNDS.len() + 1],
    first_token_microseconds: AtomicU64,
}

/// A text that waits for a place, until it is dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
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

    pub(super) fn read(&self, tokens: usize) {
        self.prompt_tokens.fetch_add(tokens as u64, Relaxed);
    }

    pub(super) fn generated(&self, tokens: usize) {
        self.generated_tokens.fetch_add(tokens as u64, Relaxed);
    }

    /// Counts a text that waits.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.texts_waiting.fetch_add(1, Relaxed);
        Waiting(&self.texts_waiting)
    }

    pub(super) fn texts_waiting(&self) -> usize {
        self.texts_waiting.load(Relaxed)
    }

    pub(super) fn running(&self, texts: usize) {
        self.texts_running.store(texts, Relaxed);
    }

    /// A step that draws a token of each of so many texts.
    pub(super) fn step(&self, texts: usize) {
        self.running(texts);
        self.steps.fetch_add(1, Relaxed);
    }

    pub(super) fn first_token(&self, time: Duration) {
        let bucket = BOUNDS.iter().take_while(|&&bound| time.as_secs_f64() > bound).count();
        self.first_tokens[bucket].fetch_add(1, Relaxed);
        self.first_token_microseconds.fetch_add(time.as_micros() as u64, Relaxed);
    }

    /// The cumulative histogram of times to the first token, its sum and its count.
    fn first_token_samples(&self) -> Vec<(String, f64)> {
        let bounds = BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut all = 0;
        let mut samples: Vec<_> = self
            .first_tokens
            .iter()
            .zip(bounds)
            .map(|(count, bound)| {
                all += count.load(Relaxed);
                (format!("_bucket{{le=\"{bound}\"}}"), all as f64)
            })
            .collect();
        samples.push(("_sum".into(), self.first_token_microseconds.load(Relaxed) as f64 / 1e6));
        samples.push(("_count".into(), all as f64));
        samples
    }

    /// `in_flight` requests are being answered; sessions come with their number and their bytes in memory.
    pub(super) fn text(&self, in_flight: usize, cache: CacheStats, sessions: (usize, usize)) -> String {
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
        let number = |value: usize| [(String::new(), value as f64)];
        let lookups = [("hit", cache.hits), ("miss", cache.misses)].map(|(found, n)| (format!("{{result=\"{found}\"}}"), n as f64));
        family("hh_cache_lookups_total", "counter", "Prompts that were looked for in the prefix cache.", &lookups);
        family("hh_cached_tokens_total", "counter", "Tokens of prompts that were not read again.", &[(String::new(), cache.tokens as f64)]);
        family("hh_cache_dropped_total", "counter", "States that were dropped for others.", &[(String::new(), cache.dropped as f64)]);
        family("hh_cache_states", "gauge", "States in the prefix cache.", &number(cache.states));
        family("hh_cache_bytes", "gauge", "Bytes of states in the prefix cache.", &number(cache.bytes));
        family("hh_sessions", "gauge", "Sessions in memory.", &number(sessions.0));
        family("hh_session_bytes", "gauge", "Bytes of sessions in memory.", &number(sessions.1));
        family("hh_texts_running", "gauge", "Texts that are drawn together.", &number(self.texts_running.load(Relaxed)));
        family("hh_texts_waiting", "gauge", "Texts that wait for a place among them.", &number(self.texts_waiting()));
        family("hh_decoding_steps_total", "counter", "Steps that drew a token of each of these texts.", &one(&self.steps));
        family("hh_first_token_seconds", "histogram", "Time from a request to its first token.", &self.first_token_samples());
        family("hh_generated_tokens_total", "counter", "Tokens that were generated.", &one(&self.generated_tokens));
        out
    }
}
