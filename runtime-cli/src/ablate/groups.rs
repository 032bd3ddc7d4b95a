//! The predefined groups of model variants, each of which compares one design choice.

use hh_core::config::{Association, Config, HopfieldKind, MixerKind, PATHS};

/// A group of variants: the part of the model that is varied, and how.
pub struct Group {
    /// Its name in a plan.
    pub name: &'static str,
    /// One line for the help text.
    pub about: &'static str,
    /// The named variants of a base model, which may include the base itself.
    pub variants: fn(&Config) -> Vec<(String, Config)>,
}

/// All groups.
pub const GROUPS: [Group; 9] = [
    Group { name: "paths", about: "each path, each pair, all three; the remaining paths share the total width", variants: paths },
    Group { name: "mixes", about: "uneven widths: one wide path, and one head for each other path or for one of them", variants: mixes },
    Group { name: "mixers", about: "softmax gates, the mean of normalised outputs (Hymba), the plain sum (Falcon-H1)", variants: mixers },
    Group {
        name: "associations",
        about: "values of the Hopfield memory: of the next position (successor) or of the same one",
        variants: associations,
    },
    Group { name: "memories", about: "modern or classic Hopfield memory", variants: memories },
    Group { name: "depths", about: "refinements of the Hopfield query: one, two or three everywhere, falling or rising", variants: depths },
    Group { name: "slots", about: "0, 8 or 64 learned slots per head", variants: slots },
    Group {
        name: "segments",
        about: "one, two or three passes; the controller feeds the gates and the input, or the gates alone",
        variants: segments,
    },
    Group { name: "ssm-from", about: "no state-space path below layer n", variants: ssm_from },
];

/// Splits `total` evenly, in whole heads, over the enabled paths; the first of them gets the remainder.
fn even(total: usize, on: [bool; 3], head_dim: usize) -> [usize; 3] {
    let paths = on.iter().filter(|&&on| on).count();
    let mut widths = on.map(|on| if on { total / paths / head_dim * head_dim } else { 0 });
    let first = on.iter().position(|&on| on).expect("an enabled path");
    widths[first] += total - widths.iter().sum::<usize>();
    widths
}

/// The model with other path widths; `widths` maps the total width of a layer's paths to the new ones.
fn with_widths(c: &Config, widths: impl Fn(usize) -> [usize; 3]) -> Config {
    let mut to = c.clone();
    for layer in 0..c.layers {
        [to.ssm_width[layer], to.hopfield_width[layer], to.attention_width[layer]] = widths(c.mixed(layer));
    }
    with_hopfield_depths(c, to)
}

/// Sets one refinement per layer where the base model has no Hopfield path and therefore no depths.
fn with_hopfield_depths(c: &Config, to: Config) -> Config {
    if c.hopfield_depths.is_empty() { Config { hopfield_depths: vec![1; c.layers], ..to } } else { to }
}

fn paths(c: &Config) -> Vec<(String, Config)> {
    (1..8usize)
        .map(|set| {
            let on: [bool; 3] = std::array::from_fn(|path| set >> path & 1 == 1);
            let names: Vec<_> = PATHS.into_iter().zip(on).filter(|(_, on)| *on).map(|(name, _)| name).collect();
            // A base with all three paths keeps its own widths.
            let whole = on == [true; 3] && (0..c.layers).all(|layer| c.on(layer) == on);
            (names.join("+"), if whole { c.clone() } else { with_widths(c, |total| even(total, on, c.head_dim)) })
        })
        .collect()
}

fn mixes(c: &Config) -> Vec<(String, Config)> {
    let head = c.head_dim;
    let mostly = (0..3).map(|path| {
        let widths = move |total: usize| std::array::from_fn(|i| if i == path { total.saturating_sub(2 * head).max(head) } else { head });
        (format!("mostly {}", PATHS[path]), with_widths(c, widths))
    });
    let pairs = [1, 2].map(|path| {
        let widths =
            move |total: usize| [total.saturating_sub(head).max(head), usize::from(path == 1) * head, usize::from(path == 2) * head];
        (format!("ssm and a head of {}", PATHS[path]), with_widths(c, widths))
    });
    mostly.chain(pairs).collect()
}

fn mixers(c: &Config) -> Vec<(String, Config)> {
    [("softmax gates", MixerKind::Softmax), ("mean", MixerKind::Mean), ("sum", MixerKind::Sum)]
        .map(|(name, mixer_kind)| (name.into(), Config { mixer_kind, ..c.clone() }))
        .into()
}

