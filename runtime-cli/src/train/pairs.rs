//! Data of embedding runs: paired texts, or texts with a teacher's embeddings, in batches of similar length.

use super::objective::{Kind, Objective};
use super::recipe::{Data, Recipe};
use crate::table::{Table, Vectors};
use anyhow::{Context, Result, bail};
use hh_core::rng;
use hh_core::tokenizer::Tokenizer;
use std::sync::Mutex;

/// Random sites of an epoch's order.
const ROWS: u32 = u32::MAX - 1;
const BATCHES: u32 = u32::MAX - 2;
/// Number of batches whose rows are sorted by length together.
const SORTED: usize = 64;

/// Token ids of many texts, concatenated.
#[derive(Default)]
struct Texts {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

/// Rows of texts, split into training and held-out rows.
pub struct Pairs {
    /// Anchors, positives, and hard negatives.
    columns: Vec<Texts>,
    teacher: Option<(Vectors, Vec<usize>)>,
    /// Number of training rows; the rows after them are held out.
    cut: usize,
    /// Cached order of rows, with its epoch, batch size and seed.
    order: Mutex<Option<([u64; 3], Vec<u32>)>>,
}

/// A batch for the trainer.
#[derive(Default)]
pub struct Batch {
    /// The text of each row.
    pub texts: Vec<Vec<u32>>,
    /// The positives of all rows, then their hard negatives.
    pub candidates: Vec<Vec<u32>>,
    /// The teacher's embeddings, concatenated.
    pub teacher: Vec<f32>,
}

impl Texts {
    fn push(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
        self.ends.push(self.ids.len());
    }

    fn get(&self, row: usize) -> &[u32] {
        &self.ids[if row == 0 { 0 } else { self.ends[row - 1] }..self.ends[row]]
    }
}

/// The columns that an objective uses.
fn names(table: &Table, objective: &Objective) -> Result<Vec<String>> {
    let all = || table.columns().map(str::to_owned).collect();
    let names: Vec<String> = objective.columns.clone().unwrap_or_else(all);
    let most = if objective.kind == Kind::Distill { 1 } else { 65 };
    if names.is_empty() || names.len() > most {
        let needed = if most == 1 { "one column of texts" } else { "anchor, positive, and at most 63 hard negatives" };
        bail!("{} has the columns {}; select {needed} with --columns", table.path().display(), names.join(", "));
    }
    Ok(names)
}

/// The texts to build a tokenizer from.
///
/// # Errors
/// A file that cannot be read or lacks the columns.
pub(super) fn texts_of(data: &Data, objective: &Objective) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
    let table = open(data)?;
    let names = names(&table, objective)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let batches = table.texts(&names, 1024)?;
    Ok(batches.flat_map(|batch| match batch {
        Ok(columns) => columns.into_iter().flatten().flatten().map(|text| Ok(text + "\n")).collect::<Vec<_>>(),
        Err(e) => vec![Err(e)],
    }))
}

fn open(data: &Data) -> Result<Table> {
    match &data.files[..] {
        [file] if file.as_os_str() != super::BUILTIN => Table::open(file),
        _ => bail!("embeddings are trained on one file of rows; give a .tsv, .csv, .jsonl, .parquet or .txt as --data"),
    }
}

impl Pairs {
    /// Reads the rows and tokenizes their texts. A row with an empty text is skipped.
    ///
    /// # Errors
    /// A file that cannot be read, a teacher with another number of rows or a value that is not finite, or an invalid held-out
    /// fraction.
    pub fn open(data: &Data, objective: &Objective, tokenizer: &dyn Tokenizer) -> Result<Self> {
        let table = open(data)?;
        let names = names(&table, objective)?;
        let teacher = objective.teacher.as_deref().map(|path| Vectors::open(path, objective.teacher_column.as_deref())).transpose()?;
        if let Some(teacher) = &teacher
            && teacher.rows() as u64 != table.rows()
        {
            bail!(
                "the teacher has {} embeddings, but {} has {} rows; there must be one embedding per row",
                teacher.rows(),
                data.files[0].display(),
                table.rows()
            );
        }
        let prompt = |column: usize| match objective.kind {
            Kind::Contrastive if column == 0 => &objective.query_prompt,
            _ => &objective.document_prompt,
        };
        let mut columns: Vec<Texts> = names.iter().map(|_| Texts::default()).collect();
        let (mut kept, mut row) = (Vec::new(), 0);
        for batch in table.texts(&names.iter().map(String::as_str).collect::<Vec<_>>(), 1024)? {
            let batch = batch?;
            for i in 0..batch[0].len() {
                let encode = |(c, column): (usize, &Vec<Option<String>>)| match column[i].as_deref().map(str::trim) {
                    None | Some("") => Ok(None),
                    Some(text) => tokenizer.encode(&[prompt(c), text].concat()).map(Some),
                };
                let ids: Option<Vec<Vec<u32>>> =
                    batch.iter().enumerate().map(encode).collect::<Result<_, _>>().with_context(|| format!("row {}", row + 1))?;
                if let Some(ids) = ids.filter(|ids| ids.iter().all(|ids| !ids.is_empty())) {
                    ids.iter().zip(&mut columns).for_each(|(ids, column)| column.push(ids));
                    kept.push(row);
                }
                row += 1;
            }
        }
        let part = data.holdout.unwrap_or_default();
        if !(part > 0.0 && part < 1.0 && data.validation.is_empty()) {
            bail!("embedding training needs a held-out split: give --holdout a fraction between 0 and 1, and no --validation");
        }
        if let Some(teacher) = &teacher {
            let mut vector = vec![0.0; teacher.dim()];
            for &row in &kept {
                teacher.row(row, &mut vector);
                if let Some(x) = vector.iter().find(|x| !x.is_finite()) {
                    bail!("the teacher's embedding of row {} has the value {x}; compute it again, or leave the row out", row + 1);
                }
            }
        }
        let cut = (kept.len() as f64 * (1.0 - part)) as usize;
        Ok(Self { columns, teacher: teacher.map(|teacher| (teacher, kept)), cut, order: Mutex::default() })
    }

