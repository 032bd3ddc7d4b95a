//! A retrieval set in the format of the Cranfield collection (Cleverdon 1967): documents, questions, and who answers what.

use crate::data::source::Source;
use crate::files;
use anyhow::{Result, bail};
use std::path::Path;

/// Documents, questions and judgements.
#[derive(Debug)]
pub struct Cranfield {
    /// Texts of the documents; empty where the collection has none.
    pub documents: Vec<String>,
    /// Texts of the questions.
    pub questions: Vec<String>,
    /// Of each question.
    pub judgements: Vec<Vec<Judgement>>,
}

/// What a document is worth to a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// The document's place, from 0.
    pub document: usize,
    /// 4 is a complete answer, 1 of minimum interest, and 5 the paper that the question was asked from; 0 is none.
    pub gain: u8,
}

/// Judgements in the order in which they are looked for; see [`judgement`].
const JUDGEMENTS: [&str; 2] = ["QRelsCorrectedforTRECeval", "cranqrel"];

impl Cranfield {
    /// Reads `cran.all.1400`, `cran.qry` and `QRelsCorrectedforTRECeval` or `cranqrel` in a folder. Judgements count
    /// questions by their place in the file, 1 to 225, which is not the number that stands there after `.I`.
    ///
    /// # Errors
    /// One sentence for a file that is missing, and for a line that is not understood.
    pub fn read(folder: &Path) -> Result<Self> {
        let documents: Vec<String> = texts(&files::read_to_string(&folder.join("cran.all.1400"))?);
        let questions: Vec<String> = texts(&files::read_to_string(&folder.join("cran.qry"))?);
        let path = JUDGEMENTS.map(|name| folder.join(name)).into_iter().find(|path| path.exists()).unwrap_or(folder.join(JUDGEMENTS[0]));
        let mut judgements = vec![Vec::new(); questions.len()];
        let (mut source, mut line) = (Source::open(&path)?, String::new());
        while source.filled_line(&mut line)? {
            let Some((question, judgement)) = judgement(&line) else {
                bail!(
                    "{} is no judgement, but {:?}: question, document and code, or question, 0, document and grade",
                    source.place(),
                    line.trim_end()
                );
            };
            if question >= questions.len() || judgement.document >= documents.len() {
                bail!(
                    "{} ({:?}) is of a question or a document beyond the {} and {} that there are",
                    source.place(),
                    line.trim_end(),
                    questions.len(),
                    documents.len()
                );
            }
            judgements[question].push(judgement);
        }
        if questions.iter().any(String::is_empty) {
            bail!("{}: a question is empty", folder.join("cran.qry").display());
        }
        Ok(Self { documents, questions, judgements })
    }
}

/// Texts of records that begin with `.I`: what stands after `.W`, or the title after `.T` where that is nothing.
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

/// A line of either file. `question document code` has 1 for a complete answer to 4 for minimum interest, and −1 for the
/// paper that the question was asked from; `question 0 document grade` is the same turned round, 5 to 1, more being better.
/// Returns the question's place, from 0.
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
        ".I 1\n.T\na wing .\n.A\nsomebody\n.B\nj. 1958\n.W\na wing .\n  in a slipstream .\n.I 2\n.T\nonly a title\n.W\n.I 3\n.T\n.W\n";
    const QUESTIONS: &str = ".I 001\r\n.W\r\nwhat lifts\r\na wing .\r\n.I 004\r\n.W\r\nwhy\r\n";

    #[test]
    fn both_files_of_judgements_say_the_same() {
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
        let wanted = [of_one, of_two].map(|j| j.into_iter().map(|(document, gain)| Judgement { document, gain }).collect::<Vec<_>>());
        assert_eq!(set.judgements, wanted);
        assert_eq!(read("QRelsCorrectedforTRECeval", "1 0 2 1\n1 0 1 5\n2 0 3 4\n").unwrap().judgements, wanted);
        // By the number after .I, which is 4, the second question would be unknown.
        for (judgements, said) in
            [("4 1 1", "beyond the 2 and 3"), ("1 4 1", "beyond"), ("1 x 1", "is no judgement"), ("0 1 1", "is no judgement")]
        {
            let error = read("cranqrel", judgements).unwrap_err().to_string();
            assert!(error.contains("line 1") && error.contains(said), "{error}");
        }
        assert!(Cranfield::read(tempfile::tempdir().unwrap().path()).unwrap_err().to_string().contains("cran.all.1400"));
    }
}
