//! Bad input: one sentence, exit code 2, nothing lost, no panic.

use super::{RUN, TRAIN, desk, desk_with_run, refused, works};
use std::fs;

#[test]
fn a_text_that_cannot_be_trained_on_is_refused() {
    let folder = desk();
    let here = folder.path();
    let write = |name: &str, content: &[u8]| fs::write(here.join(name), content).expect("memory");
    write("empty.txt", b"");
    write("binary.txt", &(0..=255u8).cycle().take(5000).collect::<Vec<_>>());
    write("latin1.txt", &[&b"caf\xe9 au lait "[..]; 300].concat());
    write("cut.txt", &[&[&b"day "[..]; 500].concat()[..], b"\xe2\x82"].concat());
    write("short.txt", b"too short");
    write("lines.jsonl", b"{\"text\": \"one\"}\n{\"other\": 1}\n");
    write("cut.jsonl", b"{\"text\": \"one\"}\n{\"text\": \"tw");
    write("texts.json", b"[{\"text\": \"one\"}, {\"text\": \"two\"}]");
    write("table.csv", b"id,text\n1,one\n");
    write("not.gz", b"this is no gzip");
    write("not.zst", b"this is no zstandard");
    fs::create_dir(here.join("folder")).expect("memory");
    for (file, said) in [
        ("missing.txt", "no such file"),
        ("empty.txt", "empty"),
        ("binary.txt", "UTF-8"),
        ("latin1.txt", "UTF-8"),
        ("cut.txt", "UTF-8"),
        ("short.txt", "longer text"),
        ("lines.jsonl", "line 2"),
        ("cut.jsonl", "line 2"),
        ("texts.json", "jq -c"),
        ("table.csv", ".jsonl with a field"),
        ("not.gz", "not.gz"),
        ("not.zst", "not.zst"),
        ("folder", "folder"),
    ] {
        refused(here, &format!("train --config tiny.json --context 16 --data {file} --out run"), &[said]);
        if file != "short.txt" {
            refused(here, &format!("tokenize --data {file} --out shards"), &[said]);
        }
    }
}

#[test]
fn a_checkpoint_that_is_damaged_is_refused_by_every_command() {
    let folder = desk_with_run();
    let here = folder.path();
    let whole = fs::read(here.join("run/best.safetensors")).expect("the weights");
    let header = u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    let write = |name: &str, content: &[u8]| fs::write(here.join(name), content).expect("memory");
    write("empty.safetensors", b"");
    write("half.safetensors", &whole[..whole.len() / 2]);
    write("headless.safetensors", &whole[..header / 2]);
    write("text.safetensors", b"this is a text, and no checkpoint of anything");
    let mut nan = whole.clone();
    nan[8 + header..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    write("nan.safetensors", &nan);
    let header_with = |from: &str, to: &str| {
        let text = std::str::from_utf8(&whole[8..8 + header]).expect("JSON");
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), &whole[8 + header..]].concat()
    };
    write("missing-tensor.safetensors", &header_with("\"embed.weight\":", "\"embed.other\":"));
    write("twice.safetensors", &header_with("\"__metadata__\":{", "\"__metadata__\":{\"program\":\"a\",\"program\":\"a\","));
    let mut shapes = whole.clone();
    // The header keeps its length: another width of a head.
    let field = br#"\"head_dim\":4"#;
    let at = shapes.windows(field.len()).position(|w| w == field).expect("a configuration");
    shapes[at + field.len() - 1] = b'2';
    write("shapes.safetensors", &shapes);
    for (file, said) in [
        ("missing", "no such file"),
        ("empty", "empty"),
        ("half", "cut short"),
        ("headless", "cut short"),
        ("text", "not a"),
        ("nan", "NaN"),
        ("shapes", "shape"),
        ("missing-tensor", "embed.weight is missing"),
        ("twice", "\"program\" comes twice"),
    ] {
        for command in ["sample", "eval --data text.txt", "export --dtype f16"] {
            let out = if command.starts_with("export") { " out.safetensors" } else { "" };
            let (verb, flags) = command.split_once(' ').unwrap_or((command, ""));
            refused(here, &format!("{verb} {file}.safetensors{out} {flags}"), &[said]);
        }
    }
}

