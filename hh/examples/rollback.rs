//! Generates three continuations of one prompt, rolling the recurrent state back in between:
//!
//! ```sh
//! cargo run --release -p hh --example rollback -- [MODEL.safetensors] [PROMPT]
//! ```

use hh::{Error, GenerateOptions, SamplerConfig, TextModel};
use std::{env, path::PathBuf};

fn main() -> Result<(), Error> {
    let mut args = env::args().skip(1);
    // By default the model of the firmware: 262,350 parameters trained on tinyshakespeare, in q8.
    let own = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/model.safetensors"));
    let model = TextModel::from_file(args.next().map_or_else(own, PathBuf::from))?;
    let prompt = args.next().unwrap_or_else(|| "ROMEO:\n".into());

    let mut session = model.session()?;
    session.prefill(&prompt)?;
    let after_prompt = session.snapshot()?;
    println!("state after {} tokens: {} bytes\n", after_prompt.position(), after_prompt.to_bytes().len());
    for seed in 1..=3 {
        session.restore(&after_prompt)?;
        print!("--- seed {seed} ---\n{prompt}");
        let sampler = SamplerConfig { temperature: 0.8, seed, ..SamplerConfig::default() };
        for piece in session.generate(&GenerateOptions { max_tokens: 120, sampler, ..GenerateOptions::default() })? {
            print!("{}", piece?);
        }
        println!();
    }
    Ok(())
}
