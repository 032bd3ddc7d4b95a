//! Retrieval data in the format of the Cranfield collection (Cleverdon 1967): documents, queries, relevance judgements.

use crate::data::source::Source;
use crate::files;
use anyhow::{Result, bail};
use std::path::Path;

/// Documents, queries and relevance judgements.
#[derive(Debug)]
pub struct Cranfield {
    /// Texts of the documents; empty if a document has none.
    pub documents: Vec<String>,
    /// Texts of the queries.
    pub questions: Vec<String>,
    /// Judgements of each query.
    pub judgements: Vec<Vec<Judgement>>,
}

/// The relevance of a document to a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Index of the document, from 0.
    pub document: usize,
    /// 4 is a complete answer, 1 minimum interest, 5 the query's source paper, and 0 not relevant.
    pub gain: u8,
}

/// File names of the judgements, in order of preference; see [`judgement`].
const JUDGEMENTS: [&str; 2] = ["QRelsCorrectedforTRECeval", "cranqrel"];

impl Cranfield {
    /// Reads `cran.all.1400`, `cran.qry` and `QRelsCorrectedforTRECeval` or `cranqrel` in a folder. Judgements number
    /// queries by their position in the file, 1 to 225, and not by the number after `.I`.
    ///
    /// # Errors
    /// A missing file or an invalid line.
    pub fn read(folder: &Path) -> Result<Self> {
        let documents: Vec<String> = texts(&files::read_to_string(&folder.join("cran.all.1400"))?);
        let questions: Vec<String> = texts(&files::read_to_string(&folder.join("cran.qry"))?);
        let path = JUDGEMENTS.map(|name| folder.join(name)).into_iter().find(|path| path.exists()).unwrap_or(folder.join(JUDGEMENTS[0]));
        let mut judgements = vec![Vec::new(); questions.len()];
        let (mut source, mut line) = (Source::open(&path)?, String::new());
        while source.filled_line(&mut line)? {
            let Some((question, judgement)) = judgement(&line) else {
                bail!(
                    "{} is not a judgement but {:?}; write query, document and code, or query, 0, document and grade",
                    source.place(),
                    line.trim_end()
                );
            };
            if question >= questions.len() || judgement.document >= documents.len() {
                bail!(
                    "{} ({:?}) is out of range: there are {} queries and {} documents",
                    source.place(),
                    line.trim_end(),
                    questions.len(),
                    documents.len()
                );
            }
            judgements[question].push(judgement);
        }
        if questions.iter().any(String::is_empty) {
            bail!("{}: a query is empty", folder.join("cran.qry").display());
        }
        Ok(Self { documents, questions, judgements })
    }
}

/// Texts of records that start with `.I`: the text after `.W`, or the title after `.T` if that is empty.
fn texts(records: &str) -> Vec<String> {
    let mut texts: Vec<[String; 2]> = Vec::new();
    let mut field = None;
    for line in records.lines().map(str::trim_end) {
        match (line, texts.last_mut()) {
            (".W", _) => field = Some(0),
            (".T", _) => field = Some(1),
            (".A" | ".B", _) => field = None,
            (line, _) if line.starts_with(".I ") => {
                texts.push(Default::default());
                field = None;
            }
            (line, Some(text)) => {
                if let Some(field) = field {
                    text[field] += line.trim();
                    text[field] += " ";
                }
            }
            (_, None) => {}
        }
    }
    texts.into_iter().map(|[text, title]| if text.trim().is_empty() { title } else { text }.trim().to_owned()).collect()
}

/// Parses a line of either file. `query document code` has 1 for a complete answer to 4 for minimum interest, and −1 for the
/// query's source paper; `query 0 document grade` has the reversed scale, 5 to 1, where more is better.
/// Returns the index of the query, from 0, and the judgement.
fn judgement(line: &str) -> Option<(usize, Judgement)> {
    let fields: Vec<i64> = line.split_whitespace().map(|f| f.parse().ok()).collect::<Option<_>>()?;
    let (question, document, gain) = match fields[..] {
        [question, document, -1] => (question, document, 5),
        [question, document, code @ 1..=5] => (question, document, 5 - code),
        [question, _, document, grade] => (question, document, grade.clamp(0, 5)),
        _ => return None,
    };
    let place = |n: i64| usize::try_from(n).ok()?.checked_sub(1);
    Some((place(question)?, Judgement { document: place(document)?, gain: gain as u8 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const DOCUMENTS: &str =
        ".I 1\n.T\na wing .\n.A\nan author\n.B\nj. 1958\n.W\na wing .\n  in a slipstream .\n.I 2\n.T\nonly a title\n.W\n.I 3\n.T\n.W\n";
    const QUESTIONS: &str = ".I 001\r\n.W\r\nwhat lifts\r\na wing .\r\n.I 004\r\n.W\r\nwhy\r\n";

    #[test]
    fn both_formats_of_judgements_are_read_alike() {
        let read = |name: &str, judgements: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("cran.all.1400"), DOCUMENTS).unwrap();
            fs::write(folder.path().join("cran.qry"), QUESTIONS).unwrap();
            fs::write(folder.path().join(name), judgements).unwrap();
            Cranfield::read(folder.path())
        };
        let set = read("cranqrel", "1 2 4 \n1 1 -1\n2 3 1\n").unwrap();
        assert_eq!(set.documents, ["a wing . in a slipstream .", "only a title", ""]);
        assert_eq!(set.questions, ["what lifts a wing .", "why"]);
        let [of_one, of_two] = [vec![(1, 1), (0, 5)], vec![(2, 4)]];
        let expected = [of_one, of_two].map(|j| j.into_iter().map(|(document, gain)| Judgement { document, gain }).collect::<Vec<_>>());
        assert_eq!(set.judgements, expected);
        assert_eq!(read("QRelsCorrectedforTRECeval", "1 0 2 1\n1 0 1 5\n2 0 3 4\n").unwrap().judgements, expected);
        // The second query has the number 4 after .I, but 4 is not a valid position.
        for (judgements, said) in
            [("4 1 1", "2 queries and 3"), ("1 4 1", "out of range"), ("1 x 1", "is not a judgement"), ("0 1 1", "is not a judgement")]
        {
            let error = read("cranqrel", judgements).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains(said), "{error}");
        }
        assert!(Cranfield::read(tempfile::tempdir().unwrap().path()).unwrap_err().to_string().contains("cran.all.1400"));
    }
}
