//! The model card.

use crate::budget::parameters;
use crate::export::Outgoing;
use serde_json::{Value, json};
use std::path::Path;

/// What a user says about a model for its card.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Labels {
    /// Licence of the weights for the model card, as the Hub spells it: mit, apache-2.0, cc-by-sa-4.0
    #[arg(long, value_name = "LICENCE", conflicts_with = "out", help_heading = "Hugging Face")]
    pub license: Option<String>,
    /// Language of the texts for the model card, ISO 639-1: en; several with commas
    #[arg(long, value_name = "CODE", value_delimiter = ',', conflicts_with = "out", help_heading = "Hugging Face")]
    pub language: Vec<String>,
}

/// `README.md` of a folder: YAML for the Hub, then what the model is and lines that run it.
pub(super) fn text(labels: &Labels, out: &Path, outgoing: &Outgoing<'_>, is_embedder: bool) -> String {
    let name = out.file_name().map_or("model".into(), |name| name.to_string_lossy());
    let library = if is_embedder { "sentence-transformers" } else { "transformers" };
    let task = if is_embedder { "sentence-similarity" } else { "text-generation" };
    let mut tags = vec!["hh", "custom_code", "state-space", "hopfield"];
    tags.extend(is_embedder.then_some(["sentence-transformers", "feature-extraction", "sentence-similarity"]).into_iter().flatten());
    let mut front = vec![("library_name", json!(library)), ("pipeline_tag", json!(task)), ("tags", json!(tags))];
    front.extend(labels.license.as_ref().map(|license| ("license", json!(license))));
    if !labels.language.is_empty() {
        front.push(("language", json!(labels.language)));
    }
    front.extend(result(&name, task, outgoing).map(|index| ("model-index", index)));
    // A line of JSON is YAML.
    let front: String = front.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let c = &outgoing.config;
    let paths: Vec<_> = ["state space", "Hopfield memory", "attention"]
        .into_iter()
        .enumerate()
        .filter(|(path, _)| (0..c.layers).any(|layer| c.on(layer)[*path]))
        .map(|(_, name)| name)
        .collect();
    let use_it = if is_embedder { SENTENCES } else { GENERATION };
    format!(
        "---\n{front}---\n\n# {name}\n\nA model of [hh](https://github.com/hh-lm/hh) with {:.2}M parameters: {} layers of width {} with {}, \
         vocabulary {}, trained on sequences of {} tokens.\n{}{use_it}\n\
         The model is defined in `modeling_hh.py` of this folder, so the libraries ask for `trust_remote_code=True`. It computes in f32, \
         as hh does, unless another `dtype` is given. hh itself reads this folder: `hh-runtime info .`\n",
        parameters(c) as f64 / 1e6,
        c.layers,
        c.width,
        paths.join(", "),
        c.vocab_size,
        hh::trained_context(&outgoing.metadata),
        if outgoing.is_quantised() { "\nThe weights were block-quantised; they are widened here to the same values.\n" } else { "" },
    )
}

const SENTENCES: &str = "
```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(\".\", trust_remote_code=True)
passages = model.encode_document([\"A cat sits on the mat.\", \"Shares fell on Monday.\"])
print(model.similarity(model.encode_query([\"Where is the cat?\"]), passages))
```
";

const GENERATION: &str = "
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(\".\", trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(\".\", trust_remote_code=True)
ids = tokenizer(\"Anna \", return_tensors=\"pt\")
print(tokenizer.decode(model.generate(**ids, max_new_tokens=100, do_sample=True, top_k=40)[0]))
```

There is no cache: each step computes the text again.
";

/// The validation that a checkpoint records, as a `model-index`.
fn result(name: &str, task: &str, outgoing: &Outgoing<'_>) -> Option<Value> {
    let value = |key: &str| outgoing.metadata.get(key)?.parse::<f64>().ok();
    let (kind, measured, value) = match (value("validation_nll"), value("validation_loss")) {
        (Some(nll), _) => ("nll", "Negative log-likelihood in nats per token", nll),
        (None, Some(loss)) => ("loss", "Validation loss", loss),
        (None, None) => return None,
    };
    let files: Option<Vec<Value>> = outgoing.metadata.get("data").and_then(|json| serde_json::from_str(json).ok());
    let files: Vec<_> = files.iter().flatten().filter_map(|file| file["name"].as_str()).collect();
    let data = if files.is_empty() { "held-out text".to_owned() } else { format!("held-out part of {}", files.join(", ")) };
    Some(json!([{"name": name, "results": [{
        "task": {"type": task},
        "dataset": {"type": "held-out", "name": data},
        "metrics": [{"type": kind, "name": measured, "value": value}],
    }]}]))
}
