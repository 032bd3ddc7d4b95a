//! Downloads through TLS from a server on loopback, with a certificate for localhost and 127.0.0.1 that is signed by a test
//! authority and valid until 2120.

use super::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const AUTHORITY: &[u8] = include_bytes!("authority.pem");
/// Certificate and key.
const SERVER: &[u8] = include_bytes!("server.pem");

/// Serves one request, or returns the error of the handshake.
fn serve(listener: TcpListener) -> JoinHandle<Result<(), String>> {
    let certificate = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER).unwrap();
    let config = ServerConfig::builder_with_provider(provider().unwrap()).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certificate, key).unwrap());
    std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|e| e.to_string())?;
        }
        let mut lines = BufReader::new(&mut stream).lines();
        while !lines.next().unwrap().unwrap().is_empty() {}
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content().len()).unwrap();
        stream.write_all(&content()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().map_err(|e| e.to_string())
    })
}

/// Downloads with this client and returns the content.
fn download(client: &Client, url: &str, sha256: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.txt");
    client.download(url, &path, Some(sha256), &mut |_| {})?;
    Ok(fs::read(path).unwrap())
}

#[test]
fn only_the_given_certificates_are_trusted() {
    if provider().is_none() {
        eprintln!("skipped: this machine lacks what the cryptography needs");
        return;
    }
    for name in ["localhost", "127.0.0.1"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{name}:{}/file.txt", listener.local_addr().unwrap().port());
        let server = serve(listener);
        let client = Client::new(1, Duration::ZERO).trusting(AUTHORITY).unwrap();
        assert!(download(&client, &url, &sum(&content())).unwrap() == content());
        server.join().unwrap().unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/file.txt", listener.local_addr().unwrap());
    let server = serve(listener);
    // The delays make the test hang if the error is retried.
    let client = Client::new(6, Duration::from_secs(1000));
    let error = download(&client, &url, &sum(&content())).unwrap_err().to_string();
    assert!(error.contains(&url) && error.contains("certificate") && error.contains("SSL_CERT_FILE"), "{error}");
    assert!(server.join().unwrap().is_err(), "the client refuses the server");
}

#[test]
fn a_file_without_certificates_is_not_trusted() {
    let client = || Client::new(1, Duration::ZERO);
    assert!(client().trusting(b"no certificates here").err().unwrap().to_string().contains("no certificate"));
    assert!(client().trusting(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
}

#[test]
fn a_download_from_the_network_is_what_its_sum_says() {
    let [url, sha256] = ["HH_HTTPS_URL", "HH_HTTPS_SHA256"].map(|name| std::env::var(name).ok());
    let (Some(url), Some(sha256)) = (url, sha256) else {
        eprintln!("skipped: HH_HTTPS_URL and HH_HTTPS_SHA256 name no file on a public server");
        return;
    };
    let bytes = download(&Client::from_environment().unwrap(), &url, &sha256).unwrap();
    assert_eq!(sum(&bytes), sha256);
}
