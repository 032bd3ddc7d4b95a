//! Prompts that were read before, and sessions that go on.

use super::{Server, desk_with_run};
use serde_json::{Value, json};
use std::fs;

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().expect("a text")
}

fn metric(server: &Server, name: &str) -> f64 {
    let (_, metrics) = server.get("metrics");
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("{name}: {metrics}"));
    value.parse().expect("a number")
}

#[test]
fn a_prompt_that_was_read_before_is_not_read_again_and_has_the_same_text() {
    let folder = desk_with_run();
    let (server, plain) = (Server::new(folder.path()), Server::with(folder.path(), "run --cache 0"));
    let document = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let ask = |server: &Server, question: &str| {
        server.works("completions", &json!({"prompt": format!("{document}{question}"), "max_tokens": 40, "seed": 3}))
    };
    for question in ["", "fox", "lazy dog", ""] {
        let (found, wanted) = (ask(&server, question), ask(&plain, question));
        assert_eq!((&found["choices"], &found["usage"]), (&wanted["choices"], &wanted["usage"]), "{question}");
    }
    assert_eq!(metric(&server, "hh_cache_lookups_total{result=\"hit\"}"), 3.0);
    assert_eq!(metric(&server, "hh_cached_tokens_total"), 3.0 * 768.0);
    assert_eq!(metric(&plain, "hh_cached_tokens_total") + metric(&plain, "hh_cache_bytes"), 0.0);
    assert!(metric(&server, "hh_cache_bytes") > 0.0);
    let read = [&server, &plain].map(|server| metric(server, "hh_prompt_tokens_total"));
    assert_eq!(read[1] - read[0], 3.0 * 768.0);
}

#[test]
fn a_session_goes_on_where_it_was_also_after_the_server_was_killed() {
    let folder = desk_with_run();
    let turn = |server: &Server, prompt: &str, session: &str| {
        let answer = server.works("completions", &json!({"prompt": prompt, "max_tokens": 24, "seed": 5, "session": session}));
        assert_eq!(answer["session"], session);
        text(&answer).to_owned()
    };
    let prompts = ["the quick ", "brown fox ", "the lazy ", "dog "];
    let whole = Server::new(folder.path());
    let wanted = prompts.map(|prompt| turn(&whole, prompt, "whole"));
    assert_ne!(turn(&whole, prompts[1], "another"), wanted[1], "the text before counts");

    let kept = folder.path().join("kept");
    let start = || Server::with(folder.path(), "run --sessions kept");
    let mut server = start();
    for (i, prompt) in prompts.iter().enumerate() {
        assert_eq!(turn(&server, prompt, "a-1"), wanted[i], "turn {i}");
        // No signal handler runs: what was acknowledged is in the folder.
        server.child.kill().expect("it runs");
        server.child.wait().expect("it ends");
        fs::write(kept.join(".hh-x.unfinished"), "what a killed process leaves").expect("the folder is there");
        server = start();
    }
    let names: Vec<_> = fs::read_dir(&kept).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["a-1.hhstate"]);

    let mut endless = server.stream(&json!({"prompt": "fox", "max_tokens": 1_000_000_000, "stream": true, "session": "a-1"}));
    assert!(endless.next().is_some());
    let (status, answer) = server.ask("completions", &json!({"prompt": "fox", "session": "a-1"}));
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("session_in_use")), "{answer}");
    drop(endless);

    fs::write(kept.join("b.hhstate"), &fs::read(kept.join("a-1.hhstate")).expect("kept")[1..]).expect("written");
    let (status, answer) = server.ask("completions", &json!({"prompt": "fox", "session": "b"}));
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("session_unusable")), "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains("no saved session")), "{answer}");
}

#[test]
fn a_session_that_cannot_be_is_refused() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    for (body, said) in [
        (json!({"prompt": "fox", "session": "../fox"}), "letters"),
        (json!({"prompt": "fox", "session": ""}), "letters"),
        (json!({"prompt": "fox", "session": "a", "n": 2}), "one text"),
        (json!({"prompt": ["fox", "dog"], "session": "a"}), "one text"),
    ] {
        let (status, answer) = server.ask("completions", &body);
        assert_eq!((status, &answer["error"]["param"]), (400, &json!("session")), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains(said)), "{answer}");
    }
}
