//! Continuous batching: one thread draws a token of every text at a time, and texts join and leave between any two tokens.

use super::stream::{Pause, Stream};
use crate::serve::{metrics::Metrics, turns::Turns};
use crate::stderr::say;
use anyhow::{Context, Result};
use hh::{Error, TextBatch, TextModel};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Tokens of a text before it makes way for one that waits.
const SHARE: usize = 64;

/// The texts that are continued together.
pub(in crate::serve) struct Batch {
    inbox: Sender<Join>,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The right to be read and drawn: there are a few more than rows of the batch, so that one is read while others are drawn.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A text that joins, and who gets it back.
struct Join {
    stream: Stream,
    back: oneshot::Sender<(Stream, Result<Pause, Error>)>,
}

/// A text of the batch.
struct Row {
    join: Join,
    /// Tokens since it joined.
    drawn: usize,
}

impl Batch {
    /// A batch of up to `rows` texts, whose steps use `threads` threads and take a turn each.
    ///
    /// # Errors
    /// Too little memory, or a thread that cannot be started.
    pub(in crate::serve) fn start(
        model: TextModel,
        rows: usize,
        threads: usize,
        turns: Arc<Turns>,
        metrics: Arc<Metrics>,
        handle: Handle,
    ) -> Result<Self> {
        let model = model.with_threads(threads);
        let (inbox, joins) = channel();
        let mut next = Some(Drawing::new(&model, rows, metrics.clone())?);
        let seen = metrics.clone();
        let run = move || {
            while let Some(mut drawing) = next.take() {
                if catch_unwind(AssertUnwindSafe(|| drawing.run(&joins, &turns, &handle))).is_ok() {
                    return;
                }
                // A defect ends the texts that were drawn together, and no others: their requests learn of it as their rows are dropped.
                say(format_args!("drawing texts failed; {} texts are lost and drawing begins again", drawing.rows.len()));
                drop(drawing);
                seen.running(0);
                next = Drawing::new(&model, rows, seen.clone()).inspect_err(|e| say(format_args!("drawing cannot begin again: {e}"))).ok();
            }
        };
        thread::Builder::new().name("decoding".into()).spawn(run).context("cannot start the decoding thread")?;
        Ok(Self { inbox, places: Arc::new(Semaphore::new(rows + threads)), metrics })
    }

    /// Waits for a place, in the order of asking.
    pub(super) async fn place(&self) -> Result<Place> {
        let _waiting = self.metrics.waiting();
        Ok(Place { _permit: self.places.clone().acquire_owned().await? })
    }

    /// Draws a text until it pauses.
    ///
    /// # Errors
    /// A defect while texts were drawn, which loses this one; a decoding thread that has ended.
    pub(super) async fn draw(&self, stream: Stream) -> Result<(Stream, Result<Pause, Error>)> {
        let (back, drawn) = oneshot::channel();
        self.inbox.send(Join { stream, back }).ok().context("the decoding thread has ended: restart the server")?;
        drawn.await.context("a defect lost the texts that were drawn: ask again, and please report what the server has printed")
    }
}

/// What the decoding thread has.
struct Drawing {
    batch: TextBatch,
    rows: HashMap<u64, Row>,
    /// Texts that are read and find the batch full.
    waiting: VecDeque<Join>,
    metrics: Arc<Metrics>,
}

impl Drawing {
    fn new(model: &TextModel, rows: usize, metrics: Arc<Metrics>) -> Result<Self> {
        Ok(Self { batch: TextBatch::new(model, rows)?, rows: HashMap::new(), waiting: VecDeque::new(), metrics })
    }

    /// Runs until the server is gone.
    fn run(&mut self, joins: &Receiver<Join>, turns: &Turns, handle: &Handle) {
        loop {
            if self.rows.is_empty() && self.waiting.is_empty() {
                let Ok(join) = joins.recv() else { return };
                self.waiting.push_back(join);
            }
            self.waiting.extend(joins.try_iter());
            turns.run_here(handle, || self.step());
        }
    }

