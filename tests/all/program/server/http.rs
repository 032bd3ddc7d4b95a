//! Forms of HTTP that clients use.

use super::{Server, desk_with_run};
use serde_json::json;
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

/// What the server answers to these bytes, on a connection of their own.
fn answer(server: &Server, bytes: &str) -> String {
    let mut answer = String::new();
    server.raw(bytes).read_to_string(&mut answer).expect("UTF-8");
    answer
}

#[test]
fn the_forms_of_http_are_understood() {
    let folder = desk_with_run();
    let server = Server::new(folder.path());
    let head = "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let body = r#"{"input": "fox"}"#;
    for kind in ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"] {
        let found = answer(&server, &format!("{head}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        assert!(found.starts_with("HTTP/1.1 200") && found.contains("embedding"), "{kind}: {found}");
    }
    let (first, second) = body.split_at(5);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let found = answer(&server, &format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"));
    assert!(found.starts_with("HTTP/1.1 200"), "{found}");

    let mut stream =
        server.raw(&format!("{head}content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()));
    let mut start = [0; 21];
    stream.read_exact(&mut start).expect("it asks for the body");
    assert_eq!(&start, b"HTTP/1.1 100 Continue");
    stream.write_all(body.as_bytes()).expect("it reads");
    let mut found = String::new();
    stream.read_to_string(&mut found).expect("UTF-8");
    assert!(found.contains("HTTP/1.1 200"), "{found}");

    let found = answer(&server, "HEAD /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(found.starts_with("HTTP/1.1 200") && found.ends_with("\r\n\r\n"), "a head and no body: {found}");

    let wrong = [&b"{\"input\": \"f"[..], b"\xff", b"x\"}"].concat();
    let request = server.agent.post(format!("{}/embeddings", server.base)).header("content-type", "application/json");
    let mut response = request.send(&wrong[..]).expect("it answers");
    assert_eq!(response.status(), 400);
    assert!(response.body_mut().read_to_string().expect("UTF-8").contains("invalid_request_error"));
}

#[cfg(unix)]
#[test]
fn a_client_that_does_not_read_its_whole_answer_cannot_keep_the_server_from_ending() {
    let folder = desk_with_run();
    let mut server = Server::with(folder.path(), "run --timeout 2 --max-body 64");
    // An answer far larger than the buffers of a connection.
    let body = json!({"input": vec!["f"; 2048], "encoding_format": "float"}).to_string();
    let head =
        format!("POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let stalled: Vec<_> = (0..4).map(|_| server.raw(&format!("{head}{body}").repeat(40))).collect();
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    assert!(std::process::Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().expect("kill is there").success());
    assert!(server.child.wait().expect("it ends").success());
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    drop(stalled);
}
