//! Clients that leave, stall and flood.

use super::{Server, desk_with_run};
use serde_json::{Value, json};
use std::{
    io::Read,
    net::Shutdown,
    process::Command,
    thread::{available_parallelism, sleep},
    time::{Duration, Instant},
};

#[test]
fn limits_are_named_where_they_are_met() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --max-body 3 --max-tokens 3000 --max-requests 1 --timeout 2");
    let passages = vec!["fox jumps ".repeat(250); 1000];
    let answer = server.works("embeddings", &json!({"input": passages}));
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(1000));
    let said = |(status, answer): (u16, Value)| (status, answer["error"]["message"].as_str().unwrap_or_default().to_owned());
    let (status, message) = said(server.ask("embeddings", &json!({"input": "x".repeat(4 << 20)})));
    assert!(status == 413 && message.contains("3 MiB") && message.contains("--max-body"), "{status}: {message}");
    for (path, field) in [("embeddings", "input"), ("completions", "prompt")] {
        let (status, message) = said(server.ask(path, &json!({field: "x".repeat(3001)})));
        assert!(status == 400 && message.contains("3001 tokens") && message.contains("--max-tokens"), "{status}: {message}");
    }
    // A client that stops in the middle of its body, while it has the only place.
    let mut stalled =
        server.raw("POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{");
    sleep(Duration::from_millis(300));
    let (status, message) = said(server.ask("embeddings", &json!({"input": "fox"})));
    assert!(status == 429 && message.contains("--max-requests"), "{status}: {message}");
    let mut answer = String::new();
    stalled.read_to_string(&mut answer).expect("UTF-8");
    assert!(answer.contains("408 Request Timeout") && answer.contains("within 2 s"), "{answer}");
    server.works("embeddings", &json!({"input": "fox"}));
    // A client that never ends its headers is cut off.
    let begun = Instant::now();
    let mut slow = server.raw("GET /health HTTP/1.1\r\nx-slow: ");
    let _ = slow.read_to_string(&mut String::new());
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn what_a_client_that_left_asked_for_is_not_computed() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --threads 1");
    let texts = vec!["the quick brown fox ".repeat(80); 1500];
    let body = json!({"input": texts}).to_string();
    for _ in 0..4 {
        let head =
            format!("POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let stream = server.raw(&(head + &body));
        sleep(Duration::from_millis(100));
        stream.shutdown(Shutdown::Both).expect("open");
    }
    server.works("embeddings", &json!({"input": "fox"}));
    let (_, metrics) = server.get("metrics");
    let count = metrics.lines().find_map(|line| line.strip_prefix("hh_embedded_texts_total ")).expect("the counter");
    let count: u64 = count.parse().expect("a number");
    assert!((1..1500).contains(&count), "{count} of 6001 texts were computed");
}

#[test]
fn a_short_request_does_not_wait_for_the_end_of_long_ones() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --threads 1");
    let _endless: Vec<_> = (0..4)
        .map(|_| {
            let mut events = server.stream(&json!({"prompt": "fox", "max_tokens": 1_000_000_000, "stream": true}));
            assert!(events.next().is_some());
            events
        })
        .collect();
    // One of them reads on, the others stall; none keeps the only thread.
    for _ in 0..3 {
        server.works("completions", &json!({"prompt": "fox", "max_tokens": 40}));
        server.works("embeddings", &json!({"input": "fox"}));
    }
}

#[test]
fn a_client_that_goes_away_ends_its_text() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    let endless = json!({"prompt": "fox", "max_tokens": 1_000_000_000, "stream": true});
    // As many as are worked on at a time, twice: each of them would last for hours.
    for _ in 0..2 * available_parallelism().map_or(1, usize::from) {
        let mut events = server.stream(&endless);
        assert!(events.next().expect("an event").contains("text_completion"));
    }
    server.works("completions", &json!({"prompt": "fox", "max_tokens": 2}));
}

#[cfg(unix)]
#[test]
fn an_interrupted_server_ends_what_it_began() {
    let folder = desk_with_run();
    let mut server = Server::new(folder.path());
    let mut events = server.stream(&json!({"prompt": "fox", "max_tokens": 20_000, "stream": true}));
    assert!(events.next().is_some());
    assert!(Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().expect("kill is there").success());
    assert_eq!(events.last().as_deref(), Some("[DONE]"));
    assert!(server.child.wait().expect("it ends").success());
}
