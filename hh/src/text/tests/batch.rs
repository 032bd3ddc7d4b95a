//! Texts in a batch are those of sessions that run alone.

use super::{checkpoint, model, options, text};
use crate::{GenerateOptions, SamplerConfig, TextBatch, TextModel, TextSession};
use hh_cpu::{Cpu, Level, Threads};
use std::collections::BTreeMap;

/// Prompts and options that differ in everything: lengths below and beyond the ring of 24 positions, temperature, penalties,
/// seeds, stop strings.
fn cases(model: &TextModel) -> Vec<(String, GenerateOptions)> {
    let sampler = |seed: u64| SamplerConfig {
        seed,
        temperature: [1.0, 0.0, 0.7][seed as usize % 3],
        top_p: [1.0, 0.9][seed as usize % 2],
        repetition_penalty: [1.0, 1.2][seed as usize % 2],
        ..SamplerConfig::default()
    };
    let mut cases: Vec<_> = (0..12)
        .map(|i| {
            let prompt: String = "a caf\u{e9} in the garden of an old house by the sea".chars().cycle().skip(i).take(1 + 9 * i).collect();
            (prompt, GenerateOptions { sampler: sampler(i as u64), max_tokens: 3 + 7 * i, ..GenerateOptions::default() })
        })
        .collect();
    let (prompt, with_stop) = &mut cases[7];
    let whole: String = model.generate(prompt, with_stop).unwrap().map(Result::unwrap).collect();
    with_stop.stop = vec![whole.chars().skip(9).take(3).collect()];
    cases
}

fn read(model: &TextModel, prompt: &str) -> TextSession {
    let mut session = model.session().unwrap();
    session.prefill(prompt).unwrap();
    session
}

/// Runs the cases in a batch of `most`; in step `n`, `joins(n)` of those that wait may join if there is room.
fn batched(model: &TextModel, cases: &[(String, GenerateOptions)], most: usize, joins: impl Fn(usize) -> usize) -> Vec<String> {
    let mut batch = TextBatch::new(model, most).unwrap();
    let (mut texts, mut of, mut next) = (vec![String::new(); cases.len()], BTreeMap::new(), 0);
    for n in 0.. {
        for _ in 0..joins(n) {
            if let (Some((prompt, options)), true) = (cases.get(next), batch.has_room()) {
                let mut session = read(model, prompt);
                let decoder = session.decoder(options).unwrap();
                of.insert(batch.join(&mut session, decoder, options.max_tokens).unwrap(), next);
                next += 1;
            }
        }
        for drawn in batch.step().unwrap() {
            let text = &mut texts[of[&drawn.id]];
            text.push_str(&drawn.piece.unwrap().text);
            if drawn.ended {
                text.push_str(&batch.rest(drawn.id));
                batch.leave(drawn.id, None).unwrap();
            }
        }
        if next == cases.len() && batch.is_empty() {
            return texts;
        }
    }
    unreachable!()
}

#[test]
fn a_text_is_the_same_alone_and_among_others_that_come_and_go() {
    let model = model();
    let cases = cases(&model);
    let alone: Vec<String> = cases.iter().map(|(prompt, options)| text(&mut read(&model, prompt), options)).collect();
    assert!(alone.iter().filter(|text| text.len() > 9).count() > 8 && alone[7].chars().count() <= 9, "{alone:?}");
    for (most, joins) in [(12, 12), (12, 1), (5, 2), (1, 1)] {
        assert_eq!(batched(&model, &cases, most, |_| joins), alone, "{most} rows, {joins} joining");
    }
    assert_eq!(batched(&model, &cases, 7, |n| usize::from(n % 5 == 3) * 3), alone);
    assert_eq!(batched(&model.clone().with_threads(2), &cases, 12, |n| n), alone);
}

#[test]
fn a_text_that_leaves_a_batch_goes_on_alone_and_comes_back() {
    let model = model();
    let mut whole = read(&model, "a long text that fills the ring");
    let wanted = text(&mut whole, &options(4));
    let mut batch = TextBatch::new(&model, 3).unwrap();
    let (mut other, mut session) = (read(&model, "x"), read(&model, "a long text that fills the ring"));
    let decoder = other.decoder(&options(9)).unwrap();
    batch.join(&mut other, decoder, 1000).unwrap();
    let mut decoder = session.decoder(&options(4)).unwrap();
    let mut found = String::new();
    for round in 0..8 {
        let id = batch.join(&mut session, decoder.clone(), 3).unwrap();
        for n in 0..3 {
            let drawn = batch.step().unwrap().into_iter().find(|drawn| drawn.id == id).unwrap();
            assert_eq!(drawn.ended, n == 2);
            found.push_str(&drawn.piece.unwrap().text);
        }
        decoder = batch.leave(id, Some(&mut session)).unwrap().unwrap();
        if round % 2 == 1 {
            found.push_str(&session.draw(&mut decoder).unwrap().text);
        }
    }
    assert!(wanted.starts_with(&found) && found.len() > 20, "{found:?} of {wanted:?}");
}

#[test]
fn what_cannot_join_is_refused_by_name() {
    let model = model();
    let mut batch = TextBatch::new(&model, 1).unwrap();
    let join = |batch: &mut TextBatch, session: &mut TextSession, tokens| {
        let decoder = session.decoder(&options(1)).unwrap();
        batch.join(session, decoder, tokens).map_err(|e| e.to_string())
    };
    assert!(join(&mut batch, &mut read(&model, "a"), 0).unwrap_err().contains("0 tokens"));
    let mut other = model.session_with(Some(5), None).unwrap();
    other.prefill("a").unwrap();
    assert!(join(&mut batch, &mut other, 1).unwrap_err().contains("another context"));
    assert!(join(&mut batch, &mut TextModel::from_bytes(&checkpoint()).unwrap().session().unwrap(), 1).unwrap_err().contains("prefill"));
    join(&mut batch, &mut read(&model, "a"), 1).unwrap();
    assert!(join(&mut batch, &mut read(&model, "b"), 1).unwrap_err().contains("is full"));
    assert!(TextBatch::new(&model, 0).map(drop).unwrap_err().to_string().contains("0 texts"));
}

#[test]
fn a_portable_model_stays_portable_in_forks_and_batches() {
    let (model, options) = (model().portable(), options(1));
    let cpu = Cpu::with_level(Threads::one(), Level::portable());
    let mut wanted = TextSession::new(cpu, model.loaded().clone(), None, None).unwrap();
    wanted.prefill("caf\u{e9} ").unwrap();
    text(&mut wanted, &options);
    let wanted = wanted.snapshot().unwrap().to_bytes();

    let mut fork = read(&model, "caf\u{e9} ").fork().unwrap();
    text(&mut fork, &options);
    assert!(fork.snapshot().unwrap().to_bytes() == wanted, "of a fork");

    let (mut session, mut batch) = (read(&model, "caf\u{e9} "), TextBatch::new(&model, 3).unwrap());
    let decoder = session.decoder(&options).unwrap();
    let id = batch.join(&mut session, decoder, options.max_tokens).unwrap();
    while batch.active() > 0 {
        batch.step().unwrap();
    }
    batch.leave(id, Some(&mut session)).unwrap();
    assert!(session.snapshot().unwrap().to_bytes() == wanted, "of a batch");
}
