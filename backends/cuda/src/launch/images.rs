//! Compiled kernels: each is compiled once, several at a time on all cores.

use super::Variant;
use crate::error::DeviceError;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

/// The stem of a source and the variant it is compiled in.
pub(super) type Key = (&'static str, Variant);

/// Makes images, from any thread.
pub(super) trait Compiler: Send + Sync + 'static {
    /// The image, if it was compiled before.
    fn cached(&self, key: Key) -> Option<Vec<u8>>;

    /// Compiles it.
    ///
    /// # Errors
    /// Those of the compiler.
    fn compile(&self, key: Key) -> Result<Vec<u8>, DeviceError>;

    /// What is usually needed with an image that had to be compiled.
    fn along(&self, key: Key) -> Vec<Key>;
}

/// Images by source and variant. A miss means that the cache is cold, so what is usually needed as well is compiled in the
/// background.
pub(super) struct Images<C> {
    shared: Arc<Shared<C>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// What the background was asked for.
    asked: Mutex<HashSet<Key>>,
}

struct Shared<C> {
    compiler: C,
    entries: Mutex<HashMap<Key, Entry>>,
    changed: Condvar,
    stop: AtomicBool,
}

type Image = Result<Arc<Vec<u8>>, DeviceError>;

enum Entry {
    /// By a thread, which notifies `changed`.
    Compiling,
    Done(Image),
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Compiler> Images<C> {
    pub(super) fn new(compiler: C) -> Self {
        let shared = Shared { compiler, entries: Mutex::default(), changed: Condvar::new(), stop: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), workers: Mutex::default(), asked: Mutex::default() }
    }

    /// The image: read, compiled here, or awaited if another thread is compiling it.
    ///
    /// # Errors
    /// Those of the compiler.
    pub(super) fn get(&self, key: Key) -> Image {
        self.shared.get(key, || self.ahead(&self.shared.compiler.along(key)))
    }

    /// Compiles the remaining kernels in the background.
    fn ahead(&self, keys: &[Key]) {
        let mut asked = lock(&self.asked);
        let keys: Arc<[Key]> = keys.iter().copied().filter(|&key| asked.insert(key)).collect();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let next = Arc::new(AtomicUsize::new(0));
        for _ in 0..keys.len().min(cores) {
            let (shared, keys, next) = (self.shared.clone(), keys.clone(), next.clone());
            let work = move || {
                while let Some(&key) = keys.get(next.fetch_add(1, Relaxed)).filter(|_| !shared.stop.load(Relaxed)) {
                    // An error is said when the kernel is needed.
                    let _ = shared.get(key, || ());
                }
            };
            lock(&self.workers).push(thread::spawn(work));
        }
    }
}

impl<C: Compiler> Shared<C> {
    /// `missed` is called before an image is compiled here.
    fn get(&self, key: Key, missed: impl FnOnce()) -> Image {
        let mut entries = lock(&self.entries);
        loop {
            match entries.get(&key) {
                Some(Entry::Done(image)) => return image.clone(),
                Some(Entry::Compiling) => entries = self.changed.wait(entries).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        entries.insert(key, Entry::Compiling);
        drop(entries);
        let compile = || {
            missed();
            self.compiler.compile(key)
        };
        let image = self.compiler.cached(key).map_or_else(compile, Ok).map(Arc::new);
        lock(&self.entries).insert(key, Entry::Done(image.clone()));
        self.changed.notify_all();
        image
    }
}

/// Waits for the images that are being compiled: the compiler's library must not be unloaded meanwhile.
impl<C> Drop for Images<C> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        for worker in std::mem::take(&mut *lock(&self.workers)) {
            let _ = worker.join();
        }
    }
}

/// Runs `work` on each key, on all cores; the first error.
pub(super) fn on_all_cores(keys: &[Key], work: impl Fn(Key) -> Result<(), DeviceError> + Sync) -> Result<(), DeviceError> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(keys.len()) {
            scope.spawn(|| {
                while let Some(&key) = keys.get(next.fetch_add(1, Relaxed)).filter(|_| lock(&failed).is_none()) {
                    if let Err(error) = work(key) {
                        lock(&failed).get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const KEYS: [Key; 3] = [("a", Variant::Plain), ("b", Variant::Plain), ("c", Variant::Plain)];

    /// Counts its calls; `b` and `c` are compiled along with `a`, and each waits until both are being compiled.
    struct Counted {
        calls: AtomicUsize,
        both: Barrier,
    }

    impl Compiler for Arc<Counted> {
        fn cached(&self, _: Key) -> Option<Vec<u8>> {
            None
        }
        fn compile(&self, key: Key) -> Result<Vec<u8>, DeviceError> {
            self.calls.fetch_add(1, Relaxed);
            if key.0 == "a" {
                return Err(DeviceError::Driver("a".into()));
            }
            self.both.wait();
            Ok(key.0.into())
        }
        fn along(&self, key: Key) -> Vec<Key> {
            if key.0 == "a" { KEYS[1..].into() } else { Vec::new() }
        }
    }

    #[test]
    fn images_are_compiled_once_and_several_at_a_time() {
        let compiler = Arc::new(Counted { calls: AtomicUsize::new(0), both: Barrier::new(2) });
        let images = Images::new(compiler.clone());
        assert_eq!(images.get(KEYS[0]), Err(DeviceError::Driver("a".into())));
        // On a machine of one core the background compiles b alone, and this thread c.
        assert_eq!(*images.get(KEYS[2]).unwrap(), b"c");
        assert_eq!(*images.get(KEYS[1]).unwrap(), b"b");
        assert!(images.get(KEYS[0]).is_err());
        assert_eq!(compiler.calls.load(Relaxed), 3);
    }

    #[test]
    fn all_keys_are_worked_on_and_an_error_is_passed_on() {
        let seen = Mutex::new(Vec::new());
        on_all_cores(&KEYS, |key| {
            lock(&seen).push(key);
            Ok(())
        })
        .unwrap();
        assert_eq!(lock(&seen).len(), 3);
        let error = on_all_cores(&KEYS, |key| if key.0 == "b" { Err(DeviceError::NoDriver) } else { Ok(()) });
        assert_eq!(error, Err(DeviceError::NoDriver));
    }
}
