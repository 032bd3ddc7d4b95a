//! Models of equal size: the width of the feed-forward half pays for what the paths cost or save.

use crate::costs::Parameters;
use anyhow::{Result, bail};
use hh_core::config::Config;

/// Numbers that a model learns.
pub fn parameters(config: &Config) -> usize {
    Parameters::of(config).total()
}

/// This model with the `ffn` that brings its [`parameters`] nearest to `target`.
///
/// # Errors
/// One sentence where its paths alone have more.
pub fn with_ffn_for(config: &Config, target: usize) -> Result<Config> {
    let at = |ffn| Config { ffn, ..config.clone() };
    // Every unit of the hidden width costs the same, in each layer.
    let least = parameters(&at(1));
    let unit = parameters(&at(2)) - least;
    if least > target {
        bail!("its paths alone have {least} parameters, more than the {target} of the model that it is compared with: narrow its paths");
    }
    Ok(at(1 + (target - least + unit / 2) / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::presets::preset;

    #[test]
    fn the_feed_forward_half_pays_for_the_paths() {
        let whole = preset("char-0.8m").unwrap();
        let wanted = parameters(&whole);
        assert_eq!(with_ffn_for(&Config { ffn: 7, ..whole.clone() }, wanted).unwrap(), whole);
        for (ssm, attention) in [(0, 64), (32, 64), (192, 0), (128, 0)] {
            let other =
                Config { ssm_width: vec![ssm; 4], attention_width: vec![attention; 4], hopfield_width: vec![0; 4], ..whole.clone() };
            let other = with_ffn_for(&other, wanted).unwrap();
            let off = parameters(&other).abs_diff(wanted);
            assert!(off <= 4 * 3 * 128 / 2, "{off} parameters off");
        }
        let error = with_ffn_for(&Config { ssm_width: vec![4096; 4], ..whole }, wanted).unwrap_err();
        assert!(error.to_string().contains("narrow its paths"), "{error}");
    }
}
