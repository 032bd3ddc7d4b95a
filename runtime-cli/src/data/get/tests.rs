mod tls;

use super::download::provider;
use super::*;
use crate::data::sets::{DATA_SETS, find};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What the server does with one request.
enum Answer {
    /// Serves the file, from where the request asks on.
    Serve,
    /// Serves the whole file, ignoring the range of the request.
    IgnoreRange,
    /// Closes the connection after this many bytes.
    CutAfter(usize),
    /// A bare status.
    Status(&'static str),
}

/// A server on loopback that gives these answers in order and then stops listening.
struct Server {
    url: String,
    /// Where each request asked to begin.
    ranges: Receiver<Option<usize>>,
    thread: JoinHandle<()>,
}

impl Server {
    fn new(content: &[u8], answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.txt", listener.local_addr().unwrap());
        let (sender, ranges) = channel();
        let content = content.to_vec();
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let from = request(&stream);
                sender.send(from).unwrap();
                reply(stream, &content, from, &answer);
            }
        });
        Self { url, ranges, thread }
    }

    fn finish(self) -> Vec<Option<usize>> {
        self.thread.join().unwrap();
        self.ranges.iter().collect()
    }
}

fn request(stream: &TcpStream) -> Option<usize> {
    let mut from = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = Some(range.trim_end_matches('-').parse().unwrap());
        }
        if line.is_empty() {
            break;
        }
    }
    from
}

fn reply(mut stream: TcpStream, content: &[u8], from: Option<usize>, answer: &Answer) {
    let from = from.filter(|_| !matches!(answer, Answer::IgnoreRange));
    let rest = &content[from.unwrap_or(0).min(content.len())..];
    let (status, sent) = match answer {
        Answer::Status(status) => (*status, &[][..]),
        _ if rest.is_empty() => ("416 Range Not Satisfiable", rest),
        Answer::CutAfter(n) => (if from.is_some() { "206 Partial Content" } else { "200 OK" }, &rest[..*n]),
        _ => (if from.is_some() { "206 Partial Content" } else { "200 OK" }, rest),
    };
    let length = if matches!(answer, Answer::Status(_)) { 0 } else { rest.len() };
    let range = from.map_or(String::new(), |from| format!("Content-Range: bytes {from}-{}/{}\r\n", content.len() - 1, content.len()));
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}Connection: close\r\n\r\n").unwrap();
    stream.write_all(sent).unwrap();
}

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sum(bytes: &[u8]) -> String {
    let mut sum = Sum { hash: Sha256::new(), bytes: 0 };
    sum.write_all(bytes).unwrap();
    sum.finish()
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// Downloads from a server with these answers. Returns the result, the content of the folder, and the starts of the requests.
fn run(sha256: &str, part: &[u8], answers: Vec<Answer>) -> (Result<Vec<Progress>>, Files, Vec<Option<usize>>) {
    let folder = tempfile::tempdir().unwrap();
    if !part.is_empty() {
        fs::write(folder.path().join("file.txt.part"), part).unwrap();
    }
    let server = Server::new(&content(), answers);
    let mut seen = Vec::new();
    let client = Client::new(3, Duration::from_millis(1));
    let result = client.download(&server.url, &folder.path().join("file.txt"), Some(sha256), &mut |p| seen.push(p));
    let left = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap());
    let left = left.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect();
    (result.map(|()| seen), left, server.finish())
}

fn whole() -> Files {
    vec![("file.txt".to_owned(), content())]
}

#[test]
fn a_download_reports_progress_and_is_renamed_when_complete() {
    let (result, left, ranges) = run(&sum(&content()), &[], vec![Answer::Serve]);
    let seen = result.unwrap();
    assert_eq!(seen.first(), Some(&Progress { done: 0, total: Some(300_000) }));
    assert_eq!(seen.last(), Some(&Progress { done: 300_000, total: Some(300_000) }));
    assert!(seen.is_sorted_by_key(|p| p.done) && seen.len() > 2);
    assert_eq!(left, whole());
    assert_eq!(ranges, [None]);
}

#[test]
fn a_lost_connection_is_resumed() {
    let answers = vec![Answer::CutAfter(100_000), Answer::CutAfter(50_000), Answer::Serve];
    let (result, left, ranges) = run(&sum(&content()), &[], answers);
    result.unwrap();
    assert_eq!(left, whole());
    assert_eq!(ranges, [None, Some(100_000), Some(150_000)]);
}

#[test]
fn a_part_of_an_earlier_run_is_resumed() {
    let (result, left, ranges) = run(&sum(&content()), &content()[..1234], vec![Answer::Serve]);
    assert_eq!(result.unwrap()[0], Progress { done: 1234, total: Some(300_000) });
    assert_eq!(left, whole());
    assert_eq!(ranges, [Some(1234)]);
}

#[test]
fn a_server_that_ignores_ranges_restarts_the_download() {
    let (result, left, _) = run(&sum(&content()), &content()[..1234], vec![Answer::IgnoreRange]);
    result.unwrap();
    assert_eq!(left, whole());
}

