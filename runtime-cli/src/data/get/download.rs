use super::inspect;
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use rustls::crypto::CryptoProvider;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::WithoutBody;

/// Progress of a download.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes downloaded so far.
    pub done: u64,
    /// Total bytes, if the server reports them.
    pub total: Option<u64>,
}

/// An HTTP client.
pub struct Client {
    agent: ureq::Agent,
    secure: bool,
    /// Maximum consecutive attempts without progress.
    attempts: u32,
    /// Delay before the second attempt; doubled for each further one.
    pause: Duration,
    /// Sent to the server that is asked, and not to another one that it leads to.
    token: Option<String>,
}

impl Client {
    /// The client of the program: six attempts, proxies from the environment, and the certificates of the PEM file in
    /// `SSL_CERT_FILE`, if set, instead of the built-in ones.
    ///
    /// # Errors
    /// A file that cannot be read or contains no certificate.
    pub fn from_environment() -> Result<Self> {
        let client = Self::new(6, Duration::from_secs(1));
        let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from) else {
            return Ok(client);
        };
        let context = || format!("SSL_CERT_FILE is {}", path.display());
        let pem = files::read_to_string(&path).with_context(context)?;
        client.trusting(pem.as_bytes()).with_context(context)
    }

    /// A client that gives up after `attempts` consecutive attempts without progress, with exponential backoff from `pause`.
    /// Proxies are read from the environment.
    pub fn new(attempts: u32, pause: Duration) -> Self {
        Self { agent: agent(RootCerts::WebPki), secure: provider().is_some(), attempts, pause, token: None }
    }

    /// Asks with this token (`Authorization: Bearer`).
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// Trusts only the certificates of this PEM file.
    ///
    /// # Errors
    /// A file without certificates, or with a damaged one.
    pub fn trusting(self, pem: &[u8]) -> Result<Self> {
        let mut roots = Vec::new();
        for item in parse_pem(pem) {
            if let PemItem::Certificate(root) = item.context("a certificate is damaged")? {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            bail!("the file has no certificate; give a PEM file");
        }
        Ok(Self { agent: agent(roots.into()), ..self })
    }

    /// The text at an address.
    ///
    /// # Errors
    /// A server that cannot be reached, or answers with another status than 200.
    pub(crate) fn text(&self, url: &str) -> Result<String, Failure> {
        let mut response = self.request(self.agent.get(url), url)?;
        match response.status().as_u16() {
            200 => response.body_mut().read_to_string().map_err(|e| Failure::Passing(e.to_string())),
            status => Err(Failure::Status(status)),
        }
    }

    /// The entity tag of a file on the Hub; of one that another server holds, that which the Hub knows it by.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub(crate) fn etag(&self, url: &str) -> Result<String, Failure> {
        let mut url = url.to_owned();
        for _ in 0..4 {
            let request = self.agent.head(&url).config().max_redirects(0).build();
            let response = self.request(request, &url)?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let status = response.status().as_u16();
            match (status, header("X-Linked-Etag").or_else(|| header("ETag"))) {
                (200 | 300..=399, Some(etag)) => return Ok(etag.to_owned()),
                (300..=399, None) => match header("Location") {
                    // Elsewhere on this server: the model has another name.
                    Some(path) if path.starts_with('/') => {
                        let origin = url.find("://").map_or(0, |at| at + 3);
                        let end = url[origin..].find('/').map_or(url.len(), |at| origin + at);
                        url = [&url[..end], path].concat();
                    }
                    _ => break,
                },
                (200, None) => break,
                (status, _) => return Err(Failure::Status(status)),
            }
        }
        Err(Failure::Final(anyhow!("{url} has no entity tag: the server is no Hub, nor a mirror of it")))
    }

    fn request(&self, mut request: ureq::RequestBuilder<WithoutBody>, url: &str) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        if url.starts_with("https:") && !self.secure {
            return Err(Failure::Final(anyhow!("TLS is not supported on this CPU; download {url} by other means")));
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().map_err(|e| match e {
            e if is_untrusted(&e) => Failure::Final(anyhow!(
                "cannot download {url}: {e}; behind a TLS-intercepting proxy, set SSL_CERT_FILE to the file of its certificate"
            )),
            ureq::Error::BadUri(_) | ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => {
                Failure::Final(anyhow!("cannot download {url}: {e}"))
            }
            e => Failure::Passing(e.to_string()),
        })
    }

    /// Downloads a file. It is renamed from `NAME.part` when it is complete and its checksum, if there is one, matches; a later call
    /// resumes a part.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses, another checksum, or a file that cannot be written.
    pub fn download(&self, url: &str, to: &Path, sha256: Option<&str>, progress: &mut dyn FnMut(Progress)) -> Result<()> {
        if url.starts_with("https:") && !self.secure {
            bail!("TLS is not supported on this CPU; download {url} by other means to {}", to.display());
        }
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let (mut failures, mut pause) = (0, self.pause);
        loop {
            let before = length(&part);
            match self.attempt(url, &part, progress) {
                Ok(()) => break,
                Err(Failure::Final(e)) => return Err(e),
                Err(Failure::Status(status)) => bail!("cannot download {url}: the server answers {status}"),
                Err(Failure::Passing(e)) => {
                    if length(&part) > before {
                        (failures, pause) = (0, self.pause);
                    }
                    failures += 1;
                    if failures >= self.attempts {
                        bail!("cannot download {url}: {e}; try again later to resume");
                    }
                    std::thread::sleep(pause);
                    pause *= 2;
                }
            }
        }
        if let Some(sha256) = sha256 {
            let found = inspect(&part)?.sha256;
            if found != sha256 {
                fs::remove_file(&part).with_context(|| format!("cannot delete {}", part.display()))?;
                bail!(
                    "the content of {url} has the SHA-256 {found} instead of {sha256}: it was changed at its source or in transit; it was deleted"
                );
            }
        }
        fs::rename(&part, to)
            .and_then(|()| files::sync_folder(&files::folder_of(to)))
            .map_err(|e| anyhow!("cannot write {}: {}", to.display(), files::remedy(&e)))
    }

    fn attempt(&self, url: &str, part: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Failure> {
        let mut done = length(part);
        let mut request = self.agent.get(url);
        if done > 0 {
            request = request.header("Range", format!("bytes={done}-"));
        }
        let response = self.request(request, url)?;
        let status = response.status().as_u16();
        let begins = |at: u64| {
            let range = response.headers().get("Content-Range").and_then(|v| v.to_str().ok());
            range.is_some_and(|range| range.starts_with(&format!("bytes {at}-")))
        };
        match status {
            200 => done = 0,
            206 if done > 0 && begins(done) => {}
            206 | 416 => {
                // The part belongs to another version of the file.
                discard(part)?;
                return Err(Failure::Passing("the server has another file than before".into()));
            }
            408 | 429 | 500..=599 => return Err(Failure::Passing(format!("the server answers {status}"))),
            404 | 410 => {
                return Err(Failure::Final(anyhow!("cannot download {url}: not found (the server answers {status})")));
            }
            _ => return Err(Failure::Status(status)),
        }
        let total = response.body().content_length().map(|rest| done + rest);
        let unwritable = |e: std::io::Error| Failure::Final(anyhow!("cannot write {}: {}", part.display(), files::remedy(&e)));
        let mut file = OpenOptions::new().create(true).append(done > 0).write(true).truncate(done == 0).open(part).map_err(unwritable)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            progress(Progress { done, total });
            let n = body.read(&mut buffer).map_err(|e| Failure::Passing(format!("the connection was lost after {done} bytes ({e})")))?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n]).map_err(unwritable)?;
            done += n as u64;
        }
        file.sync_all().map_err(unwritable)?;
        match total {
            Some(total) if done < total => Err(Failure::Passing(format!("the connection was lost after {done} of {total} bytes"))),
            _ => Ok(()),
        }
    }
}

