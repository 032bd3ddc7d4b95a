//! Folders for the Hugging Face libraries, and models of the Hub.

use super::{command, desk_with_run, is_refusal, refused, words, works};
use std::fs;

#[test]
fn a_folder_does_what_the_run_does_in_every_command() {
    let folder = desk_with_run();
    let here = folder.path();
    let said = works(here, "export run --hf model");
    assert!(said.contains("lossless") && said.contains("names no licence"), "{said}");
    let sampled = |model: &str| works(here, &format!("sample {model} --tokens 40 --seed 3 --temperature 1"));
    assert_eq!(sampled("run"), sampled("model"));
    assert_eq!(sampled("run"), sampled("model/model.safetensors"), "the weights with what lies beside them");
    let scored = |model: &str| works(here, &format!("eval {model} --data text.txt --json"));
    let nll = |model: &str| scored(model).split("\"nll\":").nth(1).map(|rest| rest.split(',').next().map(str::to_owned));
    assert_eq!(nll("run"), nll("model"));
    // One file again, with the bits of an export of the run.
    works(here, "export model back.safetensors");
    works(here, "export run direct.safetensors");
    let read = |name: &str| fs::read(here.join(name)).expect("a checkpoint");
    assert!(read("back.safetensors") == read("direct.safetensors"));
    works(here, "train --from model --config tiny.json --data text.txt --context 16 --steps 1 --out more");
}

#[test]
fn what_is_no_folder_or_no_address_is_refused() {
    let folder = desk_with_run();
    let here = folder.path();
    works(here, "export run --hf model");
    refused(here, "export run --hf model", &["model exists and is not empty"]);
    refused(here, "export run --hf text.txt", &["text.txt is a file"]);
    refused(here, "export run", &["required"]);
    refused(here, "export run out.safetensors --hf other", &["cannot be used with"]);
    refused(here, "export run --hf other --quant q8", &["cannot be used with"]);
    refused(here, "export run out.safetensors --license mit", &["cannot be used with"]);
    refused(here, "info hf://owner", &["hf://owner/name@revision"]);
    let config = fs::read_to_string(here.join("model/config.json")).expect("a configuration");
    fs::write(here.join("model/config.json"), config.replace("\"hh\"", "\"llama\"")).expect("memory");
    for line in ["info model", "sample model", "embed model --input text.txt --output v.npy", "export model x.safetensors"] {
        refused(here, line, &["model/config.json", "of a model of type \"llama\""]);
    }
    let line = "sample hf://owner/name";
    let mut offline = command(here, &words(line));
    offline.env("HF_HUB_OFFLINE", "1").env("HF_HOME", here.join("home"));
    is_refusal(line, &offline.output().expect("the program starts"), &["hf://owner/name@main is not in the cache"]);
    assert!(!here.join("home").exists());
}
