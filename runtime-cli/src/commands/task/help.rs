//! Help texts of `task`.

/// Start of `task --help`.
pub const ABOUT: &str = "\
Run synthetic memory benchmarks, generated from a seed.

A small model is trained on examples of the task until it solves held-out ones, or until the last step. The final test then \
runs it recurrently, through its state, at delays and lengths beyond those of training. --paths selects the paths of the \
model; the number of parameters is the same for every choice. The output folder has the files of `train`, and:

  task.json            the task, the model and the results: nll, accuracy, and the table of the final test

Accuracy is the fraction of answers whose id has the largest logit. Training, validation and final test draw independent \
examples.

Ctrl-C finishes the current step, saves, and prints the command that resumes the run.";

pub(super) const EXAMPLES: &str = "\
Examples:
  hh-runtime task --list
  hh-runtime task mqar --paths hopfield
  hh-runtime task mqar --length 128 --pairs 8 --width 128 --epochs 8
  hh-runtime task copy --delay 500 --paths ssm+hopfield
  hh-runtime task completion
  hh-runtime task --resume runs/mqar-hopfield-1";

pub(super) const MQAR: &str = "\
An example; a dot marks a position without a target:

  tokens    k1 v1 k2 v2  0  0 k2  0 k1  0
  targets    .  .  .  .  .  . v2  . v1  .

The generator is that of HazyResearch/zoology (Arora, Eyuboglu et al. 2023); the defaults are those of its figure 2: keys from the \
lower half of 8192 ids, values from the upper, 100,000 examples, 64 epochs. With fewer examples every model stays at chance.";

pub(super) const COPY: &str = "\
An example; a dot marks a position without a target:

  tokens    cue a b c 0 0 0 cue a b
  targets    .  . . . . . .  a  b c
  --blind   cue a b c 0 0 0 cue 0 0

Training draws delays from --shortest to --delay; the final test takes single delays, up to twice --delay.";

pub(super) const SELECTIVE_COPY: &str = "\
An example; a dot marks a position without a target (Gu and Dao 2023):

  tokens    0 a 0 0 b 0 c 0 cue cue cue
  targets   . . . . . . . .  a   b   c

The final test uses --positions, and two and four times as many.";

pub(super) const INDUCTION: &str = "\
An example; a dot marks a position without a target (Olsson et al. 2022, Gu and Dao 2023):

  tokens    5 2 7 cue 3 1 8 2 cue
  targets   . . .  .  . . . .  3

The final test uses --length, then four times as many positions each time, up to --longest.";