    /// Checks that a recipe can train on these rows.
    ///
    /// # Errors
    /// Fewer rows than the batch size, a teacher whose embeddings have another dimension than the model's, or one column without
    /// dropout.
    pub fn fits(&self, recipe: &Recipe) -> Result<()> {
        let batch = recipe.train.batch;
        if self.cut < batch || self.held_out() < batch {
            bail!(
                "{} training rows and {} held-out rows are too few for batches of {batch}: change --batch or --holdout",
                self.cut,
                self.held_out()
            );
        }
        if let Some((teacher, _)) = &self.teacher {
            let (dim, own) = (teacher.dim(), recipe.model.vector_dim());
            if dim != own {
                bail!("the teacher's embeddings have {dim} dimensions and the model's {own}: add --set pooled_dim={dim}");
            }
        } else if self.columns.len() == 1 && recipe.train.dropout == 0.0 {
            bail!("with one column, positives are two dropout views (SimCSE): add --dropout 0.1, or a column of positives");
        }
        Ok(())
    }

    /// Number of candidates (positive and hard negatives) per text; 0 with a teacher.
    pub fn candidates(&self) -> usize {
        if self.teacher.is_some() { 0 } else { (self.columns.len() - 1).max(1) }
    }

    /// Number of training rows.
    pub fn rows(&self) -> usize {
        self.cut
    }

    /// Number of held-out rows.
    pub fn held_out(&self) -> usize {
        self.columns[0].ends.len() - self.cut
    }

    /// The training batch with this index, a function of the index and the seed only. An epoch has every row once, except a
    /// remainder smaller than a batch; each batch has texts of similar length.
    pub fn batch(&self, index: u64, size: usize, seed: u64) -> Batch {
        let (epoch, at) = (index / (self.cut / size) as u64, (index % (self.cut / size) as u64) as usize);
        let mut order = self.order.lock().expect("no panic while the lock is held");
        let rows = match &mut *order {
            Some((known, rows)) if *known == [epoch, size as u64, seed] => rows,
            other => &mut other.insert(([epoch, size as u64, seed], self.shuffled(epoch, size, seed))).1,
        };
        self.gather(rows[at * size..][..size].iter().map(|&row| row as usize))
    }

    fn shuffled(&self, epoch: u64, size: usize, seed: u64) -> Vec<u32> {
        let key = [seed as u32, (seed >> 32) as u32, epoch as u32, (epoch >> 32) as u32];
        let mut rows: Vec<u32> = (0..self.cut as u32).collect();
        shuffle(&mut rows, key, ROWS);
        for window in rows.chunks_mut(SORTED * size) {
            window.sort_by_key(|&row| self.columns.iter().map(|texts| texts.get(row as usize).len()).max());
        }
        let mut batches: Vec<&[u32]> = rows.chunks_exact(size).collect();
        shuffle(&mut batches, key, BATCHES);
        batches.concat()
    }

    /// The held-out batch with this index, in the order of the file.
    pub fn validation(&self, index: usize, size: usize) -> Batch {
        self.gather(self.cut + index * size..self.cut + (index + 1) * size)
    }

    /// The number of held-out batches of which the texts, the first of each row, have about `tokens` tokens.
    pub fn validation_batches(&self, size: usize, tokens: u64) -> u64 {
        let mut seen = 0;
        let all = 0..(self.held_out() / size) as u64;
        let is_wanted = |index: &u64| {
            let wanted = seen < tokens;
            let first = self.cut + *index as usize * size;
            seen += (first..first + size).map(|row| self.columns[0].get(row).len() as u64).sum::<u64>();
            wanted
        };
        all.take_while(is_wanted).count() as u64
    }

    fn gather(&self, rows: impl Iterator<Item = usize> + Clone) -> Batch {
        let of = |column: &Texts| rows.clone().map(|row| column.get(row).to_vec()).collect::<Vec<_>>();
        let texts = of(&self.columns[0]);
        let Some((vectors, kept)) = &self.teacher else {
            let others = if self.columns.len() > 1 { &self.columns[1..] } else { &self.columns[..] };
            return Batch { texts, candidates: others.iter().flat_map(of).collect(), teacher: Vec::new() };
        };
        let mut teacher = vec![0.0; texts.len() * vectors.dim()];
        for (row, out) in rows.zip(teacher.chunks_mut(vectors.dim())) {
            vectors.row(kept[row], out);
        }
        Batch { texts, candidates: Vec::new(), teacher }
    }
}

/// A uniform random permutation (Fisher–Yates) that is a function of the key.
fn shuffle<T>(items: &mut [T], key: [u32; 4], site: u32) {
    for i in (1..items.len()).rev() {
        let [low, high, ..] = rng::block(key, site, i as u32);
        let word = u64::from(low) | u64::from(high) << 32;
        items.swap(i, ((u128::from(word) * (i as u128 + 1)) >> 64) as usize);
    }
}