    /// Lets texts join, and draws a token of each.
    fn step(&mut self) {
        while self.batch.has_room()
            && let Some(mut join) = self.waiting.pop_front()
        {
            let Some(decoder) = join.stream.decoder.take() else { continue };
            let tokens = join.stream.left;
            match self.batch.join(&mut join.stream.session, decoder, tokens) {
                Ok(id) => drop(self.rows.insert(id, Row { join, drawn: 0 })),
                Err(e) => join.give_back(Err(e)),
            }
        }
        self.metrics.step(self.rows.len());
        let drawn = match self.batch.step() {
            Ok(drawn) => drawn,
            Err(e) => return self.fail(&e.to_string()),
        };
        let mut waiting = self.waiting.len() + self.metrics.texts_waiting();
        for drawn in drawn {
            let (Some(row), batch) = (self.rows.get_mut(&drawn.id), &mut self.batch) else { continue };
            row.drawn += 1;
            let pause = match drawn.piece {
                Ok(piece) => row.join.stream.send(piece, || batch.rest(drawn.id), &self.metrics).map(Ok),
                Err(e) => Some(Err(e)),
            };
            // A text that has had its share makes way.
            let pause = pause.or_else(|| {
                let share = waiting > 0 && row.drawn >= SHARE;
                waiting -= usize::from(share);
                share.then_some(Ok(Pause::Turn))
            });
            if let Some(pause) = pause {
                self.leave(drawn.id, pause);
            }
        }
        self.metrics.running(self.rows.len());
    }

    fn leave(&mut self, id: u64, pause: Result<Pause, Error>) {
        let Some(Row { mut join, .. }) = self.rows.remove(&id) else { return };
        let into = (!matches!(pause, Ok(Pause::Gone) | Err(_))).then_some(&mut join.stream.session);
        match self.batch.leave(id, into) {
            Ok(decoder) => {
                join.stream.decoder = decoder;
                join.give_back(pause);
            }
            Err(e) => join.give_back(Err(e)),
        }
    }

    /// Ends all texts with an error.
    fn fail(&mut self, message: &str) {
        let ids: Vec<u64> = self.rows.keys().copied().collect();
        for id in ids {
            self.leave(id, Err(Error::State(message.to_owned())));
        }
    }
}

impl Join {
    fn give_back(self, pause: Result<Pause, Error>) {
        // Nobody waits for it if the request was dropped.
        let _ = self.back.send((self.stream, pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh::{GenerateOptions, LoadedModel, SamplerConfig};
    use hh_core::checkpoint::Metadata;
    use hh_core::config::Config;
    use hh_core::model::Model;
    use hh_core::presets::preset;
    use hh_core::tokenizer::{Bytes, Tokenizer};
    use hh_cpu::{Cpu, Threads};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;
    use tokio::runtime::Runtime;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    /// Bytes, with a defect while the flag is set.
    struct Defective(Arc<AtomicBool>);

    impl Tokenizer for Defective {
        fn vocab_size(&self) -> usize {
            Bytes.vocab_size()
        }

        fn encode(&self, text: &str) -> Result<Vec<u32>, hh_core::error::Error> {
            Bytes.encode(text)
        }

        fn token_bytes(&self, id: u32) -> Option<&[u8]> {
            assert!(!self.0.load(Relaxed), "the defect of a test");
            Bytes.token_bytes(id)
        }

        fn to_json(&self) -> String {
            Bytes.to_json()
        }
    }

    #[test]
    fn a_defect_loses_the_texts_that_are_drawn_and_no_later_ones() {
        let defect = Arc::new(AtomicBool::new(true));
        let config = Config { vocab_size: Bytes.vocab_size(), ..preset("char-0.8m").unwrap() };
        let model = Model::init(&mut Cpu::<f32>::new(Threads::one()), config, 1).unwrap();
        let loaded = LoadedModel::with_tokenizer(&Metadata::new(), model, Box::new(Defective(defect.clone()))).unwrap();
        let model = TextModel::from_loaded(Arc::new(loaded));
        let runtime = Runtime::new().unwrap();
        let (turns, metrics) = (Arc::new(Turns::new(1)), Arc::new(Metrics::default()));
        let batch = Batch::start(model.clone(), 4, 1, turns, metrics, runtime.handle().clone()).unwrap();
        let draw = |seed| {
            let mut session = model.session().unwrap();
            session.prefill("a").unwrap();
            let sampler = SamplerConfig { seed, ..SamplerConfig::default() };
            let decoder = Some(session.decoder(&GenerateOptions { sampler, ..GenerateOptions::default() }).unwrap());
            let (client, mut pieces) = mpsc::channel(64);
            let stream = Stream { session, decoder, client, index: 0, asked: None, drawn: 0, left: 20, reason: None };
            let drawn = runtime.block_on(async { timeout(Duration::from_secs(60), batch.draw(stream)).await }).unwrap();
            pieces.close();
            drawn.map(|(stream, pause)| (stream.drawn, pause.is_ok()))
        };
        for seed in 0..2 {
            let error = draw(seed).unwrap_err().to_string();
            assert!(error.contains("a defect lost the texts"), "{error}");
        }
        defect.store(false, Relaxed);
        assert_eq!(draw(2).unwrap(), (20, true));
    }
}
