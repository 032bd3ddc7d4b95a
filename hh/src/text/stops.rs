/// Strings that end a text, found also where tokens cut them.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that may be the beginning of a stop string.
    kept: String,
}

impl StopStrings {
    /// Stop strings; an empty one stops nothing.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), kept: String::new() }
    }

    /// Holds back the end of `text` while it may be the beginning of a stop string, releases what turned out to be none, and
    /// returns whether a stop string is complete; `text` then ends before it.
    pub fn filter(&mut self, text: &mut String) -> bool {
        self.kept.push_str(text);
        text.clear();
        let hit = self.stops.iter().filter_map(|stop| self.kept.find(stop)).min();
        let end = hit.unwrap_or_else(|| {
            let mut starts = self.kept.char_indices().map(|(at, _)| at);
            let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.kept[*at..]));
            starts.find(begins).unwrap_or(self.kept.len())
        });
        text.extend(self.kept.drain(..end));
        if hit.is_some() {
            self.kept.clear();
        }
        hit.is_some()
    }

    /// The text that was held back and became no stop string.
    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through piece by piece, whether the last piece completed a stop, and what is held back.
    fn through(stops: &[&str], pieces: &[&str]) -> (String, bool, String) {
        let (mut stops, mut out, mut stopped) = (StopStrings::new(stops.iter().map(|s| (*s).to_owned())), String::new(), false);
        for piece in pieces {
            let mut text = (*piece).to_owned();
            stopped = stops.filter(&mut text);
            out += &text;
        }
        (out, stopped, stops.rest())
    }

    #[test]
    fn a_stop_string_is_found_wherever_tokens_cut_it() {
        for pieces in [&["one END two"][..], &["one E", "N", "D two"], &["one ", "END"]] {
            assert_eq!(through(&["END"], pieces), ("one ".into(), true, String::new()));
        }
        assert_eq!(through(&["two", "one"], &["a one two"]).0, "a ", "the first in the text counts");
        assert_eq!(through(&["long stop", "\n\n"], &["a\n", "\nlong stop"]).0, "a");
    }

    #[test]
    fn text_that_only_begins_like_a_stop_string_is_kept() {
        assert_eq!(through(&["END"], &["one EN", "Dless"]), ("one ".into(), true, String::new()));
        assert_eq!(through(&["END"], &["one EN", "ough"]), ("one ENough".into(), false, String::new()));
        assert_eq!(through(&["END"], &["one ENE", "ND"]), ("one EN".into(), true, String::new()));
        assert_eq!(through(&["END"], &["the EN"]), ("the ".into(), false, "EN".into()));
        assert_eq!(through(&["→x"], &["a→", "→", "y"]), ("a→→y".into(), false, String::new()));
        assert_eq!(through(&[""], &["any"]), ("any".into(), false, String::new()));
    }
}
