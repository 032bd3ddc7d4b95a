//! Counters, in the text format of Prometheus.

use hh::CacheStats;
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

    pub(super) fn read(&self, tokens: usize) {
        self.prompt_tokens.fetch_add(tokens as u64, Relaxed);
    }

    pub(super) fn generated(&self, tokens: usize) {
        self.generated_tokens.fetch_add(tokens as u64, Relaxed);
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
        family("hh_generated_tokens_total", "counter", "Tokens that were generated.", &one(&self.generated_tokens));
        out
    }
}
