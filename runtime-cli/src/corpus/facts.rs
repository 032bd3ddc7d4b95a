//! Facts that are stated, changed, asked about and answered; the answer follows all changes.

use super::draws::Draws;
use super::words::*;

/// A fact.
pub(super) enum Fact {
    /// The place of a thing, which may be moved.
    Hidden { who: Person, thing: String, place: &'static str },
    /// The owner of a thing, which may be passed on.
    Given { from: Person, to: Person, thing: String },
    /// A promise, which may be kept or forgotten.
    Promised { who: Person, to: Person, deed: (&'static str, &'static str), day: &'static str, kept: Option<bool> },
    /// A number of goods, which may decrease.
    Counted { who: Person, to: Person, goods: &'static str, had: usize, gave: usize },
    /// The name of an animal.
    Named { who: Person, animal: &'static str, name: String },
    /// The origin and trade of a person.
    Came { who: Person, town: String, trade: &'static str },
    /// A secret word.
    Secret { who: Person, to: Person, word: &'static str },
    /// The favourite food of a person.
    Likes { who: Person, food: &'static str },
}

impl Fact {
    /// A random fact about some of three people.
    pub(super) fn draw(draws: &mut Draws, cast: &[Person; 3]) -> Self {
        let [who, to, _] = draws.shuffled(cast);
        match draws.below(10) {
            0 | 1 => Self::Hidden { who, thing: thing(draws), place: draws.pick(&PLACES) },
            2 | 3 => Self::Given { from: who, to, thing: thing(draws) },
            4 => Self::Promised { who, to, deed: draws.pick(&DEEDS), day: draws.pick(&DAYS), kept: None },
            5 => {
                let had = 3 + draws.below(18);
                Self::Counted { who, to, goods: draws.pick(&GOODS), had, gave: 1 + draws.below(had - 1) }
            }
            6 => {
                let name = draws.pick(&PET_STARTS).to_owned() + draws.pick(&PET_ENDS);
                Self::Named { who, animal: draws.pick(&ANIMALS), name }
            }
            7 => Self::Came { who, town: town(draws), trade: draws.pick(&TRADES) },
            8 => Self::Secret { who, to, word: draws.pick(&SECRETS) },
            _ => Self::Likes { who, food: draws.pick(&FOODS) },
        }
    }

    /// Whether a question about one fact could be understood as a question about the other.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Hidden { thing: a, .. } | Self::Given { thing: a, .. },
                Self::Hidden { thing: b, .. } | Self::Given { thing: b, .. },
            ) => a == b,
            (Self::Counted { goods: a, .. }, Self::Counted { goods: b, .. }) => a == b,
            (Self::Promised { who: a, .. }, Self::Promised { who: b, .. })
            | (Self::Came { who: a, .. }, Self::Came { who: b, .. })
            | (Self::Likes { who: a, .. }, Self::Likes { who: b, .. }) => a == b,
            (Self::Named { who: a, name: x, .. }, Self::Named { who: b, name: y, .. }) => a == b || x == y,
            (Self::Secret { .. }, Self::Secret { .. }) => true,
            _ => false,
        }
    }

    /// Whether it is an event, rather than a permanent property.
    pub(super) fn is_event(&self) -> bool {
        !matches!(self, Self::Named { .. } | Self::Came { .. } | Self::Likes { .. })
    }

    /// The fact as a clause that starts with a name.
    pub(super) fn told(&self, draws: &mut Draws) -> String {
        match self {
            Self::Hidden { who, thing, place } => {
                let verb = draws.pick(&["hid", "put", "left", "laid"]);
                format!("{} {verb} {thing} {place}{}", who.name, draws.pick(&["", "", " and told nobody else", " for safety"]))
            }
            Self::Given { from, to, thing } => match draws.below(3) {
                0 => format!("{} gave {thing} to {}", from.name, to.name),
                1 => format!("{} handed {thing} to {}", from.name, to.name),
                _ => format!("{} got {thing} from {}", to.name, from.name),
            },
            Self::Promised { who, to, deed, day, .. } => match draws.below(2) {
                0 => format!("{} promised {} to {} {day}", who.name, to.name, deed.0),
                _ => format!("{} gave {} {} word to {} {day}", who.name, to.name, who.possessive(), deed.0),
            },
            Self::Counted { who, to, goods, had, gave } => match draws.below(2) {
                0 => format!("{} had {} {goods} and gave {} of them to {}", who.name, NUMBERS[*had], NUMBERS[*gave], to.name),
                _ => format!("{} counted {} {goods}, of which {} went to {}", who.name, NUMBERS[*had], NUMBERS[*gave], to.name),
            },
            Self::Named { who, animal, name } => match draws.below(2) {
                0 => format!("{} had a {animal} called {name}", who.name),
                _ => format!("{} named {} {animal} {name}", who.name, who.possessive()),
            },
            Self::Came { who, town, trade } => match draws.below(2) {
                0 => format!("{} was a {trade} and came from {town}", who.name),
                _ => format!("{} had worked as a {trade} in {town}", who.name),
            },
            Self::Secret { who, to, word } => {
                format!("{} whispered to {} that the secret word was \"{word}\"", who.name, to.name)
            }
            Self::Likes { who, food } => match draws.below(2) {
                0 => format!("{} liked nothing so much as {food}", who.name),
                _ => format!("{} would walk a mile for {food}", who.name),
            },
        }
    }

    /// Changes the fact, and possibly its answer, and returns a clause that starts with a name; `None` if it cannot change.
    pub(super) fn develop(&mut self, draws: &mut Draws, cast: &[Person; 3]) -> Option<String> {
        match self {
            Self::Hidden { who, thing, place } => {
                let new = draws.other(cast, *who);
                let old = std::mem::replace(place, draws.other(&PLACES, *place));
                *who = new;
                Some(format!("{} found {thing} {old} and put it {place} instead", new.name))
            }
            Self::Given { from, to, thing } => {
                let third = cast.iter().find(|p| *p != from && *p != to)?;
                (*from, *to) = (*to, *third);
                Some(format!("{} {} {thing} to {}", from.name, draws.pick(&["lent", "passed", "sold"]), to.name))
            }
            Self::Promised { who, deed, day, kept: kept @ None, .. } => {
                let keeps = draws.below(3) > 0;
                *kept = Some(keeps);
                Some(match keeps {
                    true => format!("{} kept the promise and {} {day}", who.name, deed.1),
                    false => format!("{} forgot the promise and did not {}", who.name, deed.0),
                })
            }
            Self::Counted { who, to, goods, had, gave } if *had - *gave > 1 => {
                let more = 1 + draws.below(*had - *gave - 1);
                (*had, *gave) = (*had - *gave, more);
                Some(format!("{} gave {} {} more {goods}", who.name, to.name, NUMBERS[more]))
            }
            _ => None,
        }
    }

    /// A question and its answer.
    pub(super) fn asked(&self, draws: &mut Draws) -> (String, String) {
        match self {
            Self::Hidden { who, thing, place } => match draws.below(3) {
                0 => (format!("Where is {thing}?"), format!("It is {place}")),
                1 => (format!("Who put {thing} where it is now?"), format!("{} did, {place}", who.name)),
                _ => (format!("Where should I look for {thing}?"), format!("Look {place}")),
            },
            Self::Given { from, to, thing } => match draws.below(3) {
                0 => (format!("Who has {thing} now?"), format!("{} has it", to.name)),
                1 => (format!("Where did {} get {thing}?", to.name), format!("From {}", from.name)),
                _ => (format!("Whom should I ask for {thing}?"), format!("Ask {}, who got it from {}", to.name, from.name)),
            },
            Self::Promised { who, deed, day, kept, .. } => match (kept, draws.below(2)) {
                (Some(true), 0) => {
                    (format!("Did {} keep {} promise?", who.name, who.possessive()), format!("Yes, {} {} {day}", who.subject(), deed.1))
                }
                (Some(false), 0) => (format!("Did {} {}?", who.name, deed.0), format!("No, {} forgot", who.subject())),
                _ => (format!("What did {} promise?", who.name), format!("To {} {day}", deed.0)),
            },
            Self::Counted { who, goods, had, gave, .. } => {
                let left = NUMBERS[*had - *gave];
                match draws.below(2) {
                    0 => (format!("How many {goods} does {} have left?", who.name), format!("{} has {left}", who.name)),
                    _ => (format!("How many {goods} stayed with {}?", who.name), format!("{} kept {left}", who.name)),
                }
            }
            Self::Named { who, animal, name } => match draws.below(2) {
                0 => (format!("What is {}'s {animal} called?", who.name), format!("The {animal} is called {name}")),
                _ => (format!("Whose is {name}?"), format!("{name} is {}'s {animal}", who.name)),
            },
            Self::Came { who, town, trade } => match draws.below(2) {
                0 => (format!("Where did {} come from?", who.name), format!("From {town}")),
                _ => (format!("What was {}'s trade?", who.name), format!("{} was a {trade} in {town}", who.name)),
            },
            Self::Secret { who, to, word } => match draws.below(2) {
                0 => ("What was the secret word?".into(), format!("The word was \"{word}\"")),
                _ => ("Who knows the secret word?".into(), format!("{} and {} know it: \"{word}\"", who.name, to.name)),
            },
            Self::Likes { who, food } => match draws.below(2) {
                0 => (format!("What does {} like best?", who.name), format!("Nothing pleases {} like {food}", who.object())),
                _ => (format!("What shall we cook for {}?", who.name), format!("Make it {food}, if you love {}", who.object())),
            },
        }
    }
}

fn thing(draws: &mut Draws) -> String {
    format!("the {} {}", draws.pick(&QUALITIES), draws.pick(&THINGS))
}

/// A random town.
pub(super) fn town(draws: &mut Draws) -> String {
    draws.pick(&TOWN_STARTS).to_owned() + draws.pick(&TOWN_ENDS)
}
