//! Requests that are refused.

use super::{Server, desk_with_run};
use serde_json::{Value, json};

#[test]
fn what_cannot_be_answered_is_refused_in_the_shape_of_openai() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    let many = vec!["a"; 2049];
    for (path, body, status, param, said) in [
        ("embeddings", json!({"input": ""}), 400, json!("input"), "text 0 of input is empty"),
        ("embeddings", json!({"input": []}), 400, json!("input"), "0 texts"),
        ("embeddings", json!({"input": many}), 400, json!("input"), "2049 texts"),
        ("embeddings", json!({"input": [1, 2]}), 400, json!("input"), "check_embedding_ctx_length=False"),
        ("embeddings", json!({"input": [[1, 2], [3]]}), 400, json!("input"), "check_embedding_ctx_length=False"),
        ("embeddings", json!({"input": ["fox", 2]}), 400, json!("input"), "a list of texts"),
        ("embeddings", json!({"input": {"text": "fox"}}), 400, json!("input"), "a list of texts"),
        ("embeddings", json!({"input": "fox", "input_type": "poem"}), 400, json!("input_type"), "search_query"),
        ("embeddings", json!({"input": ["fox", "€"]}), 400, json!("input"), "text 1"),
        ("embeddings", json!({"input": "fox", "dimensions": 99}), 400, json!("dimensions"), "1 to 16"),
        ("embeddings", json!({"input": "fox", "encoding_format": "hex"}), 400, Value::Null, "hex"),
        ("embeddings", json!({}), 400, Value::Null, "input"),
        ("embeddings", json!({"input": "fox", "model": "gpt"}), 404, json!("model"), "this server has \"best\""),
        ("completions", json!({"prompt": "€"}), 400, json!("prompt"), "€"),
        ("completions", json!({"prompt": "fox", "max_tokens": 0}), 400, json!("max_tokens"), "1 or more"),
        ("completions", json!({"prompt": "fox", "temperature": -1}), 400, json!("temperature"), "temperature is -1"),
        ("completions", json!({"prompt": "fox", "top_p": 0}), 400, json!("top_p"), "top_p is 0"),
        ("completions", json!({"prompt": "fox", "n": 0}), 400, json!("n"), "n is 0"),
        ("completions", json!({"prompt": "fox", "n": 999}), 400, json!("n"), "at most 128"),
        ("completions", json!({"prompt": ["fox", "dog"], "n": 1_u64 << 63}), 400, json!("n"), "at most 128"),
        ("completions", json!({"prompt": "fox", "best_of": 3}), 400, json!("best_of"), "not supported"),
        ("completions", json!({"prompt": "fox", "logprobs": 1}), 400, json!("logprobs"), "not supported"),
        ("completions", json!({"prompt": "fox", "frequency_penalty": 1}), 400, json!("frequency_penalty"), "not supported"),
        ("completions", json!({"prompt": ""}), 400, json!("prompt"), "empty"),
        ("completions", json!({}), 400, json!("prompt"), "missing"),
        ("completions", json!({"prompt": [1, 2]}), 400, json!("prompt"), "token ids"),
        ("completions", json!({"prompt": "fox", "stop": ""}), 400, json!("stop"), "empty"),
        ("completions", json!({"prompt": "fox", "stop": ["a", "b", "c", "d", "e"]}), 400, json!("stop"), "5 texts"),
        ("chat", json!({}), 404, Value::Null, "/v1/completions"),
        ("models", json!({}), 405, Value::Null, "GET"),
    ] {
        let (found, answer) = server.ask(path, &body);
        let error = &answer["error"];
        assert_eq!((found, &error["param"], &error["type"]), (status, &param, &json!("invalid_request_error")), "{body}: {answer}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(said)), "{body}: {answer}");
    }
    let deep = format!("{{\"input\": {}", "[".repeat(100_000));
    for broken in ["{\"input\": ", "", "[]", "\u{feff}{}", &deep] {
        let mut response = server.post("embeddings", broken);
        assert_eq!(response.status(), 400);
        assert!(response.body_mut().read_to_string().expect("UTF-8").contains("invalid_request_error"));
    }
    let request = server.agent.post(format!("{}/embeddings", server.base)).header("content-type", "text/plain");
    let mut response = request.send("{\"input\": \"fox\"}").expect("it answers");
    assert_eq!(response.status(), 415);
    assert!(response.body_mut().read_to_string().expect("UTF-8").contains("content-type: application/json"));
}
