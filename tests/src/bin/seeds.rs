//! `cargo run --release -p hh-tests --bin seeds FOLDER`: what the fuzz targets of this project's own formats begin with.

use hh_tests::seeds;
use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).expect("the folder of seeds is the argument");
    let (states, text) = seeds::states();
    for (target, files) in [
        ("checkpoint", seeds::checkpoints()),
        ("shard", seeds::shards()),
        ("state", states.to_vec()),
        ("text_state", vec![text]),
        ("memory", seeds::memories()),
        ("tokenizer", seeds::tokenizers()),
        ("request", seeds::requests()),
        ("npy", seeds::arrays()),
    ] {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        for (i, file) in files.iter().enumerate() {
            fs::write(folder.join(format!("own-{i}")), file)?;
        }
    }
    Ok(())
}
