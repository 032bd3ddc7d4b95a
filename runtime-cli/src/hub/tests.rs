use super::cache::Hub;
use super::*;
use crate::data::get::Client;
use crate::loading::{Source, tests as models};
use hh::hugging_face::WEIGHTS;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The endpoints of the Hub that are asked, on loopback, with one model, `owner/name`, whose weights lie on another path.
struct Server {
    endpoint: String,
    /// The requests, as `GET /path`, with the token where there was one.
    requests: Arc<Mutex<Vec<String>>>,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Server {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files: BTreeMap<_, _> = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let (requests, files) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(files)));
        let (seen, content) = (requests.clone(), files.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines: Vec<_> = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let Some(first) = lines.first() else { continue };
                let line = first.trim_end_matches(" HTTP/1.1").to_owned();
                let token = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("authorization: bearer ").map(str::to_owned));
                seen.lock().unwrap().push(format!("{line}{}", token.map_or(String::new(), |token| format!(" as {token}"))));
                let (head, path) = (line.starts_with("HEAD "), line.split(' ').nth(1).unwrap().to_owned());
                let (status, headers, body) = answer(&path, &content.lock().unwrap());
                let sent = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(sent.as_bytes());
                let _ = if head { Ok(()) } else { stream.write_all(&body) };
            }
        });
        Self { endpoint, requests, files }
    }

    fn hub(&self, cache: &TempDir) -> Hub {
        Hub {
            endpoint: self.endpoint.clone(),
            cache: cache.path().to_owned(),
            offline: false,
            client: Client::new(2, Duration::from_millis(1)).with_token(Some("secret".into())),
        }
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn answer(path: &str, files: &BTreeMap<String, Vec<u8>>) -> (&'static str, String, Vec<u8>) {
    let none = || ("404 Not Found", String::new(), Vec::new());
    if path == "/api/models/owner/gated/revision/main" {
        return ("403 Forbidden", String::new(), Vec::new());
    }
    if path == "/api/models/owner/name/revision/main" || path == "/api/models/owner/name/revision/v1%2Fx" {
        let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({"rfilename": name})).collect();
        let body = serde_json::json!({"id": "owner/name", "sha": COMMIT, "siblings": siblings});
        return ("200 OK", String::new(), body.to_string().into_bytes());
    }
    if let Some(bytes) = path.strip_prefix("/lfs/").and_then(|name| files.get(name)) {
        return ("200 OK", "ETag: \"of the storage\"\r\n".into(), bytes.clone());
    }
    let Some((name, bytes)) = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/")).and_then(|name| files.get_key_value(name))
    else {
        return none();
    };
    let linked = sha256(bytes);
    if name == WEIGHTS {
        let headers = format!("X-Linked-Etag: \"{linked}\"\r\nLocation: /lfs/{name}\r\nX-Repo-Commit: {COMMIT}\r\n");
        return ("302 Found", headers, Vec::new());
    }
    ("200 OK", format!("ETag: W/\"{}\"\r\n", &linked[..40]), bytes.clone())
}

/// The files of an exported model.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("m.safetensors"), folder.path().join("out"));
    fs::write(&source, models::good()).unwrap();
    crate::hugging_face::export(&Source::open(&source).unwrap(), &out, None, false, &Default::default()).unwrap();
    let names = ["config.json", WEIGHTS, "tokenizer.json", "README.md", "modeling_hh.py"];
    names.into_iter().map(|name| (name, fs::read(out.join(name)).unwrap())).collect()
}

fn repository(address: &str) -> Repository {
    Repository::parse(address).unwrap()
}

#[test]
fn a_model_is_downloaded_once_into_the_cache_of_the_other_libraries() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::new(&files()));
    let hub = server.hub(&cache);
    let folder = hub.folder(&repository("hf://owner/name")).unwrap();
    assert_eq!(folder, cache.path().join("models--owner--name/snapshots").join(COMMIT));
    let loaded = Source::open(&folder).unwrap().load(&mut models::cpu(), None).unwrap();
    assert_eq!(loaded.context, 32);
    let home = cache.path().join("models--owner--name");
    assert_eq!(fs::read_to_string(home.join("refs/main")).unwrap(), COMMIT);
    let weights = &files()[1].1;
    assert_eq!(&fs::read(home.join("blobs").join(sha256(weights))).unwrap(), weights);
    #[cfg(unix)]
    assert_eq!(fs::read_link(folder.join(WEIGHTS)).unwrap(), PathBuf::from(format!("../../blobs/{}", sha256(weights))));
    assert!(!folder.join("README.md").exists() && !folder.join("modeling_hh.py").exists(), "nothing is downloaded that is not read");
    let asked = server.requests();
    assert_eq!(asked.len(), 1 + 2 * 3 + 1, "{asked:?}");
    assert!(asked[0] == "GET /api/models/owner/name/revision/main as secret", "{asked:?}");
    // Again: only what the revision is now. A tag of the same commit downloads nothing, and a commit asks nothing.
    hub.folder(&repository("hf://owner/name")).unwrap();
    assert_eq!(hub.folder(&repository("hf://owner/name@v1/x")).unwrap(), folder);
    assert_eq!(hub.folder(&repository(&format!("hf://owner/name@{COMMIT}"))).unwrap(), folder);
    assert_eq!(server.requests().len(), 2);
    // Without a server, what the cache has; without the cache, a sentence.
    let gone = Hub { endpoint: "http://127.0.0.1:9".into(), ..server.hub(&cache) };
    assert_eq!(gone.folder(&repository("hf://owner/name")).unwrap(), folder);
    let offline = Hub { offline: true, ..server.hub(&cache) };
    assert_eq!(offline.folder(&repository("hf://owner/name@v1/x")).unwrap(), folder);
    for (hub, said) in [(&gone, "cannot reach http://127.0.0.1:9"), (&offline, "HF_HUB_OFFLINE is set")] {
        let error = format!("{:#}", hub.folder(&repository("hf://owner/other")).unwrap_err());
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn what_the_hub_does_not_give_is_said_in_one_sentence() {
    let (cache, server) = (tempfile::tempdir().unwrap(), Server::new(&files()));
    let hub = server.hub(&cache);
    let fails = |address: &str, said: &str| {
        let error = format!("{:#}", hub.folder(&repository(address)).unwrap_err());
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    };
    fails("hf://owner/absent", "does not exist (the Hub answers 404)");
    fails("hf://owner/gated", "set HF_TOKEN");
    server.files.lock().unwrap().remove(WEIGHTS);
    fails("hf://owner/name", "has no model.safetensors");
    assert!(!cache.path().join("models--owner--name/refs/main").exists());
    for address in
        ["hf://", "hf://owner", "hf://owner/", "hf://../name", "hf://o/n/m", "hf://owner/name@", "hf://owner/na me", "hf://o/n@../x"]
    {
        let error = Repository::parse(address).unwrap_err().to_string();
        assert!(error.contains("write hf://owner/name"), "{error}");
    }
    assert!(is_address(Path::new("hf://owner/name")) && !is_address(Path::new("hf:/owner/name")));
}