#[test]
fn a_run_that_is_damaged_is_not_resumed_and_not_harmed() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --steps 3 --out run"));
    let resume = here.join("run/resume.safetensors");
    let whole = fs::read(&resume).expect("the state of the run");
    fs::write(&resume, &whole[..whole.len() / 2]).expect("memory");
    refused(here, "train --resume run --steps 20", &["cut short"]);
    fs::write(&resume, b"").expect("memory");
    refused(here, "train --resume run --steps 20", &["empty"]);
    let mut nan = whole.clone();
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&resume, &nan).expect("memory");
    refused(here, "train --resume run --steps 20", &["cannot resume from", "has the value NaN"]);
    fs::remove_file(&resume).expect("a file");
    refused(here, "train --resume run --steps 20", &["resume.safetensors"]);
    fs::write(&resume, &whole).expect("memory");
    fs::write(here.join("text.txt"), "another text ".repeat(300)).expect("memory");
    refused(here, "train --resume run --steps 20", &["changed"]);
}

#[test]
fn invalid_flags_are_refused() {
    let folder = desk_with_run();
    for (line, said) in [
        ("train --preset char-9m --out x", "char-9m"),
        ("train --preset char-0.8m --config tiny.json --out x", "contradicts"),
        ("train --resume run --out x", "cannot be used with"),
        ("train --resume run --batch 3", "--resume"),
        ("train --resume nowhere", "not a folder"),
        ("train --config nowhere.toml --out x", "no such file"),
        ("train --set layers=0 --out x", "layers"),
        ("train --set layres=3 --out x", "layres"),
        ("train --set layers --out x", "FIELD=VALUE"),
        ("train --steps 0 --out x", "steps"),
        ("train --steps many --out x", "many"),
        ("train --lr -1 --out x", "-1"),
        ("train --lr=-1 --out x", "learning rate"),
        ("train --lr nan --out x", "lr is NaN"),
        ("train --lr 1e39 --out x", "lr is 1000000"),
        ("train --lr 1e-60 --out x", "learning rate"),
        ("train --ema inf --out x", "ema is inf"),
        ("train --holdout nan --out x", "holdout is NaN"),
        ("train --dropout 1 --out x", "dropout"),
        ("train --batch 0 --out x", "batch"),
        ("train --context 0 --out x", "context"),
        ("train --tokenizer morse --out x", "morse"),
        ("train --tokenizer bpe:nowhere.json --out x", "nowhere.json"),
        ("train --backend abacus --out x", "abacus"),
        ("train --threads 0 --out x", "threads"),
        ("train --data text.txt builtin --out x", "cannot be combined"),
        ("train --config tiny.json --data text.txt --out run", "not empty"),
        ("train --config tiny.json --data text.txt --validation text.txt --holdout 0.2 --out x", "only one of them"),
        ("train --nonsense", "--nonsense"),
        ("sample run --batch 2 --state talk", "--batch 2"),
        ("sample run --batch 0", "batch"),
        ("sample run --stop ''", "at least one character"),
        ("sample run --tokens -3", "--tokens"),
        ("sample run --temperature=-1", "temperature"),
        ("sample run --top-p 2", "top_p"),
        ("sample run --prompt a --prompt-file text.txt", "cannot be used with"),
        ("sample run --tokenizer run2", "run2"),
        ("eval run --data text.txt --holdout 2", "held out"),
        ("info nothing-of-the-kind", "nothing-of-the-kind"),
        ("export run run", "folder"),
        ("export run x.safetensors --dtype f8", "f8"),
        ("data get moby-dick", "moby-dick"),
        ("tokenize --data text.txt", "--out"),
        ("nonsense", "nonsense"),
    ] {
        refused(folder.path(), line, &[said]);
    }
}

