//! How ranks find each other: all others connect with rank 0, which tells them each other's addresses.

use super::TcpRank;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// First bytes that a listener says, so that a rank recognises it. The number is that of the protocol.
const MAGIC: &[u8; 8] = b"hhranks1";
/// Ports that are tried, from the first on, where another program has one.
const PORTS: u16 = 8;
/// Time for one step of the introduction.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where ranks meet.
pub(in crate::ranks) struct Meeting<'a> {
    pub(in crate::ranks) host: &'a str,
    pub(in crate::ranks) port: u16,
    /// Common to the processes of a run.
    pub(in crate::ranks) run: &'a str,
    /// How long a rank waits for the others.
    pub(in crate::ranks) patience: Duration,
}

/// What a listener says first: who it is, and for which run.
fn greeting(meeting: &Meeting<'_>, size: usize) -> [u8; 24] {
    let mut greeting = [0; 24];
    greeting[..8].copy_from_slice(MAGIC);
    greeting[8..].copy_from_slice(&Sha256::digest(format!("{size}{}", meeting.run))[..16]);
    greeting
}

/// Connects rank `rank` of `size` with all others.
///
/// # Errors
/// A host that is unknown, ports that are taken, ranks that do not come in time, and two processes of one rank.
pub(in crate::ranks) fn connect(meeting: &Meeting<'_>, rank: usize, size: usize) -> Result<TcpRank> {
    let until = Instant::now() + meeting.patience;
    let greeting = greeting(meeting, size);
    let mut streams: Vec<Option<TcpStream>> = (0..size).map(|_| None).collect();
    if rank == 0 {
        let listener = listen(meeting)?;
        let mut addresses: Vec<Option<SocketAddr>> = vec![None; size];
        accept(&listener, &greeting, &mut streams, 1..size, until, &mut addresses)?;
        let table: Vec<u8> = addresses[1..].iter().flat_map(|address| to_bytes(address.expect("all have come"))).collect();
        for stream in streams.iter_mut().flatten() {
            stream.write_all(&table).context("a rank left while the ranks were connecting")?;
        }
    } else {
        let (mut first, address) = join(meeting, &greeting, until)?;
        let listener = TcpListener::bind((address, 0)).context("cannot listen for the other ranks")?;
        introduce(&mut first, rank, listener.local_addr()?.port()).with_context(|| left(0))?;
        let mut table = vec![0; 18 * (size - 1)];
        first.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(PATIENCE)))?;
        first.read_exact(&mut table).map_err(|e| {
            let doubled = if e.kind() == ErrorKind::UnexpectedEof { ": it may have met two processes of one rank" } else { "" };
            anyhow!("rank 0 ended while the ranks were connecting{doubled}; its own message says why")
        })?;
        let addresses: Vec<SocketAddr> = table.as_chunks::<18>().0.iter().map(from_bytes).collect();
        streams[0] = Some(first);
        for (other, address) in (1..rank).zip(&addresses) {
            let mut stream = TcpStream::connect_timeout(address, PATIENCE)
                .with_context(|| format!("rank {rank} cannot reach rank {other} at {address}"))?;
            if !greeted(&mut stream, &greeting) {
                bail!("{}", left(other));
            }
            introduce(&mut stream, rank, 0).with_context(|| left(other))?;
            streams[other] = Some(stream);
        }
        accept(&listener, &greeting, &mut streams, rank + 1..size, until, &mut vec![None; size])?;
    }
    TcpRank::new(rank, streams).context("the ranks cannot be connected")
}

fn left(rank: usize) -> String {
    format!("rank {rank} left while the ranks were connecting")
}

/// The listener of rank 0, at the address that the others know it by, or at all where it has another name here.
fn listen(meeting: &Meeting<'_>) -> Result<TcpListener> {
    let mut refused = None;
    for address in resolve(meeting)? {
        for port in ports(meeting.port) {
            let here = match TcpListener::bind((address.ip(), port)) {
                Err(e) if e.kind() == ErrorKind::AddrNotAvailable => {
                    let all: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                    TcpListener::bind((all, port))
                }
                other => other,
            };
            match here {
                Ok(listener) => return Ok(listener),
                Err(e) => refused = Some(e),
            }
        }
    }
    let why = refused.map_or(String::new(), |e| format!(": {e}"));
    let (host, port) = (meeting.host, meeting.port);
    bail!("rank 0 cannot listen at {host}, ports {port} to {}{why}; export another MASTER_PORT", port.saturating_add(PORTS - 1))
}

