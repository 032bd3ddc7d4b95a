//! `hh-runtime serve`, asked by an HTTP client.

mod batch;
mod clients;
mod http;
mod refusals;
mod sessions;

use super::{command, desk_with_run, refused, works};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};
use ureq::Agent;

/// A server of the run's model, which ends with the test.
struct Server {
    child: Child,
    base: String,
    agent: Agent,
    _said: BufReader<ChildStdout>,
}

impl Server {
    fn new(folder: &Path) -> Self {
        Self::with(folder, "run")
    }

    /// With these arguments, separated by spaces.
    fn with(folder: &Path, args: &str) -> Self {
        let args: Vec<_> = format!("serve {args} --listen 127.0.0.1:0").split_whitespace().map(str::to_owned).collect();
        let mut child = command(folder, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("UTF-8");
        let base = line.trim().split_once(" on ").unwrap_or_else(|| panic!("it says where it is: {line}")).1.to_owned();
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

    fn get(&self, path: &str) -> (u16, String) {
        let address = format!("{}/{path}", self.base.trim_end_matches("/v1"));
        let mut response = self.agent.get(address).call().expect("the server answers");
        (response.status().as_u16(), response.body_mut().read_to_string().expect("UTF-8"))
    }

    /// A connection, on which these bytes were sent.
    fn raw(&self, bytes: &str) -> TcpStream {
        let host = self.base.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1")).expect("an address");
        let mut stream = TcpStream::connect(host).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a duration");
        stream.write_all(bytes.as_bytes()).expect("it reads");
        stream
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
fn null_is_absent() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    let plain = server.works("embeddings", &json!({"input": "fox"}));
    let nulls = json!({"input": "fox", "model": null, "encoding_format": null, "dimensions": null, "input_type": null, "user": null});
    assert_eq!(server.works("embeddings", &nulls), plain);
    assert_eq!(server.works("embeddings", &json!({"input": "fox", "input_type": "search_query", "user": "u", "unknown": 1})), plain);
    let fields = ["model", "max_tokens", "top_p", "stop", "stream", "stream_options", "n", "best_of", "echo", "logprobs", "suffix"];
    let mut asked = json!({"prompt": "fox", "temperature": 0, "seed": null, "presence_penalty": null, "logit_bias": null, "user": null});
    fields.iter().for_each(|field| asked[field] = Value::Null);
    let answer = server.works("completions", &asked);
    assert_eq!(answer["usage"]["completion_tokens"], 16);
    let no_stops = server.works("completions", &json!({"prompt": "fox", "temperature": 0, "stop": []}));
    assert_eq!(no_stops["choices"], answer["choices"]);
    let several =
        json!({"prompt": "fox", "temperature": 0, "n": 2, "echo": true, "logit_bias": {}, "presence_penalty": 0, "logprobs": false});
    let texts = server.works("completions", &several);
    let text = format!("fox{}", answer["choices"][0]["text"].as_str().expect("a text"));
    assert_eq!([&texts["choices"][0]["text"], &texts["choices"][1]["text"]], [&json!(text), &json!(text)]);
    let (_, metrics) = server.get("metrics");
    for line in ["hh_prompt_tokens_total 9", "hh_generated_tokens_total 64"] {
        assert!(metrics.lines().any(|found| found == line), "a prompt is read once for its texts: {metrics}");
    }
}

#[test]
fn routes_are_found_under_their_usual_spellings() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --alias text-embedding-ada-002 --alias org/model --cors https://a.org --log");
    assert_eq!(server.get("health"), (200, "{\"status\":\"ok\"}".to_owned()));
    for path in ["v1/models", "v1/models/", "models"] {
        let (status, text) = server.get(path);
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (status, list["data"][0]["id"].as_str(), list["data"][1]["id"].as_str()),
            (200, Some("best"), Some("text-embedding-ada-002"))
        );
    }
    for (id, status) in [("best", 200), ("org/model", 200), ("best/", 200), ("gpt-4", 404)] {
        assert_eq!(server.get(&format!("v1/models/{id}")).0, status, "{id}");
    }
    let body = json!({"input": "fox", "model": "text-embedding-ada-002"});
    server.works("embeddings/", &body);
    let unversioned = server.agent.post(server.base.replace("/v1", "/embeddings")).header("content-type", "application/json");
    assert_eq!(unversioned.send(body.to_string()).expect("it answers").status(), 200);
    let mut preflight = server.raw(
        "OPTIONS /v1/embeddings HTTP/1.1\r\nhost: x\r\norigin: https://a.org\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-stainless-os\r\nconnection: close\r\n\r\n",
    );
    let mut answer = String::new();
    preflight.read_to_string(&mut answer).expect("UTF-8");
    for part in ["HTTP/1.1 200", "access-control-allow-origin: https://a.org", "x-stainless-os"] {
        assert!(answer.contains(part), "{answer}");
    }
    let (_, metrics) = server.get("metrics");
    for line in ["hh_embedded_texts_total 2", "hh_requests_total{status=\"4xx\"} 1", "hh_requests_in_flight 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

#[test]
fn an_embedder_embeds_and_does_not_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::with(folder.path(), "");
    let answer = server.works("embeddings", &json!({"model": "english", "input": ["A cat sits on the mat.", "A cat  sits\non the mat."]}));
    assert_eq!(floats(&answer["data"][0]["embedding"]), floats(&answer["data"][1]["embedding"]));
    let (status, answer) = server.ask("completions", &json!({"prompt": "A cat", "max_tokens": 3}));
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("model")), "{answer}");
    assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains("/v1/embeddings")), "{answer}");
}

#[test]
fn the_key_is_asked_for_everywhere_but_for_health() {
    let folder = desk_with_run();
    let server = Server::with(folder.path(), "run --api-key secret");
    assert_eq!((server.get("health").0, server.get("v1/models").0, server.get("metrics").0), (200, 401, 401));
    for (header, status) in [("Bearer secret", 200), ("Bearer secrets", 401), ("Bearer ", 401), ("secret", 401)] {
        let response = server.agent.get(format!("{}/models", server.base)).header("authorization", header).call().expect("it answers");
        assert_eq!(response.status(), status, "{header}");
    }
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let folder = desk_with_run();
    let here = folder.path();
    let server = Server::new(here);
    let taken = server.base.trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    for (args, said) in [
        ("serve none".to_owned(), "there is no such file"),
        (format!("serve run --listen {taken}"), "--listen"),
        ("serve run --threads 0".to_owned(), "--threads is 0"),
        ("serve run --cors a.org".to_owned(), "no origin"),
    ] {
        refused(here, &args, &[said]);
    }
}
