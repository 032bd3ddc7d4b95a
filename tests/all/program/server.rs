//! The example of a server, asked by an HTTP client.

use super::{desk_with_run, text_of, works};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::LazyLock,
    thread::available_parallelism,
    time::Duration,
};
use ureq::Agent;

/// The example, built by the cargo that runs the tests, as they were built.
static SERVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let here = std::env::current_exe().expect("this binary");
    // TARGET/PROFILE/deps/all-HASH
    let folder = here.parent().and_then(Path::parent).expect("a folder of the profile");
    let mut build = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    build.args(["build", "--quiet", "--package", "hh-runtime", "--features", "full,hh-cpu/f64", "--example", "server", "--target-dir"]);
    build.arg(folder.parent().expect("a target folder")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "the example does not build");
    folder.join("examples").join(format!("server{}", std::env::consts::EXE_SUFFIX))
});

/// A server of the run's model, which ends with the test.
struct Server {
    child: Child,
    base: String,
    agent: Agent,
    _said: BufReader<ChildStdout>,
}

impl Server {
    fn new(folder: &Path) -> Self {
        let mut child = Command::new(&*SERVER);
        child.args(["run", "127.0.0.1:0"]).current_dir(folder).stdout(Stdio::piped());
        let mut child = child.spawn().expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("UTF-8");
        let base = line.trim().strip_prefix("best on ").unwrap_or_else(|| panic!("it says where it is: {line}")).to_owned();
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(120)));
        Self { child, base, agent: config.build().into(), _said: said }
    }

    fn post(&self, path: &str, body: &str) -> ureq::http::Response<ureq::Body> {
        let request = self.agent.post(format!("{}/{path}", self.base)).header("content-type", "application/json");
        request.send(body).expect("the server answers")
    }

    fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut response = self.post(path, &body.to_string());
        let text = response.body_mut().read_to_string().expect("UTF-8");
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    fn works(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(path, body);
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    }

    /// The data of a stream's events, as they come.
    fn stream(&self, body: &Value) -> impl Iterator<Item = String> + use<> {
        let response = self.post("completions", &body.to_string());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        lines.map(|line| line.expect("UTF-8")).filter_map(|line| line.strip_prefix("data: ").map(str::to_owned))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

#[test]
fn vectors_come_in_the_shape_of_openai() {
    let folder = desk_with_run();
    let here = folder.path();
    let server = Server::new(here);
    let texts = ["the lazy dog", "pack my box with jugs", "fox"];
    std::fs::write(here.join("a.txt"), texts.join("\n")).expect("memory");
    works(here, "embed run --input a.txt --output a.jsonl");
    let lines = std::fs::read_to_string(here.join("a.jsonl")).expect("written");
    let expected: Vec<_> = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["embedding"].take()).collect();

    let answer = server.works("embeddings", &json!({"model": "best", "input": texts}));
    assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!("best")));
    let letters = texts.iter().map(|text| text.len()).sum::<usize>();
    assert_eq!(answer["usage"], json!({"prompt_tokens": letters, "total_tokens": letters}));
    for (i, expected) in expected.iter().enumerate() {
        let datum = &answer["data"][i];
        assert_eq!((&datum["object"], &datum["index"]), (&json!("embedding"), &json!(i)));
        assert_eq!(floats(&datum["embedding"]), floats(expected));
    }
    let packed = server.works("embeddings", &json!({"input": texts[1], "encoding_format": "base64"}));
    let bytes = BASE64_STANDARD.decode(packed["data"][0]["embedding"].as_str().expect("a text")).expect("base64");
    let unpacked: Vec<_> = bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect();
    assert_eq!(unpacked, floats(&expected[1]));
    let short = server.works("embeddings", &json!({"input": texts[0], "dimensions": 5}));
    assert_eq!(floats(&short["data"][0]["embedding"]).len(), 5);
    let listed = server.agent.get(format!("{}/models", server.base)).call().expect("it answers").body_mut().read_to_string();
    assert!(listed.expect("UTF-8").contains("\"id\":\"best\""));
}