#[test]
fn a_part_of_another_version_is_discarded() {
    let (result, left, ranges) = run(&sum(&content()), &[0; 300_000], vec![Answer::Serve, Answer::Serve]);
    result.unwrap();
    assert_eq!(left, whole());
    assert_eq!(ranges, [Some(300_000), None]);
}

#[test]
fn a_wrong_checksum_deletes_the_download() {
    let (result, left, _) = run(&sum(b"other"), &[], vec![Answer::Serve]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains(&sum(&content())) && error.contains(&sum(b"other")), "{error}");
    assert_eq!(left, []);
}

#[test]
fn not_found_is_final_and_a_busy_server_is_retried() {
    let (result, left, ranges) = run(&sum(&content()), &[], vec![Answer::Status("404 Not Found")]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("not found") && error.contains("http://127.0.0.1"), "{error}");
    assert_eq!((left.len(), ranges.len()), (0, 1));
    let busy = || Answer::Status("503 Service Unavailable");
    let (result, left, _) = run(&sum(&content()), &[], vec![busy(), busy(), Answer::Serve]);
    result.unwrap();
    assert_eq!(left, whole());
    let (result, _, ranges) = run(&sum(&content()), &[], vec![busy(), busy(), busy()]);
    assert!(result.unwrap_err().to_string().contains("answers 503"));
    assert_eq!(ranges.len(), 3);
}

#[test]
fn an_unreachable_server_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{port}/x");
    let client = Client::new(2, Duration::from_millis(1));
    let error = client.download(&url, &folder.path().join("x"), Some(""), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("try again later"), "{error}");
}

#[test]
fn a_server_without_tls_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/x", listener.local_addr().unwrap());
    let hello = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut record = [0; 5];
        stream.read_exact(&mut record).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        record
    });
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(1, Duration::ZERO);
    let error = client.download(&url, &folder.path().join("x"), Some(""), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains(&url), "{error}");
    if error.contains("TLS is not supported") {
        eprintln!("skipped: this machine lacks what the cryptography needs");
        return;
    }
    // A handshake record of TLS: the cryptography runs.
    assert_eq!(hello.join().unwrap()[..2], [22, 3]);
}

#[test]
fn an_archive_is_unpacked_and_its_files_checked() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("a.zip");
    let mut zip = zip::ZipWriter::new(File::create(&archive).unwrap());
    zip.start_file("set/a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&content()).unwrap();
    zip.finish().unwrap();
    let unpack = |file: &DataFile| unpack(&archive, "set", file, folder.path());
    let got = unpack(&DataFile { name: "a.txt", sha256: None }).unwrap();
    assert_eq!(got, Got { path: folder.path().join("a.txt"), bytes: 300_000, sha256: sum(&content()) });
    assert_eq!(fs::read(&got.path).unwrap(), content());
    let other = "0000000000000000000000000000000000000000000000000000000000000000";
    assert!(unpack(&DataFile { name: "a.txt", sha256: Some(other) }).unwrap_err().to_string().contains("changed at its source"));
    assert!(!got.path.exists());
    assert!(unpack(&DataFile { name: "b.txt", sha256: None }).unwrap_err().to_string().contains("cannot be unpacked"));
    fs::write(&archive, &content()[..500]).unwrap();
    assert!(unpack(&DataFile { name: "a.txt", sha256: None }).unwrap_err().to_string().contains("cannot be unpacked"));
}

#[test]
fn an_existing_data_set_is_not_downloaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let set = Download {
        name: "set",
        about: "",
        url: "http://127.0.0.1:1/none",
        sha256: "",
        files: &[DataFile { name: "a.txt", sha256: Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") }],
    };
    fs::create_dir(folder.path().join("set")).unwrap();
    fs::write(folder.path().join("set/a.txt"), "abc").unwrap();
    let client = Client::new(1, Duration::ZERO);
    let got = get(&set, folder.path(), &client, &mut |_| {}).unwrap();
    assert_eq!((got.len(), got[0].bytes), (1, 3));
    fs::write(folder.path().join("set/a.txt"), "abd").unwrap();
    assert!(get(&set, folder.path(), &client, &mut |_| {}).unwrap_err().to_string().contains("127.0.0.1:1"));
    assert!(find("tinyshakespear").unwrap_err().to_string().contains("wikitext-103"));
    assert_eq!(find("wikitext-2").unwrap().files.len(), 3);
}

#[test]
fn the_known_sums_are_those_of_the_published_files() {
    let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    for set in &DATA_SETS {
        let home = shared.join("data").join(set.name);
        for file in set.files.iter().filter(|file| file.sha256.is_some()) {
            let path = home.join(file.name);
            if path.is_file() {
                assert_eq!(inspect(&path).unwrap().sha256, file.sha256.unwrap(), "{}", path.display());
            } else {
                eprintln!("skipped: {} is not there (set HH_SHARED)", path.display());
            }
        }
    }
}
