//! Texts of many requests, drawn together.

use super::{Server, desk_with_run};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

fn asked(i: usize) -> Value {
    let prompt = "the quick brown fox jumps over the lazy dog ".repeat(1 + i % 3);
    let temperature = [0.0, 0.8, 1.2][i % 3];
    json!({"prompt": &prompt[i % 7..], "max_tokens": 20 + 13 * i, "seed": i, "temperature": temperature, "n": 1 + i % 2})
}

fn metric(server: &Server, name: &str) -> f64 {
    let (_, metrics) = server.get("metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("{name}: {metrics}"));
    value.parse().expect("a number")
}

#[test]
fn a_text_is_the_same_alone_and_among_those_of_other_requests() {
    let folder = desk_with_run();
    let alone = Server::with(folder.path(), "run --threads 1 --cache 0");
    let wanted: Vec<Value> = (0..12).map(|i| alone.works("completions", &asked(i))["choices"].take()).collect();
    let steps = metric(&alone, "hh_decoding_steps_total");
    let tokens = metric(&alone, "hh_generated_tokens_total");
    assert_eq!(steps, tokens, "a text alone has a step for each token");
    // More texts than places, so that some wait and some make way.
    for flags in ["--threads 1 --max-batch 3", "--threads 2 --max-batch 16"] {
        let server = Server::with(folder.path(), &format!("run {flags}"));
        thread::scope(|scope| {
            for (i, wanted) in wanted.iter().enumerate() {
                let server = &server;
                scope.spawn(move || {
                    assert_eq!(&server.works("completions", &asked(i))["choices"], wanted, "{flags}, request {i}");
                });
            }
        });
        assert_eq!(metric(&server, "hh_generated_tokens_total"), tokens);
        let steps = metric(&server, "hh_decoding_steps_total");
        assert!(steps < 0.7 * tokens, "{flags}: {steps} steps for {tokens} tokens");
        assert_eq!(metric(&server, "hh_first_token_seconds_count"), 12.0);
        assert_eq!(metric(&server, "hh_first_token_seconds_bucket{le=\"+Inf\"}"), 12.0);
        assert_eq!(metric(&server, "hh_texts_running") + metric(&server, "hh_texts_waiting"), 0.0);
    }
}

#[test]
fn clients_that_do_not_read_keep_no_place_from_others() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --threads 1 --max-batch 1");
    // A connection takes some megabytes before its client counts as slow.
    let body = json!({"prompt": "fox", "max_tokens": 1_000_000_000, "stream": true}).to_string();
    let head =
        format!("POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let _stalled: Vec<_> = (0..4).map(|_| server.raw(&(head.clone() + &body))).collect();
    let begun = Instant::now();
    while metric(&server, "hh_texts_running") < 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "none is drawn");
        thread::sleep(Duration::from_millis(5));
    }
    // Whether they are slow by now or not, they make way.
    for _ in 0..3 {
        server.works("completions", &json!({"prompt": "fox", "max_tokens": 40}));
    }
}
