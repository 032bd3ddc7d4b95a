//! One thread reads a prompt; two others continue its state at the same time, over the same weights:
//!
//! ```sh
//! cargo run --release -p hh --example threads -- [MODEL.safetensors]
//! ```

use hh::{Error, GenerateOptions, SamplerConfig, TextModel};
use std::{env, path::PathBuf, thread};

fn main() -> Result<(), Error> {
    // By default the model of the firmware: 262,350 parameters trained on tinyshakespeare, in q8.
    let own = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware/model.safetensors"));
    let model = TextModel::from_file(env::args().nth(1).map_or_else(own, PathBuf::from))?;
    let mut session = model.session()?;
    session.prefill("JULIET:\n")?;
    let state = session.snapshot()?;

    let continue_with = |seed| -> Result<String, Error> {
        let mut session = model.session()?;
        session.restore(&state)?;
        let sampler = SamplerConfig { temperature: 0.8, seed, ..SamplerConfig::default() };
        session.generate(&GenerateOptions { max_tokens: 100, sampler, ..GenerateOptions::default() })?.collect()
    };
    let [first, second] = thread::scope(|scope| {
        let threads = [1, 2].map(|seed| scope.spawn(move || continue_with(seed)));
        threads.map(|thread| thread.join().expect("the thread returns"))
    });
    println!("--- thread 1 ---\nJULIET:\n{}\n--- thread 2 ---\nJULIET:\n{}", first?, second?);
    Ok(())
}