fn associations(c: &Config) -> Vec<(String, Config)> {
    [("successor", Association::Successor), ("same", Association::Same)]
        .map(|(name, hopfield_association)| (name.into(), Config { hopfield_association, ..c.clone() }))
        .into()
}

fn memories(c: &Config) -> Vec<(String, Config)> {
    [("modern", HopfieldKind::Modern), ("classic", HopfieldKind::Classic)]
        .map(|(name, hopfield_kind)| {
            let hopfield_window = if hopfield_kind == HopfieldKind::Classic { 0 } else { c.hopfield_window };
            (name.into(), Config { hopfield_kind, hopfield_window, ..c.clone() })
        })
        .into()
}

fn depths(c: &Config) -> Vec<(String, Config)> {
    let n = c.layers;
    // 3, 2, 1, 1, …
    let falling: Vec<usize> = (0..n).map(|layer| (3 - layer.min(2)).max(1)).collect();
    let rising = falling.iter().rev().copied().collect();
    [("K = 1", vec![1; n]), ("K = 2", vec![2; n]), ("K = 3", vec![3; n]), ("K falling", falling), ("K rising", rising)]
        .map(|(name, hopfield_depths)| (name.into(), Config { hopfield_depths, ..c.clone() }))
        .into()
}

fn slots(c: &Config) -> Vec<(String, Config)> {
    [0, 8, 64].map(|hopfield_slots| (format!("{hopfield_slots} slots"), Config { hopfield_slots, ..c.clone() })).into()
}

fn segments(c: &Config) -> Vec<(String, Config)> {
    let controller_width = if c.controller_width > 0 { c.controller_width } else { c.width / 2 };
    let one = ("1 segment".into(), Config { segments: 1, controller_width: 0, ..c.clone() });
    let more = [2, 3].into_iter().flat_map(|segments| {
        [true, false].map(|controller_inject| {
            let how = if controller_inject { "gates and input" } else { "gates alone" };
            (format!("{segments} segments, {how}"), Config { segments, controller_width, controller_inject, ..c.clone() })
        })
    });
    [one].into_iter().chain(more).collect()
}

fn ssm_from(c: &Config) -> Vec<(String, Config)> {
    (0..c.layers)
        .filter(|&n| (0..n).all(|layer| c.mixed(layer) > c.ssm_width[layer]))
        .map(|n| {
            let mut to = c.clone();
            to.ssm_width[..n].fill(0);
            (format!("from layer {n}"), to)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{parameters, with_ffn_for};
    use hh_core::presets::preset;

    #[test]
    fn every_variant_is_a_model_of_the_same_size() {
        let c = preset("char-0.8m").unwrap();
        let target = parameters(&c);
        for group in GROUPS {
            let variants = (group.variants)(&c);
            assert!(variants.len() > 1, "{}", group.name);
            for (name, config) in variants {
                let config = with_ffn_for(&config, target).unwrap_or_else(|e| panic!("{} {name}: {e}", group.name));
                config.validate().unwrap_or_else(|e| panic!("{} {name}: {e}", group.name));
                assert!(parameters(&config).abs_diff(target) <= c.layers * 3 * c.width / 2, "{} {name}", group.name);
            }
        }
    }

    #[test]
    fn remaining_paths_share_the_total_width() {
        let c = preset("char-0.8m").unwrap();
        let of: Vec<_> = paths(&c).into_iter().map(|(name, c)| (name, c.widths(0))).collect();
        let expected = [
            ("ssm", [192, 0, 0]),
            ("hopfield", [0, 192, 0]),
            ("ssm+hopfield", [96, 96, 0]),
            ("attention", [0, 0, 192]),
            ("ssm+attention", [96, 0, 96]),
            ("hopfield+attention", [0, 96, 96]),
            ("ssm+hopfield+attention", [64, 64, 64]),
        ];
        assert_eq!(of, expected.map(|(name, widths)| (name.to_owned(), widths)));
        let of: Vec<_> = mixes(&c).into_iter().map(|(_, c)| c.widths(3)).collect();
        assert_eq!(of, [[128, 32, 32], [32, 128, 32], [32, 32, 128], [160, 32, 0], [160, 0, 32]]);
    }
}
