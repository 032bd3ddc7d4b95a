//! A text that another machine began: read from a file, continued, and saved for the next machine.

use crate::{host, load};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::ops::Deref;
use hh_core::{
    error::Error,
    sample::{Sampler, SamplerConfig, SamplerState},
    session::{Options, Session},
    state::{RECENT, TextState, identity},
    tokenizer::Tokenizer,
    weights::Model,
};
use hh_cpu::{Cpu, Tensor};

/// Continues the text of the state in the file `from` by `tokens` tokens, as `hh-runtime sample --state` does, saves its state in the
/// file `to` and returns what it wrote.
///
/// # Errors
/// A sentence for a file that cannot be read or written, and for a state of another model.
pub fn run(from: &str, to: &str, tokens: usize, sampling: SamplerConfig) -> Result<String, String> {
    let said = |e: Error| format!("cannot continue {from}: {e}");
    let (mut cpu, model, words) = load().map_err(said)?;
    // Before there is a state: the largest tensor and the largest file do not fit at the same time.
    let identity = identity(&mut cpu, &model, &*words).map_err(said)?;
    let state = {
        let bytes = host::read(from).map_err(|e| format!("cannot read {from}: {e}"))?;
        TextState::from_bytes(&bytes).map_err(said)?
    };
    if ![0, identity].contains(&state.identity) {
        return Err(format!("cannot continue {from}: it was saved with other weights or another tokenizer"));
    }
    let (context, segments) = (state.state.context(), Some(state.state.segments()));
    let mut session = Session::new(cpu, &*model, Options { context, segments, chunk: 1, ..Options::default() }).map_err(said)?;
    let mut sampler = Sampler::new(sampling, words.vocab_size()).map_err(said)?;
    let (text, state) = advance(state, tokens, &mut session, &mut sampler, &*words).map_err(said)?;
    drop(session);
    host::write(to, &state.to_bytes()).map_err(|e| format!("cannot write {to}: {e}"))?;
    Ok(text)
}

fn advance<M: Deref<Target = Model<Tensor<f32>>>>(
    state: TextState,
    tokens: usize,
    session: &mut Session<Cpu<f32>, M>,
    sampler: &mut Sampler,
    words: &dyn Tokenizer,
) -> Result<(String, TextState), Error> {
    let TextState { identity, state, mut logits, mut recent, mut pending, mut stream, draws } = state;
    session.restore(&state)?;
    // The heap does not hold two.
    drop(state);
    recent.reserve_exact(pending.len() + tokens);
    // Without a repetition penalty the sampler looks at no earlier token.
    sampler.restore(&SamplerState { draws, recent: Vec::new() });
    let mut text = String::new();
    for _ in 0..tokens {
        if !pending.is_empty() {
            session.prefill(&pending)?.clone_into(&mut logits);
            recent.append(&mut pending);
        }
        let token = sampler.next(&logits)?;
        stream.push(words.token_bytes(token).unwrap_or_default(), &mut text);
        pending.push(token);
    }
    recent.drain(..recent.len().saturating_sub(RECENT));
    if !pending.is_empty() {
        logits.clear();
    }
    let state = session.snapshot()?;
    Ok((text, TextState { identity, state, logits, recent, pending, stream, draws: sampler.draws() }))
}
