//! A model with an episodic memory: trained whole or on its own, streamed, and given documents that it can forget.

use super::{TRAIN, command, desk, desk_with_run, refused, text_of, words, works};
use std::{fs, path::Path};

/// Validation loss that `eval` prints, in nats per token.
fn nll(folder: &Path, line: &str) -> f64 {
    let said = works(folder, &format!("eval run/best.safetensors {line} --json"));
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    report["results"][0]["nll"].as_f64().expect("a number")
}

/// The same text twice: what comes second has been there before.
fn write_repeating(folder: &Path) {
    let half: String = (0u32..120).map(|i| format!("{} ", (i * i * 7919 + 31 * i) % 9973)).collect();
    fs::write(folder.join("twice.txt"), format!("{half}\n{half}")).expect("a text");
}

#[test]
fn a_memory_of_the_stream_lowers_the_loss_of_a_text_that_repeats() {
    let folder = desk();
    let here = folder.path();
    write_repeating(here);
    works(here, &format!("{TRAIN} --data twice.txt --tokenizer bytes --steps 30 --set episodic_width=8 --out run"));
    let text = "--data twice.txt --split all --context 16";
    let (windows, memory, state) = (nll(here, text), nll(here, &format!("{text} --stream=memory")), nll(here, &format!("{text} --stream")));
    assert!(memory < windows - 0.05, "windows {windows}, with the memory of the stream {memory}");
    assert!(state < windows - 0.05, "windows {windows}, as one stream {state}");
    // A memory of one item forgets what was there before.
    let short = nll(here, &format!("{text} --stream=memory --episodes 1"));
    assert!(memory < short - 0.02, "4096 items {memory}, one item {short}");
}

#[test]
fn a_checkpoint_is_given_a_memory_and_keeps_its_other_weights() {
    let folder = desk_with_run();
    let here = folder.path();
    let only = "train --from run --data text.txt --only episodic --steps 4 --batch 2 --context 16 --threads 1";
    works(here, &format!("{only} --out given"));
    let read = |run: &str| fs::read(here.join(run).join("best.safetensors")).expect("a checkpoint");
    let (before, after) = (read("run"), read("given"));
    let [before, after] = [&before, &after].map(|bytes| safetensors::SafeTensors::deserialize(bytes).expect("a checkpoint"));
    for (name, tensor) in before.tensors() {
        assert_eq!(tensor.data(), after.tensor(&name).expect(&name).data(), "{name}");
    }
    let keys = after.tensor("episodic.key.weight").expect("keys");
    assert_eq!(keys.shape()[0], 64);
    // The rows of a batch run on through the text, with the items of what came before.
    works(here, &format!("{only} --episodic-items 32 --out carried"));
    refused(here, &format!("{TRAIN} --only episodic --out no"), &["--only episodic trains the memory of a model that is there", "--from"]);
    refused(here, &format!("{TRAIN} --episodic-items 5 --out no"), &["the model has no episodic memory to train: set episodic_width"]);
}

#[test]
fn a_memory_file_is_learned_searched_used_and_forgets_exactly() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --data text.txt --tokenizer bytes --steps 4 --set episodic_width=8 --out run"));
    for (name, text) in [("a.txt", "Anna lives in Lisbon.\n"), ("b.txt", "The secret is 4711.\n"), ("c.txt", "Owls hunt at night.\n")] {
        fs::write(here.join(name), text).expect("a text");
    }
    works(here, "memory learn run all.memory a.txt b.txt c.txt --keys q8");
    works(here, "memory learn run never.memory a.txt c.txt --keys q8");
    let list = works(here, "memory list run all.memory");
    assert!(list.contains("b.txt") && list.lines().count() == 4, "{list}");
    let found = works(here, "memory search run all.memory 'Lisbon' --json");
    let line: serde_json::Value = serde_json::from_str(found.lines().next().expect("a line")).expect("JSON");
    assert_eq!((line["document"].as_str(), line["token"].as_str()), (Some("a.txt"), Some("n")), "{found}");
    assert!(line["before"].as_str().is_some_and(|before| before.ends_with("in Lisbo")), "{found}");
    let near = works(here, "memory search run all.memory --like 'The secret is ' -n 1 --json");
    let near: serde_json::Value = serde_json::from_str(near.trim()).expect("JSON");
    assert_eq!((near["document"].as_str(), near["token"].as_str()), (Some("b.txt"), Some("4")), "{near}");
    assert!(near["cosine"].as_f64().is_some_and(|cosine| cosine > 0.99), "{near}");

    let output =
        command(here, &words("sample run --memory all.memory --prompt 'Anna lives' -n 12 --votes")).output().expect("the program starts");
    let votes = text_of(&output.stderr);
    assert!(output.status.success() && votes.lines().filter(|line| line.contains(" from ")).count() == 12, "{votes}");
    let lines = works(here, "memory export run all.memory");
    let uses: u64 =
        lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["uses"].as_u64().expect("a number")).sum();
    assert!((1..=12).contains(&uses), "a use for each token that a document spoke for: {uses}");
    assert_eq!(lines.lines().count(), 21 + 19 + 19);

    works(here, "memory forget run all.memory b.txt");
    let read = |name: &str| fs::read(here.join(name)).expect("a memory");
    assert!(read("all.memory") == read("never.memory"), "the bytes of a memory that never saw the document");
    refused(here, "memory forget run all.memory b.txt", &["the memory has no document \"b.txt\"", "\"a.txt\", \"c.txt\""]);
}

#[test]
fn the_items_of_a_saved_state_are_its_text() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --data text.txt --tokenizer bytes --steps 4 --set episodic_width=8 --out run"));
    works(here, "sample run --prompt 'Anna lives here' -n 5 --state tale");
    let found = works(here, "memory search run tale 'lives h' --json");
    assert!(found.contains("\"token\":\"h\""), "{found}");
    assert!(works(here, "memory list run tale").contains("state"));
    refused(here, "memory forget run tale state", &["what its layers remember cannot be taken out"]);
    refused(here, "memory learn run tale text.txt", &["tale is a state"]);
    fs::write(here.join("junk"), "no memory").expect("a file");
    refused(here, "memory list run junk", &["cannot use junk", "these bytes are no memory"]);
    let mut cut = fs::read(here.join("tale")).expect("a state");
    cut.truncate(100);
    fs::write(here.join("cut"), cut).expect("a file");
    refused(here, "memory list run cut", &["cannot use cut"]);
}

#[test]
fn a_model_without_a_memory_is_told_how_to_get_one() {
    let folder = desk_with_run();
    let here = folder.path();
    refused(here, "memory learn run m text.txt", &["no episodic memory", "train --from CHECKPOINT --only episodic"]);
    refused(here, "sample run --votes -n 2", &["--votes needs a model with an episodic memory"]);
    refused(here, "eval run --stream=memory", &["--stream=memory needs a model with an episodic memory"]);
}
