//! Placeholder for a command in a build without its cargo feature: accepts any arguments and fails with the feature's name.

use crate::features::{Absent, Feature};
use std::ffi::OsString;

/// Any arguments.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    any: Vec<OsString>,
}

/// Fails with [`Absent`].
pub(super) fn run(_: Args, feature: Feature) -> anyhow::Result<()> {
    Err(Absent(feature).into())
}

#[cfg(test)]
mod tests {
    use crate::commands::Cli;
    use crate::features::{Absent, Feature};
    use crate::interrupt::Interrupt;
    use crate::machine::NativeBackends;
    use crate::tokenizers::parse_spec;
    use clap::Parser;

    #[test]
    fn what_needs_an_absent_feature_names_it_in_one_sentence() {
        for (feature, line) in [
            (Feature::Tables, "embed --input reviews.parquet --text-column=body -o vectors.npy"),
            (Feature::Plots, "report runs"),
            (Feature::Serve, "serve runs --listen 127.0.0.1:0"),
            (Feature::Download, "data get tinyshakespeare"),
            (Feature::Download, "info hf://owner/name"),
        ] {
            if feature.is_present() {
                continue;
            }
            let cli = Cli::try_parse_from(["hh-runtime"].into_iter().chain(line.split(' '))).unwrap();
            let error = cli.command.run(&NativeBackends, Interrupt::new(|| ())).err().unwrap();
            assert_eq!(error.root_cause().downcast_ref(), Some(&Absent(feature)), "{line}");
            let error = format!("{error:#}");
            assert!(error.contains(&format!("build with --features {}", feature.name())) && !error.contains('\n'), "{error}");
        }
        if !Feature::Tokenizers.is_present() {
            for spec in ["bpe:tokenizer.json", "bpe-train:300"] {
                let error = parse_spec(spec).unwrap().build(std::iter::empty()).err().unwrap();
                assert_eq!(error.downcast_ref(), Some(&Absent(Feature::Tokenizers)), "{spec}");
            }
        }
    }
}
