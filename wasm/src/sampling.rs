use hh::{GenerateOptions, SamplerConfig};
use wasm_bindgen::prelude::*;

/// How tokens are drawn, and where the text ends.
#[wasm_bindgen]
pub struct Sampling(pub(crate) GenerateOptions);

#[wasm_bindgen]
impl Sampling {
    /// Draws from the filtered distribution; see `SamplerConfig` for the ranges, which `Session.begin` checks.
    #[wasm_bindgen(constructor)]
    pub fn new(temperature: f32, top_k: usize, top_p: f32, min_p: f32, seed: u64) -> Sampling {
        let sampler = SamplerConfig { temperature, top_k, top_p, min_p, seed, ..SamplerConfig::default() };
        Sampling(GenerateOptions { sampler, ..GenerateOptions::default() })
    }

    /// Penalises the newest `window` tokens of the text (64 if not given); a penalty of 1 is off.
    pub fn penalise(&mut self, penalty: f32, window: Option<usize>) {
        let sampler = &mut self.0.sampler;
        sampler.repetition_penalty = penalty;
        sampler.repetition_window = window.unwrap_or(sampler.repetition_window);
    }

    /// Ends the text before this string.
    pub fn stop(&mut self, text: String) {
        self.0.stop.push(text);
    }

    /// Continues past the end-of-text token.
    #[wasm_bindgen(js_name = ignoreEndOfText)]
    pub fn ignore_end_of_text(&mut self) {
        self.0.ignore_end_of_text = true;
    }
}
