//! Connections: accepted up to a number, closed when they are silent, ended in order when the server stops.

use super::{Server, patient::Patient, routes::router};
use crate::stderr::say;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How often the flag of the signal handler is read.
const POLL: Duration = Duration::from_millis(50);

/// Accepts connections until `stop` is set, then waits for the answers that were begun.
pub(super) async fn serve(listener: TcpListener, server: Arc<Server>, stop: Arc<AtomicBool>) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(server.options.patience);
    let (places, service) = (Arc::new(Semaphore::new(server.options.connections)), router(server.clone()));
    let running = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Most often too many open files: others may close theirs.
                say(format_args!("warning: cannot accept a connection: {e}"));
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection = running.watch(
            builder
                .serve_connection(TokioIo::new(Patient::new(stream, server.options.patience)), TowerToHyperService::new(service.clone())),
        );
        tokio::spawn(async move {
            // A client may break off at any time.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    running.shutdown().await;
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, place))
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        sleep(POLL).await;
    }
}
