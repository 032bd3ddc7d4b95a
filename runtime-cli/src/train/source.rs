//! The text of a run: files, tokenizer, split, and the record of its origin for checkpoints.

use super::objective::Objective;
use super::pairs::{Pairs, texts_of};
use super::recipe::{Data, Recipe};
use crate::data::shard::{MANIFEST, ShardFolder};
use crate::data::spool::{Input, STDIN};
use crate::data::{Dataset, TokenStream, ids, texts};
use crate::tokenizers::{Spec, parse_spec};
use crate::{corpus, files};
use anyhow::{Result, bail};
use hh_core::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Name of the built-in corpus, used in place of a file.
pub const BUILTIN: &str = "builtin";

/// The built-in corpus: at most 1 MiB, the same bytes on every machine.
pub fn builtin() -> String {
    corpus::builtin(1, 1 << 20)
}

/// Larger files (in bytes) are identified by their size only, because hashing them takes too long.
const HASHED: u64 = 1 << 30;

/// One file of a text, identified by name, size and hash.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its file name.
    pub name: String,
    /// Its size in bytes; for shards, that of their manifest.
    pub bytes: u64,
    /// Hexadecimal SHA-256 of its content; absent for files larger than 1 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Training and held-out data.
pub enum TrainingData {
    /// A stream of token ids.
    Tokens(Dataset),
    /// Paired texts, or texts with a teacher's embeddings.
    Pairs(Pairs),
}

/// A tokenized and split text.
pub struct Source {
    /// The data.
    pub training_data: TrainingData,
    /// The tokenizer.
    pub tokenizer: Box<dyn Tokenizer>,
    /// The files.
    pub origins: Vec<SourceFile>,
    /// How the text was split, as a phrase.
    pub split: String,
}

impl Source {
    /// Reads the text. `known` is the tokenizer of a resumed run; without it, one is built or read.
    ///
    /// # Errors
    /// A file that cannot be read, a text that is too short, or a tokenizer that contradicts the files.
    pub fn open(data: &Data, objective: Option<&Objective>, known: Option<Box<dyn Tokenizer>>) -> Result<Self> {
        let teacher = objective.and_then(|objective| objective.teacher.as_ref());
        let origins = data.files.iter().chain(&data.validation).chain(teacher).map(|path| SourceFile::of(path)).collect::<Result<_>>()?;
        if let Some(objective) = objective {
            let tokenizer = match known {
                Some(tokenizer) => tokenizer,
                None => parse_spec(data.tokenizer.as_deref().unwrap_or("bytes"))?.build(texts_of(data, objective)?)?,
            };
            let training_data = TrainingData::Pairs(Pairs::open(data, objective, &*tokenizer)?);
            let split = format!("the last {} of the rows are held out", data.holdout.unwrap_or_default());
            return Ok(Self { training_data, tokenizer, origins, split });
        }
        let sharded = shards(&data.files, "--data")?;
        let (train, tokenizer) = match sharded {
            Some(folder) => {
                if let Some(spec) = &data.tokenizer {
                    bail!("{} has its own tokenizer, which --tokenizer {spec} contradicts; leave out --tokenizer", folder.display());
                }
                let (stream, tokenizer) = TokenStream::from_shards(ShardFolder::open(folder)?);
                if known.is_some_and(|known| known.to_json() != tokenizer.to_json()) {
                    bail!("{} was written with another tokenizer than that of the run; use the original shards", folder.display());
                }
                (stream, tokenizer)
            }
            None => {
                let tokenizer = match known {
                    Some(tokenizer) => tokenizer,
                    None => learn(data)?,
                };
                (stream(&*tokenizer, &data.files, &data.text_field)?, tokenizer)
            }
        };
        let (dataset, split) = match data.holdout {
            Some(part) => (Dataset::split(&train, part)?, format!("the last {part} of the text are held out")),
            None => (Dataset { train, validation: held_out(data, &*tokenizer)? }, "separate files are held out".into()),
        };
        Ok(Self { training_data: TrainingData::Tokens(dataset), tokenizer, origins, split })
    }

    /// Checks that a recipe can train on it.
    ///
    /// # Errors
    /// A text that is too short, and the errors of [`Pairs::fits`].
    pub fn require(&self, recipe: &Recipe) -> Result<()> {
        match &self.training_data {
            TrainingData::Tokens(data) => data.require_context(recipe.train.context),
            TrainingData::Pairs(pairs) => pairs.fits(recipe),
        }
    }
}

/// The folder of shards, if these files are one.
fn shards<'a>(files: &'a [PathBuf], flag: &str) -> Result<Option<&'a Path>> {
    match files {
        [] => bail!("{flag} has no file; give one, or leave out {flag}"),
        [one] if one.is_dir() => Ok(Some(one)),
        _ => match files.iter().find(|path| path.is_dir() || (files.len() > 1 && is_builtin(path))) {
            Some(path) => bail!("{} cannot be combined with other files: leave out the others of {flag}", path.display()),
            None => Ok(None),
        },
    }
}

