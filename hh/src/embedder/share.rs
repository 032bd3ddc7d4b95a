//! Work that several threads share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, thread};

/// `work(0) … work(tasks − 1)` in order, on at most `threads` threads, the calling one among them; each makes itself tools
/// with `begin`. Of several errors the one of the first task comes back, whatever the threads.
pub(super) fn in_order<S, T: Send, E: Send>(
    threads: usize,
    tasks: usize,
    begin: impl Fn() -> Result<S, E> + Sync,
    work: impl Fn(&mut S, usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    // Tasks are begun in order, so all those before a task that fails are done in the end.
    let next = AtomicUsize::new(0);
    let some = || -> Vec<(usize, Result<T, E>)> {
        let mut done = Vec::new();
        let mut tools = None;
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return done;
            }
            let result = match &mut tools {
                Some(tools) => work(tools, task),
                None => begin().and_then(|made| work(tools.insert(made), task)),
            };
            let failed = result.is_err();
            done.push((task, result));
            if failed {
                next.store(tasks, Ordering::Relaxed);
                return done;
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(tasks)).map(|_| scope.spawn(some)).collect();
        let mut done = some();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(task, _)| *task);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn results_come_in_order_and_the_first_error_wins() {
        for threads in [1, 2, 5] {
            let squares = in_order(threads, 50, || Ok::<_, usize>(()), |(), i| Ok(i * i)).unwrap();
            assert!(squares.into_iter().eq((0..50).map(|i| i * i)));
            assert_eq!(in_order(threads, 50, || Ok(()), |(), i| if i % 10 == 7 { Err(i) } else { Ok(()) }), Err(7));
            assert_eq!(in_order(threads, 0, || Err(1), |(), _| Ok(())), Ok(vec![]));
        }
    }
}
