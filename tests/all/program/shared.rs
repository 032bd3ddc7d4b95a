//! Real data, where the checkout has a `shared` folder beside it, or `HH_SHARED` names one.

use super::{skipped, works};
use std::path::{Path, PathBuf};

fn shared(file: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("HH_SHARED").map_or(beside, PathBuf::from);
    folder.join("data").join(file).canonicalize().ok()
}

#[test]
fn shakespeare_trains_to_what_letters_alone_cannot_tell() {
    let Some(text) = shared("tinyshakespeare/input.txt") else {
        return skipped("there is no data/tinyshakespeare/input.txt in a shared folder");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let size = "--set layers=2 --set hopfield_depths=[2,1] --steps 80 --eval-every 80 --batch 8 --context 32 --holdout 0.02";
    let said = works(folder.path(), &format!("train --data '{}' {size} --out run", text.display()));
    let validation = said.lines().find_map(|l| l.strip_prefix("validation")).expect("a validation loss");
    let nats: f64 = validation.split_whitespace().next().expect("a number").parse().expect("a number");
    // 65 letters alike: 4.17 nats. The letters' own frequencies: 3.3. A leak would be far below 2 this early.
    assert!((2.0..3.2).contains(&nats), "{said}");
}