#[test]
fn held_out_flags_override_those_of_a_recipe() {
    let folder = desk();
    let here = folder.path();
    let recipe = |run: &str| fs::read_to_string(here.join(run).join("config.toml")).expect("a recipe");
    works(here, &format!("{TRAIN} --steps 1 --validation text.txt --out files"));
    assert!(recipe("files").contains("validation = ") && !recipe("files").contains("holdout"));
    works(here, "train --config files/config.toml --holdout 0.3 --out part");
    assert!(!recipe("part").contains("validation = ") && recipe("part").contains("holdout = 0.3"));
    works(here, "train --config part/config.toml --validation text.txt --out again");
    assert_eq!(recipe("again"), recipe("files"));
    fs::write(here.join("both.toml"), recipe("files") + "holdout = 0.3\n").expect("memory");
    refused(here, "train --config both.toml --out x", &["only one of them"]);
}

#[test]
fn a_run_that_fails_before_its_first_checkpoint_leaves_its_folder_free() {
    let folder = desk();
    let here = folder.path();
    let diverging = format!("{TRAIN} --steps 100 --lr 1e30 --log-every 1");
    for out in ["", "--out run", "--out one/two"] {
        refused(here, &format!("{diverging} {out}"), &["diverged", "no checkpoint was saved"]);
    }
    fs::create_dir(here.join("mine")).expect("memory");
    refused(here, &format!("{diverging} --out mine"), &["diverged"]);
    works(here, &format!("{TRAIN} --steps 1 --out mine"));
}

#[test]
fn a_vocabulary_that_lacks_a_character_of_the_prompt_is_named_with_it() {
    refused(RUN.path(), "sample run --prompt 'the €'", &["€"]);
    let folder = desk_with_run();
    fs::write(folder.path().join("other.txt"), "12345 ".repeat(100)).expect("memory");
    refused(folder.path(), "eval run --data other.txt", &["1"]);
}

#[test]
fn texts_longer_than_the_learned_positions_are_refused() {
    let folder = desk();
    let here = folder.path();
    let learned = format!("{TRAIN} --steps 2 --set positions=learned --set max_len=16");
    works(here, &format!("{learned} --out run"));
    works(here, "sample run --prompt the --tokens 10");
    refused(here, "sample run --prompt the --tokens 100", &["learned positions for 16"]);
    refused(here, "eval run --data text.txt --context 17", &["16"]);
    refused(here, &format!("{} --out long", learned.replace("--context 16", "--context 17")), &["16"]);
}

#[test]
fn a_state_that_is_not_of_this_model_is_refused() {
    let folder = desk_with_run();
    let here = folder.path();
    works(here, "sample run --tokens 5 --state talk");
    let talk = fs::read(here.join("talk")).expect("a state");
    fs::write(here.join("half"), &talk[..talk.len() / 2]).expect("memory");
    refused(here, "sample run --tokens 5 --state half", &["cut short"]);
    refused(here, "sample run --tokens 5 --state text.txt", &["text.txt"]);
    works(here, &format!("{TRAIN} --steps 3 --out other"));
    refused(here, "sample other --tokens 5 --state talk", &["cannot use talk with other", "other weights or another tokenizer"]);
}

#[test]
fn shards_that_are_damaged_are_refused() {
    let folder = desk();
    let here = folder.path();
    works(here, "tokenize --data text.txt --out shards");
    refused(here, "tokenize --data text.txt --out shards", &["shards"]);
    let shard = here.join("shards/shard-00000.ids");
    let whole = fs::read(&shard).expect("a shard");
    let check = |content: &[u8], said: &str| {
        fs::write(&shard, content).expect("memory");
        refused(here, "train --config tiny.json --context 16 --data shards --out run", &["shard-00000", said]);
    };
    check(&whole[..whole.len() / 2], "cut off");
    check(b"", "not a shard");
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    check(&damaged, "damaged");
    let mut outside = whole.clone();
    outside[200] = 0xff;
    fs::write(&shard, &outside).expect("memory");
    refused(here, "eval nowhere --data shards", &["nowhere"]);
}
