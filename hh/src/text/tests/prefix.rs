//! Texts that continue from states in a cache are those of sessions that read everything.

use super::{checkpoint, config, model, options, text};
use crate::{Error, PrefixCache, TextBatch, TextModel, TextSession, TextState};
use hh_core::checkpoint::Checkpoint;

const DOCUMENT: usize = 1000;

fn document() -> Vec<u32> {
    (0..DOCUMENT as u32).map(|i| (i * i / 7 + i) % 251).collect()
}

fn read(cache: &PrefixCache, session: &mut TextSession, ids: &[u32]) -> usize {
    cache.prefill(session, ids).unwrap()
}

fn alone(model: &TextModel, ids: &[u32]) -> TextSession {
    let mut session = model.session().unwrap();
    session.prefill_tokens(ids).unwrap();
    session
}

/// The bytes of a state hold every bit that the next token depends on.
fn bytes(session: &mut TextSession) -> Vec<u8> {
    session.snapshot().unwrap().to_bytes()
}

#[test]
fn a_text_continues_from_the_longest_part_that_was_read_before() {
    let (model, cache) = (model(), PrefixCache::new(1 << 30));
    let mut session = model.session().unwrap();
    let document = document();
    assert_eq!(read(&cache, &mut session, &document), 0);
    let mut longer = document.clone();
    longer.extend(b"and a second question".map(u32::from));
    let mut edited = document.clone();
    edited[600] = 7;
    for (ids, known) in [(&document, 896), (&longer, 896), (&edited, 512), (&document[..896].to_vec(), 768), (&document[..20].to_vec(), 0)]
    {
        assert_eq!(read(&cache, &mut session, ids), known, "of {}", ids.len());
        assert_eq!(bytes(&mut session), bytes(&mut alone(&model, ids)), "{known} known of {}", ids.len());
    }
    assert_eq!(read(&cache, &mut session, &longer), 896, "what lies in the session is forgotten first");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.tokens, stats.dropped), (5, 2, 896 * 3 + 512 + 768, 0));
    assert_eq!(stats.states, 7 + 3, "the chunks of the document, and those after the edit");
}

#[test]
fn a_cache_stays_within_its_budget_and_drops_what_was_used_longest_ago() {
    let model = model();
    let (mut session, document) = (model.session().unwrap(), document());
    let all = PrefixCache::new(1 << 30);
    read(&all, &mut session, &document);
    let each = all.stats().bytes / all.stats().states;
    let cache = PrefixCache::new(each * 7 / 2);
    read(&cache, &mut session, &document);
    assert_eq!((cache.stats().states, cache.stats().dropped), (3, 4));
    assert!(cache.stats().bytes <= each * 7 / 2);
    assert_eq!(read(&cache, &mut session, &document[..700]), 640, "the newest three are at 640, 768 and 896");
    let other: Vec<u32> = document[..300].iter().map(|id| id ^ 1).collect();
    read(&cache, &mut session, &other);
    assert_eq!(read(&cache, &mut session, &document[..700]), 640, "it was used last but for the other text");
    assert_eq!(read(&cache, &mut session, &document), 640, "768 and 896 were dropped");
    let none = PrefixCache::new(0);
    read(&none, &mut session, &document);
    assert_eq!((read(&none, &mut session, &document), none.stats().states), (0, 0));
}

#[test]
fn other_weights_and_layouts_find_nothing() {
    let (model, cache) = (model(), PrefixCache::new(1 << 30));
    let document = document();
    read(&cache, &mut model.session().unwrap(), &document);
    let mut other = model.session_with(Some(9), None).unwrap();
    assert_eq!(read(&cache, &mut other, &document), 0);
    let mut other = model.session_with(None, Some(1)).unwrap();
    assert_eq!(read(&cache, &mut other, &document), 0);
    let other = TextModel::from_bytes(&other_weights()).unwrap();
    assert_eq!(read(&cache, &mut other.session().unwrap(), &document), 0);
    let same = TextModel::from_bytes(&checkpoint()).unwrap();
    assert_eq!(read(&cache, &mut same.session().unwrap(), &document), 896, "the weights count, not where they lie");
}

/// The checkpoint with one value changed.
fn other_weights() -> Vec<u8> {
    let mut bytes = checkpoint();
    let last = bytes.len() - 2;
    bytes[last] ^= 0x40;
    assert_eq!(Checkpoint::parse(&bytes).unwrap().config(), &config());
    bytes
}

#[test]
fn a_state_of_other_weights_is_refused_in_a_sentence() {
    let state = alone(&model(), &[1, 2, 3]).snapshot().unwrap();
    let other = TextModel::from_bytes(&other_weights()).unwrap();
    let mut session = alone(&other, &[4]);
    let before = bytes(&mut session);
    for state in [state.clone(), TextState::from_bytes(&state.to_bytes()).unwrap()] {
        let error = session.restore(&state).unwrap_err();
        assert!(matches!(&error, Error::State(message) if message.contains("other weights")), "{error}");
    }
    assert_eq!(bytes(&mut session), before, "nothing has changed");
}

#[test]
fn a_short_text_has_a_short_state() {
    let model = model();
    let mut sizes = [1, 4, 12, 24, 48].map(|n| bytes(&mut alone(&model, &document()[..n])).len() - 4 * n);
    assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2] && sizes[2] < sizes[3], "{sizes:?}");
    sizes.reverse();
    assert_eq!(sizes[0], sizes[1], "a ring that is full stays as it is: {sizes:?}");
}

/// Applies random operations to a session; each leaves the same text behind in another way.
#[test]
fn every_order_of_cut_save_fork_roll_back_and_batch_equals_the_uninterrupted_run() {
    let (model, cache) = (model(), PrefixCache::new(1 << 20));
    let document = document();
    let mut random = 1_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for round in 0..12 {
        let start = 100 + 25 * round;
        let mut whole = alone(&model, &document[..start]);
        let mut session = model.session().unwrap();
        read(&cache, &mut session, &document[..start]);
        let mut decoders = [&whole, &session].map(|s| s.decoder(&options(round as u64)).unwrap());
        for _ in 0..20 {
            match draw(6) {
                0 => {
                    let state = TextState::from_bytes(&bytes(&mut session)).unwrap();
                    session = model.session().unwrap();
                    session.restore(&state).unwrap();
                }
                1 => session = session.fork().unwrap(),
                2 => {
                    let here = session.snapshot().unwrap();
                    text(&mut session, &options(99));
                    session.restore(&here).unwrap();
                }
                3 => session.catch_up().unwrap(),
                4 => {
                    let mut batch = TextBatch::new(&model, 2).unwrap();
                    let mut other = alone(&model, &document[..7]);
                    let decoder = other.decoder(&options(5)).unwrap();
                    batch.join(&mut other, decoder, 9).unwrap();
                    let id = batch.join(&mut session, decoders[1].clone(), 2).unwrap();
                    for _ in 0..2 {
                        let wanted = whole.draw(&mut decoders[0]).unwrap();
                        let found = batch.step().unwrap().into_iter().find(|drawn| drawn.id == id).unwrap();
                        assert_eq!(found.piece.unwrap(), wanted);
                    }
                    decoders[1] = batch.leave(id, Some(&mut session)).unwrap().unwrap();
                }
                _ => assert_eq!(session.draw(&mut decoders[1]).unwrap(), whole.draw(&mut decoders[0]).unwrap()),
            }
        }
        // Whether the newest token is run yet may differ.
        [&mut session, &mut whole].into_iter().for_each(|s| s.catch_up().unwrap());
        assert_eq!(bytes(&mut session), bytes(&mut whole), "round {round}");
    }
}