fn is_builtin(path: &Path) -> bool {
    path.as_os_str() == BUILTIN
}

impl Data {
    /// Makes the paths of its files absolute, so that the stored recipe works from any folder.
    ///
    /// # Errors
    /// A path that a recipe cannot store.
    pub fn make_absolute(&mut self) -> Result<()> {
        let named = |path: &&mut PathBuf| !is_builtin(path) && path.as_os_str() != STDIN;
        for path in self.files.iter_mut().chain(&mut self.validation).filter(named) {
            *path = files::absolute(path)?;
        }
        if let Some(Spec::Bpe { path }) = self.tokenizer.as_deref().map(parse_spec).transpose()? {
            self.tokenizer = Some(Spec::Bpe { path: files::absolute(&path)? }.to_string());
        }
        Ok(())
    }

    /// What is the same text twice, as warnings: files that are trained on more than once, and held-out files that are trained on.
    /// `origins` are those of a [`Source`] of this data.
    pub fn repeated(&self, origins: &[SourceFile]) -> Vec<String> {
        let all: Vec<(&PathBuf, &SourceFile)> = self.files.iter().chain(&self.validation).zip(origins).collect();
        let (trained, held_out) = all.split_at(self.files.len().min(all.len()));
        // Files too large for a hash are compared by their place.
        let same = |a: &(&PathBuf, &SourceFile), b: &(&PathBuf, &SourceFile)| match (&a.1.sha256, &b.1.sha256) {
            (Some(a), Some(b)) => a == b,
            _ => a.1.bytes == b.1.bytes && a.0.canonicalize().is_ok_and(|path| b.0.canonicalize().is_ok_and(|other| path == other)),
        };
        let twice = trained.iter().enumerate().filter_map(|(i, b)| {
            let a = trained[..i].iter().find(|a| same(a, b))?;
            Some(format!("warning: {} and {} have the same content, which is trained on twice", a.0.display(), b.0.display()))
        });
        let leaked = held_out.iter().filter_map(|b| {
            let a = trained.iter().find(|a| same(a, b))?;
            Some(format!(
                "warning: the held-out {} has the content of {}, which is trained on: the validation loss is that of a text learned by heart",
                b.0.display(),
                a.0.display()
            ))
        });
        twice.chain(leaked).collect()
    }
}

fn learn(data: &Data) -> Result<Box<dyn Tokenizer>> {
    let spec = parse_spec(data.tokenizer.as_deref().unwrap_or("chars"))?;
    if !spec.learns() {
        return spec.build(std::iter::empty());
    }
    // Unseen held-out words become <unk>, as in the benchmarks; an unseen held-out character would be an error.
    let also = if spec == Spec::Chars && shards_or_none(&data.validation).is_none() { &data.validation[..] } else { &[] };
    if is_builtin(&data.files[0]) {
        return spec.build([Ok(builtin())].into_iter());
    }
    let paths: Vec<_> = data.files.iter().chain(also).cloned().collect();
    spec.build(texts(&paths, &data.text_field)?)
}

fn shards_or_none(files: &[PathBuf]) -> Option<&Path> {
    files.first().map(PathBuf::as_path).filter(|path| path.is_dir())
}

fn held_out(data: &Data, tokenizer: &dyn Tokenizer) -> Result<TokenStream> {
    let Some(folder) = shards(&data.validation, "--validation")? else {
        return stream(tokenizer, &data.validation, &data.text_field);
    };
    let (stream, other) = TokenStream::from_shards(ShardFolder::open(folder)?);
    if other.to_json() != tokenizer.to_json() {
        bail!("{} was written with another tokenizer than the training text; tokenize it again with the same one", folder.display());
    }
    Ok(stream)
}

fn stream(tokenizer: &dyn Tokenizer, files: &[PathBuf], field: &str) -> Result<TokenStream> {
    if is_builtin(&files[0]) {
        return TokenStream::from_texts(tokenizer, [Ok(builtin())].into_iter());
    }
    TokenStream::collect(ids(tokenizer, files, field)?, tokenizer.vocab_size())
}

impl SourceFile {
    /// Identifies a file, a folder of shards, or `builtin`.
    ///
    /// # Errors
    /// A file or folder that cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        if is_builtin(path) {
            let text = builtin();
            return Ok(Self { name: BUILTIN.into(), bytes: text.len() as u64, sha256: Some(hex(Sha256::digest(text))) });
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let inside = if path.is_dir() { path.join(MANIFEST) } else { path.to_owned() };
        if path.is_dir() && !inside.exists() {
            bail!(
                "{} is a folder without {MANIFEST}, so it is not a folder of shards; give text files, or a folder from `hh-runtime tokenize`",
                path.display()
            );
        }
        let file = Input::open(&inside)?;
        let bytes = file.size()?;
        Ok(Self { name, bytes, sha256: if bytes <= HASHED { Some(hash(file)?) } else { None } })
    }
}

fn hash(mut file: impl Read) -> Result<String> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