fn ports(first: u16) -> impl Iterator<Item = u16> + Clone {
    (0..PORTS).filter_map(move |i| first.checked_add(i))
}

fn resolve(meeting: &Meeting<'_>) -> Result<Vec<SocketAddr>> {
    let Meeting { host, port, .. } = meeting;
    let found = (*host, *port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    found.map_err(|e| anyhow!("the host {host:?} of rank 0 is unknown here: {e}; export another MASTER_ADDR"))
}

/// Takes connections until all of these ranks have come; keeps the addresses at which they listen.
fn accept(
    listener: &TcpListener,
    greeting: &[u8],
    streams: &mut [Option<TcpStream>],
    ranks: std::ops::Range<usize>,
    until: Instant,
    addresses: &mut [Option<SocketAddr>],
) -> Result<()> {
    listener.set_nonblocking(true).context("cannot listen for the other ranks")?;
    while let Some(missing) = ranks.clone().find(|&rank| streams[rank].is_none()) {
        if Instant::now() > until {
            let came = ranks.clone().filter(|&rank| streams[rank].is_some()).count();
            bail!(
                "rank {missing} did not come: {came} of {} ranks connected in time; do all run, with the same MASTER_ADDR and MASTER_PORT?",
                ranks.len()
            );
        }
        let (mut stream, address) = match listener.accept() {
            Ok(found) => found,
            Err(_) => {
                sleep(Duration::from_millis(5));
                continue;
            }
        };
        // What does not introduce itself is no rank.
        let Some((rank, port)) = introduced(&mut stream, greeting) else { continue };
        if !ranks.contains(&rank) {
            continue;
        }
        if streams[rank].is_some() {
            bail!("two processes have rank {rank}: is its variable exported once for all of them, or another run using this MASTER_PORT?");
        }
        addresses[rank] = Some(SocketAddr::new(address.ip(), port));
        streams[rank] = Some(stream);
    }
    Ok(())
}

/// Greets whoever has connected; the rank that answers, and its port.
fn introduced(stream: &mut TcpStream, greeting: &[u8]) -> Option<(usize, u16)> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(greeting).ok()?;
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).ok()?;
    let (magic, answer) = answer.split_at(8);
    let (rank, port) = answer.split_at(4);
    (magic == MAGIC).then_some((u32::from_le_bytes(rank.try_into().ok()?) as usize, u16::from_le_bytes(port.try_into().ok()?)))
}

fn introduce(stream: &mut TcpStream, rank: usize, port: u16) -> std::io::Result<()> {
    stream.write_all(&[&MAGIC[..], &(rank as u32).to_le_bytes(), &port.to_le_bytes()].concat())
}

/// Whether what listens there is a rank of this run. Says nothing before it knows.
fn greeted(stream: &mut TcpStream, greeting: &[u8]) -> bool {
    let mut heard = [0; 24];
    stream.set_read_timeout(Some(PATIENCE)).is_ok() && stream.read_exact(&mut heard).is_ok() && heard == greeting
}

/// Connects with rank 0, as soon as it listens; also this side's address.
fn join(meeting: &Meeting<'_>, greeting: &[u8], until: Instant) -> Result<(TcpStream, IpAddr)> {
    loop {
        for address in resolve(meeting)? {
            for port in ports(meeting.port) {
                let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::new(address.ip(), port), PATIENCE) else { continue };
                if greeted(&mut stream, greeting) {
                    let own = stream.local_addr()?.ip();
                    return Ok((stream, own));
                }
            }
        }
        if Instant::now() > until {
            bail!("rank 0 did not answer at {}, port {}; does it run, and is MASTER_ADDR its host?", meeting.host, meeting.port);
        }
        sleep(Duration::from_millis(20));
    }
}

fn to_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8; 18]) -> SocketAddr {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), u16::from_le_bytes([bytes[16], bytes[17]]))
}