#[test]
fn a_completion_is_the_text_of_sample_whole_or_in_events() {
    let folder = desk_with_run();
    let here = folder.path();
    let server = Server::new(here);
    let expected = works(here, "sample run --prompt 'the quick' --tokens 60 --temperature 0.8 --top-p 0.9 --seed 7");
    let mut asked = json!({"model": "best", "prompt": "the quick", "max_tokens": 60, "temperature": 0.8, "top_p": 0.9, "seed": 7});
    let answer = server.works("completions", &asked);
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"], json!([{"index": 0, "text": expected, "logprobs": null, "finish_reason": "length"}]));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 9, "completion_tokens": 60, "total_tokens": 69}));

    asked["stream"] = true.into();
    asked["stream_options"] = json!({"include_usage": true});
    let mut events: Vec<_> = server.stream(&asked).collect();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let text: String = events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, expected);
    let [.., last, usage] = &events[..] else { panic!("{} events", events.len()) };
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert!(events.len() > 30 && events.iter().all(|event| event["id"] == last["id"] && event["object"] == "text_completion"));
    assert_eq!(usage["usage"], answer["usage"]);

    let stop = &expected[20..22];
    let stopped = server
        .works("completions", &json!({"prompt": "the quick", "max_tokens": 60, "temperature": 0.8, "top_p": 0.9, "seed": 7, "stop": stop}));
    let before = expected.split_once(stop).expect("a stop from the text").0;
    assert_eq!((&stopped["choices"][0]["text"], &stopped["choices"][0]["finish_reason"]), (&json!(before), &json!("stop")));
    let two = server.works("completions", &json!({"prompt": ["the", "fox"], "temperature": 0, "max_tokens": 3}));
    assert_eq!((two["choices"][1]["index"].as_u64(), two["choices"].as_array().map(Vec::len)), (Some(1), Some(2)));
}

#[test]
fn what_cannot_be_answered_is_refused_in_the_shape_of_openai() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    let many = vec!["a"; 2049];
    for (path, body, status, param, said) in [
        ("embeddings", json!({"input": ""}), 400, json!("input"), "text 0 of input is empty"),
        ("embeddings", json!({"input": []}), 400, json!("input"), "0 texts"),
        ("embeddings", json!({"input": many}), 400, json!("input"), "2049 texts"),
        ("embeddings", json!({"input": [1, 2]}), 400, json!("input"), "a list of texts"),
        ("embeddings", json!({"input": ["fox", "€"]}), 400, json!("input"), "text 1"),
        ("embeddings", json!({"input": "fox", "dimensions": 99}), 400, json!("dimensions"), "1 to 16"),
        ("embeddings", json!({"input": "fox", "encoding_format": "hex"}), 400, Value::Null, "hex"),
        ("embeddings", json!({}), 400, Value::Null, "input"),
        ("embeddings", json!({"input": "fox", "model": "gpt"}), 404, json!("model"), "there is \"best\""),
        ("completions", json!({"prompt": "€"}), 400, json!("prompt"), "€"),
        ("completions", json!({"prompt": "fox", "max_tokens": 0}), 400, json!("max_tokens"), "1 or more"),
        ("completions", json!({"prompt": "fox", "temperature": -1}), 400, json!("temperature"), "temperature is -1"),
        ("completions", json!({"prompt": "fox", "top_p": 0}), 400, json!("top_p"), "top_p is 0"),
        ("completions", json!({"prompt": "fox", "n": 2}), 400, json!("n"), "not supported"),
        ("completions", json!({"prompt": "fox", "stop": ["a", "b", "c", "d", "e"]}), 400, json!("stop"), "5 texts"),
        ("chat", json!({}), 404, Value::Null, "/v1/completions"),
        ("models", json!({}), 405, Value::Null, "GET"),
    ] {
        let (found, answer) = server.ask(path, &body);
        let error = &answer["error"];
        assert_eq!((found, &error["param"], &error["type"]), (status, &param, &json!("invalid_request_error")), "{body}: {answer}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(said)), "{body}: {answer}");
    }
    let mut broken = server.post("embeddings", "{\"input\": ");
    assert_eq!(broken.status(), 400);
    assert!(broken.body_mut().read_to_string().expect("UTF-8").contains("invalid_request_error"));
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

#[test]
fn a_server_without_a_model_says_so() {
    let folder = desk_with_run();
    let output = Command::new(&*SERVER).arg("none").current_dir(folder.path()).output().expect("it starts");
    assert!(!output.status.success() && text_of(&output.stderr).contains("there is no such file"), "{}", text_of(&output.stderr));
}
