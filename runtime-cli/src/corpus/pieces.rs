//! Tales, conversations and letters made of facts.

use super::draws::Draws;
use super::facts::{Fact, town};
use super::words::*;

/// One piece, followed by a blank line.
pub(super) fn piece(draws: &mut Draws) -> String {
    let text = match draws.below(10) {
        0..=4 => tale(draws),
        5..=7 => conversation(draws),
        8 => letters(draws),
        _ => lesson(draws),
    };
    text + "\n\n"
}

/// Facts whose questions are unambiguous.
fn facts(draws: &mut Draws, cast: &[Person; 3], count: usize) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::with_capacity(count);
    while facts.len() < count {
        let fact = Fact::draw(draws, cast);
        if !facts.iter().any(|other| other.clashes(&fact)) {
            facts.push(fact);
        }
    }
    facts
}

/// A clause or an answer as a sentence.
fn sentence(clause: &str) -> String {
    let mut chars = clause.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    // A full stop is placed before a closing quotation mark.
    let text: String = first.into_iter().chain(chars).collect();
    match text.strip_suffix('"') {
        Some(quoted) => format!("{quoted}.\""),
        None => text + ".",
    }
}

/// A fact as a sentence of a story, with or without a time.
fn told(draws: &mut Draws, fact: &Fact) -> String {
    let clause = fact.told(draws);
    let time = match fact.is_event() {
        true => draws.pick(&["One day ", "That week ", "Not long after, ", "Early in the year ", "", "", "", ""]),
        false => draws.pick(&["As everyone knew, ", "", "", ""]),
    };
    sentence(&format!("{time}{clause}"))
}

fn tale(draws: &mut Draws) -> String {
    let cast = draws.cast::<3>();
    let count = 2 + draws.below(4);
    let mut facts = facts(draws, &cast, count);
    let [a, b, c] = cast;
    let (town, setting) = (town(draws), draws.pick(&SETTINGS));
    let mut text = match draws.below(4) {
        0 => format!("In {town}, {setting}, there lived three friends: {}, {} and {}.", a.name, b.name, c.name),
        1 => format!("Once {} came to {town}, {setting}, to stay with {} and {}.", a.name, b.name, c.name),
        2 => format!("This is what they tell in {town}, {setting}, of {}, {} and {}.", a.name, b.name, c.name),
        _ => format!("{} and {} kept an inn at {town}, {setting}, and {} was their first guest.", a.name, b.name, c.name),
    };
    for fact in &facts {
        text += " ";
        text += &told(draws, fact);
        scenery(draws, &mut text, 2);
    }
    text += "\n";
    let mut changed = false;
    for fact in &mut facts {
        if draws.below(2) == 0
            && let Some(clause) = fact.develop(draws, &cast)
        {
            let when = match changed {
                false => draws.pick(&["Then ", "A month later ", "When nobody expected it, ", "But in the end "]),
                true => draws.pick(&["And then ", "After that ", "Also, "]),
            };
            text += &sentence(&format!("{when}{clause}"));
            text += " ";
            changed = true;
        }
    }
    text += &sentence(draws.pick(&WEATHER));
    text += "\n";
    let questions = 1 + draws.below(facts.len().min(3));
    for _ in 0..questions {
        let index = draws.below(facts.len());
        let fact = facts.swap_remove(index);
        let (question, answer) = fact.asked(draws);
        // Strangers to the story ask and answer, so that no one asks about themselves.
        let asks = draws.pick(&TRADES);
        let answers = draws.other(&TRADES, asks);
        text += &match draws.below(4) {
            0 => format!("\"{question}\" asked the {asks}. \"{},\" said the {answers}.\n", unquoted(&answer)),
            1 => format!("The {asks} wanted to know: \"{question}\" And the {answers} said: \"{}.\"\n", unquoted(&answer)),
            2 => format!("\"{question}\" said the {asks} — \"{},\" said the {answers}.\n", unquoted(&answer)),
            _ => format!("{question} {}\n", sentence(&answer)),
        };
    }
    text.trim_end().to_owned()
}

/// Replaces double quotation marks, for an answer inside quotation marks.
fn unquoted(answer: &str) -> String {
    answer.replace('"', "'")
}

fn scenery(draws: &mut Draws, text: &mut String, one_in: usize) {
    if draws.below(one_in) == 0 {
        *text += " ";
        *text += &sentence(draws.pick(&WEATHER));
    }
}