fn agent(roots: RootCerts) -> ureq::Agent {
    let mut tls = TlsConfig::builder().root_certs(roots);
    if let Some(provider) = provider() {
        tls = tls.unversioned_rustls_crypto_provider(provider);
    }
    let patience = Some(Duration::from_secs(60));
    ureq::Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .user_agent(concat!("hh-runtime/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .build()
        .new_agent()
}

/// Whether the error is an untrusted server certificate.
fn is_untrusted(e: &ureq::Error) -> bool {
    let cause = match e {
        ureq::Error::Rustls(e) => Some(e),
        ureq::Error::Io(e) => e.get_ref().and_then(|e| e.downcast_ref()),
        _ => None,
    };
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// Why a request failed.
pub(crate) enum Failure {
    /// Another attempt may succeed.
    Passing(String),
    /// The server answered with this status.
    Status(u16),
    /// No attempt can succeed.
    Final(anyhow::Error),
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn discard(part: &Path) -> Result<(), Failure> {
    match fs::remove_file(part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::Final(anyhow!("cannot delete {}: {}", part.display(), files::remedy(&e))))
        }
        _ => Ok(()),
    }
}

/// The TLS cryptography provider, if this CPU supports it; one that builds without a C compiler.
#[cfg(target_arch = "x86_64")]
pub(super) fn provider() -> Option<Arc<CryptoProvider>> {
    let able = is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx");
    able.then(|| Arc::new(rustls_graviola::default_provider()))
}

/// The TLS cryptography provider, if this CPU supports it; one that builds without a C compiler.
#[cfg(target_arch = "aarch64")]
pub(super) fn provider() -> Option<Arc<CryptoProvider>> {
    use std::arch::is_aarch64_feature_detected as has;
    (has!("neon") && has!("aes") && has!("pmull") && has!("sha2")).then(|| Arc::new(rustls_graviola::default_provider()))
}

/// No provider that builds without a C compiler supports this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn provider() -> Option<Arc<CryptoProvider>> {
    None
}
