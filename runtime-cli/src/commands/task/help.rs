//! What the command teaches.

/// What `task --help` begins with.
pub const ABOUT: &str = "\
Ask a model what it can keep in mind: memory tasks, drawn by a seed.

A small model is trained on examples of the task until it answers held-out ones, or to its last step; then it is asked \
through its state, at delays and lengths that it was not trained on. --paths says which paths it has; whichever they \
are, it has as many parameters. A run's folder, runs/TASK-PATHS-1 or what --out says, is that of `train`, and has beside:

  task.json            the task, the model, and what came of it: nll, accuracy, and the table of the exam

Accuracy is the share of answers whose id has the largest logit. Training, the validations on its way and the exam have \
examples that have nothing to do with each other.

Ctrl-C finishes the step at hand, saves, and says how to go on.";

pub(super) const EXAMPLES: &str = "\
Examples:
  hh-runtime task --list
  hh-runtime task mqar --paths hopfield
  hh-runtime task mqar --length 128 --pairs 8 --width 128 --epochs 8
  hh-runtime task copy --delay 500 --paths ssm+hopfield
  hh-runtime task completion
  hh-runtime task --resume runs/mqar-hopfield-1";

pub(super) const MQAR: &str = "\
An example, with a dot where nothing is asked:

  tokens    k1 v1 k2 v2  0  0 k2  0 k1  0
  targets    .  .  .  .  .  . v2  . v1  .

The generator is that of HazyResearch/zoology (Arora, Eyuboglu et al. 2023); the defaults are those of its figure 2: keys from the \
lower half of 8192 ids, values from the upper, 100,000 examples, 64 passes. With fewer examples every model stays at chance.";

pub(super) const COPY: &str = "\
An example, with a dot where nothing is asked:

  tokens    cue a b c 0 0 0 cue a b
  targets    .  . . . . . .  a  b c
  --blind   cue a b c 0 0 0 cue 0 0

Delays are drawn from --shortest to --delay in training, and asked one by one in the exam, up to twice --delay.";

pub(super) const SELECTIVE_COPY: &str = "\
An example, with a dot where nothing is asked (Gu and Dao 2023):

  tokens    0 a 0 0 b 0 c 0 cue cue cue
  targets   . . . . . . . .  a   b   c

The exam asks at --positions, and at two and four times as many.";

pub(super) const INDUCTION: &str = "\
An example, with a dot where nothing is asked (Olsson et al. 2022, Gu and Dao 2023):

  tokens    5 2 7 cue 3 1 8 2 cue
  targets   . . .  .  . . . .  3

The exam asks at --length, and at four times as many positions again and again, up to --longest.";
