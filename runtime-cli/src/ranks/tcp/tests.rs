use super::*;
use hh_core::backend::{Device, Precision};
use hh_core::collective::{Collective, Staged};
use hh_core::shape::Shape;
use hh_cpu::{Cpu, Threads};
use std::net::TcpListener;
use std::time::Instant;

/// A port that is free now.
fn port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn meeting(port: u16, run: &str) -> Meeting<'_> {
    Meeting { host: "127.0.0.1", port, run, patience: Duration::from_secs(20) }
}

/// Runs `work` on as many connected ranks.
fn ranks<T: Send>(size: usize, work: impl Fn(TcpRank) -> T + Sync) -> Vec<T> {
    let port = port();
    std::thread::scope(|scope| {
        let each = (0..size).rev().map(|rank| {
            let work = &work;
            scope.spawn(move || work(connect(&meeting(port, "a"), rank, size).unwrap()))
        });
        let mut all: Vec<T> = each.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect();
        all.reverse();
        all
    })
}

#[test]
fn tensors_are_summed_over_tcp_with_the_fewest_bytes() {
    for (size, counts) in [(2, [3, 400_000]), (3, [1, 100_003]), (4, [2, 0x100_000])] {
        let numbers =
            |rank: usize, count: usize| -> Vec<f32> { (0..count).map(|i| ((i * (rank + 3)) % 1000) as f32 * 0.37 - 99.0).collect() };
        let found = ranks(size, |peers| {
            let mut cpu = Cpu::<f32>::new(Threads::one());
            let rank = peers.rank();
            let mut staged = Staged::new(peers);
            let mut all = counts.map(|count| {
                let mut tensor = cpu.alloc(Shape::vector(count), Precision::Full).unwrap();
                cpu.upload(&numbers(rank, count), &mut tensor).unwrap();
                tensor
            });
            let [a, b] = &mut all;
            staged.all_reduce(&mut cpu, &mut [a, b]).unwrap();
            let sent = Collective::<Cpu<f32>>::sent(&staged);
            Collective::<Cpu<f32>>::barrier(&mut staged).unwrap();
            let mut text = if rank == 1 { *b"one" } else { *b"___" };
            Collective::<Cpu<f32>>::broadcast(&mut staged, 1, &mut text).unwrap();
            assert_eq!(&text, b"one");
            (all.map(|tensor| tensor.data().to_vec()), sent)
        });
        for (i, count) in counts.into_iter().enumerate() {
            let mut pieces: Vec<f32> = (0..size).flat_map(|rank| numbers(rank, count)).collect();
            hh_core::collective::sum_in_pairs(&mut pieces, count);
            assert!(found.iter().all(|(sums, _)| sums[i] == pieces[..count]), "{size} ranks");
        }
        let least = 8 * (counts[0] + counts[1]) as u64 * (size as u64 - 1);
        let sent: u64 = found.iter().map(|(_, sent)| sent).sum();
        assert!((least..least + 200 * size as u64 * size as u64).contains(&sent), "{size} ranks sent {sent}, the least is {least}");
    }
}

#[test]
fn a_rank_that_ends_is_named() {
    let errors = ranks(3, |mut peers| {
        if peers.rank() == 1 {
            return None;
        }
        // Each of the others waits for the rank that is gone.
        let began = Instant::now();
        let error = (0..100).find_map(|_| peers.broadcast(1, &mut [0]).err()).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
        Some(error.to_string())
    });
    assert_eq!(errors, [Some("rank 1 has ended".to_owned()), None, Some("rank 1 has ended".to_owned())]);
}

#[test]
fn ranks_that_are_not_at_the_same_place_notice() {
    let found = ranks(2, |mut peers| match peers.rank() {
        0 => peers.broadcast(0, &mut [1, 2]).map_err(|e| e.to_string()),
        _ => peers.broadcast(0, &mut [0; 3]).map_err(|e| e.to_string()),
    });
    assert_eq!(found[1], Err("rank 0 is at another place of the run than this one".to_owned()));
}

#[test]
fn other_programs_and_other_runs_at_the_port_are_passed_by() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let speaking = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = taken.accept() {
            if stream.write_all(b"220 mail.example ready, go on\n").is_err() {
                break;
            }
            if std::thread::panicking() {
                break;
            }
        }
    });
    std::thread::scope(|scope| {
        for run in ["a", "b"] {
            for rank in 0..2 {
                scope.spawn(move || {
                    let mut peers = connect(&meeting(port, run), rank, 2).unwrap();
                    let mut own = run.as_bytes().to_vec();
                    peers.broadcast(0, &mut own).unwrap();
                    assert_eq!(own, run.as_bytes());
                    let _ = peers.broadcast(1, &mut own);
                });
            }
        }
    });
    drop(speaking);
}

#[test]
fn a_rank_that_does_not_come_or_comes_twice_is_named() {
    let short = |port| Meeting { patience: Duration::from_millis(300), ..meeting(port, "a") };
    let error = connect(&short(port()), 0, 2).err().unwrap().to_string();
    assert!(error.contains("rank 1 did not come: 0 of 1 ranks connected"), "{error}");
    let error = connect(&short(port()), 1, 2).err().unwrap().to_string();
    assert!(error.contains("rank 0 did not answer at 127.0.0.1"), "{error}");
    let port = port();
    std::thread::scope(|scope| {
        let twice = [1, 1].map(|rank| scope.spawn(move || connect(&meeting(port, "a"), rank, 3).err()));
        let error = connect(&meeting(port, "a"), 0, 3).err().unwrap().to_string();
        assert!(error.contains("two processes have rank 1"), "{error}");
        for other in twice {
            let error = other.join().unwrap().unwrap().to_string();
            assert!(error.contains("rank 0 ended while the ranks were connecting"), "{error}");
        }
    });
}
