//! What a client asks for, and whether this server can do it.

use crate::serve::{Failure, request::Texts, sessions};
use hh::{GenerateOptions, LoadedModel, SamplerConfig};
use hh_core::config::Positions;
use hh_cpu::Tensor;
use serde::Deserialize;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prompts of a request at most.
const PROMPTS: usize = 128;
/// Texts of a request at most.
const CHOICES: usize = 128;
/// Tokens of a text unless asked otherwise, as OpenAI has it.
const TOKENS: usize = 16;
/// Stop strings at most, as OpenAI has it.
const STOPS: usize = 4;

/// The fields of OpenAI's interface; a field that is null is absent. Unknown ones are ignored, as there.
#[derive(Deserialize)]
pub(in crate::serve) struct Asked {
    model: Option<String>,
    prompt: Option<Texts>,
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<Texts>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<usize>,
    best_of: Option<usize>,
    echo: Option<bool>,
    logprobs: Option<Value>,
    suffix: Option<String>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<Value>,
    /// Not OpenAI's: the name of a text that is kept and that this request goes on with.
    session: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// A request that can be followed.
pub(super) struct Work {
    /// Each prompt as text, to be repeated before the answer, and as ids.
    pub(super) prompts: Vec<(Option<String>, Vec<u32>)>,
    /// Texts for each prompt.
    pub(super) choices: usize,
    /// How the first text is drawn; the seeds of others count on.
    pub(super) options: GenerateOptions,
    /// The session that the prompt is added to.
    pub(super) session: Option<String>,
}

impl Asked {
    /// The model that it names.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether the answer comes piece by piece, and whether its tokens are counted at the end.
    pub(super) fn stream(&self) -> (bool, bool) {
        (self.stream == Some(true), self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true)))
    }

    /// Checks everything that can be checked before the model runs.
    pub(super) fn work(self, model: &LoadedModel<Tensor<f32>>, longest: usize) -> Result<Work, Failure> {
        let choices = self.n.unwrap_or(1);
        let unknown = [
            ("best_of", self.best_of.is_some_and(|n| n != choices)),
            ("logprobs", self.logprobs.is_some_and(|n| !n.is_null() && n != false)),
            ("suffix", self.suffix.is_some_and(|suffix| !suffix.is_empty())),
            ("presence_penalty", self.presence_penalty.is_some_and(|x| x != 0.0)),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|x| x != 0.0)),
            ("logit_bias", self.logit_bias.is_some_and(|bias| bias.as_object().is_none_or(|bias| !bias.is_empty()))),
        ];
        if let Some((field, _)) = unknown.into_iter().find(|(_, asked)| *asked) {
            return Err(Failure::field(field, format!("{field} is not supported: leave it out")));
        }
        let tokens = self.max_tokens.unwrap_or(TOKENS);
        if tokens == 0 {
            return Err(Failure::field("max_tokens", "max_tokens is 0: give 1 or more"));
        }
        let prompt = self.prompt.ok_or_else(|| Failure::field("prompt", "the prompt is missing: give a text or a list of texts"))?;
        let echo = self.echo == Some(true);
        let prompts = prompt.list("prompt", PROMPTS)?.into_iter().map(|text| {
            let ids = model.tokenizer.encode(&text).map_err(|e| Failure::field("prompt", e.to_string()))?;
            Ok((echo.then_some(text), ids))
        });
        let prompts = prompts.collect::<Result<Vec<_>, Failure>>()?;
        if choices == 0 || choices.saturating_mul(prompts.len()) > CHOICES {
            return Err(Failure::field("n", format!("n is {choices} for {} prompts: at most {CHOICES} texts are possible", prompts.len())));
        }
        if let Some(name) = &self.session {
            sessions::check_name(name).map_err(|message| Failure::field("session", message))?;
            if choices != 1 || prompts.len() != 1 {
                return Err(Failure::field("session", "a session goes on with one text: give one prompt, and leave n out"));
            }
        }
        if prompts.iter().any(|(_, ids)| ids.is_empty()) {
            return Err(Failure::field("prompt", "the prompt is empty: give at least one character"));
        }
        check_length(model, prompts.iter().map(|(_, ids)| ids.len()).max().unwrap_or(0), tokens, longest)?;
        let stop = match self.stop {
            None => Vec::new(),
            Some(Texts::Several(list)) if list.is_empty() => list,
            Some(texts) => texts.list("stop", STOPS)?,
        };
        if stop.iter().any(String::is_empty) {
            return Err(Failure::field("stop", "a stop string is empty: leave it out"));
        }
        let seed = self.seed.map_or_else(any_seed, |seed| seed as u64);
        let (temperature, top_p) = (self.temperature.unwrap_or(1.0), self.top_p.unwrap_or(1.0));
        let sampler = SamplerConfig { temperature, top_p, seed, ..SamplerConfig::default() };
        if let Err(e) = sampler.validate() {
            let field = if top_p > 0.0 && top_p <= 1.0 { "temperature" } else { "top_p" };
            return Err(Failure::field(field, e.to_string()));
        }
        Ok(Work {
            prompts,
            choices,
            options: GenerateOptions { max_tokens: tokens, sampler, stop, ignore_end_of_text: false },
            session: self.session,
        })
    }
}

fn check_length(model: &LoadedModel<Tensor<f32>>, prompt: usize, tokens: usize, longest: usize) -> Result<(), Failure> {
    if prompt > longest {
        let message =
            format!("the prompt has {prompt} tokens, and {longest} are allowed: cut it, or start the server with a larger --max-tokens");
        return Err(Failure::too_long("prompt", message));
    }
    let config = &model.model.config;
    let all = prompt.saturating_add(tokens) - 1;
    if config.positions == Positions::Learned && all > config.max_len {
        return Err(Failure::too_long("prompt", format!("the text would have {all} tokens; this model has {} positions", config.max_len)));
    }
    Ok(())
}

/// The seed of a request without one.
fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
