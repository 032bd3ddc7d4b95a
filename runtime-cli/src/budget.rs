//! Models of equal size: the feed-forward width is adjusted to match a number of parameters.

use crate::costs::Parameters;
use anyhow::{Result, bail};
use hh_core::config::Config;

/// Number of parameters of a model.
pub fn parameters(config: &Config) -> usize {
    Parameters::of(config).total()
}

/// This model with the `ffn` whose number of [`parameters`] is nearest to `target`.
///
/// # Errors
/// A model that has more parameters than `target` even with an `ffn` of 1.
pub fn with_ffn_for(config: &Config, target: usize) -> Result<Config> {
    let at = |ffn| Config { ffn, ..config.clone() };
    // The number of parameters is linear in the feed-forward width.
    let least = parameters(&at(1));
    let unit = parameters(&at(2)) - least;
    if least > target {
        bail!("its paths alone have {least} parameters, more than the {target} of the base model: reduce the path widths");
    }
    Ok(at(1 + (target - least + unit / 2) / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::presets::preset;

    #[test]
    fn the_feed_forward_width_matches_the_number_of_parameters() {
        let whole = preset("char-0.8m").unwrap();
        let target = parameters(&whole);
        assert_eq!(with_ffn_for(&Config { ffn: 7, ..whole.clone() }, target).unwrap(), whole);
        for (ssm, attention) in [(0, 64), (32, 64), (192, 0), (128, 0)] {
            let other =
                Config { ssm_width: vec![ssm; 4], attention_width: vec![attention; 4], hopfield_width: vec![0; 4], ..whole.clone() };
            let other = with_ffn_for(&other, target).unwrap();
            let off = parameters(&other).abs_diff(target);
            assert!(off <= 4 * 3 * 128 / 2, "{off} parameters off");
        }
        let error = with_ffn_for(&Config { ssm_width: vec![4096; 4], ..whole }, target).unwrap_err();
        assert!(error.to_string().contains("reduce the path widths"), "{error}");
    }
}