/// A dialogue of two people about three others.
fn conversation(draws: &mut Draws) -> String {
    let [a, b, cast @ ..] = draws.cast::<5>();
    let count = 2 + draws.below(3);
    let mut facts = facts(draws, &cast, count);
    let opening = ["Good morning! Have you heard the news?", "Sit down, I have much to tell.", "You were away for so long!"];
    let mut lines = vec![
        (a, draws.pick(&opening).to_owned()),
        (b, draws.pick(&["No, tell me.", "What happened?", "Go on, I am listening.", "Is it good or bad?"]).to_owned()),
    ];
    for fact in &facts {
        let clause = fact.told(draws);
        let opening = draws.pick(&["", "", "Listen: ", "They say that ", "I saw it myself: ", "First of all, ", "And imagine, "]);
        lines.push((a, sentence(&format!("{opening}{clause}"))));
        let reply = match draws.below(3) {
            0 => sentence(draws.pick(&WEATHER)),
            _ => draws
                .pick(&["I did not know that.", "Who would have thought so?", "Well, well.", "And then?", "I will remember it."])
                .to_owned(),
        };
        lines.push((b, reply));
    }
    for fact in &mut facts {
        if draws.below(2) == 0
            && let Some(clause) = fact.develop(draws, &cast)
        {
            lines.push((a, sentence(&format!("{}{clause}", draws.pick(&["But later ", "In the end ", "Yesterday "])))));
        }
    }
    for _ in 0..1 + draws.below(facts.len()) {
        let index = draws.below(facts.len());
        let (question, answer) = facts.swap_remove(index).asked(draws);
        lines.push((b, format!("{}{question}", draws.pick(&["", "", "Tell me again. ", "One thing more. "]))));
        lines.push((a, sentence(&answer)));
    }
    lines.push((b, draws.pick(&["Thank you, I must go.", "Now I know it all.", "What a story!", "Good night, then."]).to_owned()));
    play(&lines)
}

/// Formats a dialogue, one line per utterance.
fn play(lines: &[(Person, String)]) -> String {
    lines.iter().map(|(who, line)| format!("{}: {line}", who.name)).collect::<Vec<_>>().join("\n")
}

/// A letter with news, a question in return, and its answer.
fn letters(draws: &mut Draws) -> String {
    let [a, b, cast @ ..] = draws.cast::<5>();
    let count = 2 + draws.below(3);
    let mut facts = facts(draws, &cast, count);
    let town = town(draws);
    let mut text = format!("Dear {},\nI write to you from {town}. ", b.name);
    for fact in &facts {
        text += &told(draws, fact);
        scenery(draws, &mut text, 3);
        text += " ";
    }
    text += &format!("Your friend, {}\nDear {},\nyour letter came {}. ", a.name, a.name, draws.pick(&DAYS));
    let index = draws.below(facts.len());
    let mut fact = facts.swap_remove(index);
    let clause = if draws.below(2) == 0 { fact.develop(draws, &cast) } else { None };
    if let Some(clause) = clause {
        text += &sentence(&format!("Here we heard that {clause}"));
        text += " ";
    }
    let (question, answer) = fact.asked(draws);
    text += &format!("Now my children ask: {question} Your {}\nDear {},\ntell the children this. {}", b.name, b.name, sentence(&answer));
    text += &format!(" And greet them from {town}. {}", a.name);
    text
}

/// Arithmetic questions and answers.
fn lesson(draws: &mut Draws) -> String {
    let [teacher, pupil, cast @ ..] = draws.cast::<5>();
    let opening = ["Put your books away and count with me.", "Who can count today?", "Now a few sums before we go home."];
    let mut lines = vec![(teacher, draws.pick(&opening).to_owned())];
    for _ in 0..2 + draws.below(3) {
        let [who, other, _] = draws.shuffled(&cast);
        let goods = draws.pick(&GOODS);
        let (a, b) = (1 + draws.below(10), 1 + draws.below(10));
        let (large, small) = (a.max(b) + 1, a.min(b));
        let (question, result) = match draws.below(3) {
            0 => (format!("{} has {} {goods} and finds {} more. How many is that?", who.name, NUMBERS[a], NUMBERS[b]), a + b),
            1 => (format!("{} has {} {goods} and loses {}. How many are left?", who.name, NUMBERS[large], NUMBERS[small]), large - small),
            _ => {
                (format!("{} has {} {goods}, {} has {}. How many have they together?", who.name, NUMBERS[a], other.name, NUMBERS[b]), a + b)
            }
        };
        lines.push((teacher, question));
        if draws.below(5) == 0 {
            let wrong = if result == 1 { 2 } else { result - 1 };
            lines.push((pupil, sentence(&format!("it is {}", NUMBERS[wrong]))));
            lines.push((teacher, "No, count again.".to_owned()));
        }
        lines.push((pupil, sentence(NUMBERS[result])));
        lines.push((teacher, draws.pick(&["Right.", "Well done.", "So it is.", "Good."]).to_owned()));
    }
    play(&lines)
}
