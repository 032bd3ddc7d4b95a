//! Faults that the test suite must notice.

macro_rules! faults {
    ($($name:ident),* $(,)?) => {
        /// A mistake that someone could make in a kernel. [`Instrumented`](crate::instrumented::Instrumented) makes it on purpose.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "each name says what is wrong")]
        pub enum Fault {
            $($name),*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    PositionsShifted,
    RotationMissing,
    RotationNotUndone,
    ConvolutionReversed,
    DecayWithoutItsEight,
    AttentionWindowOffByOne,
    HopfieldWindowOffByOne,
    SuccessorForgotten,
    SlotsForgotten,
    GatesNotScaled,
    ControlIgnored,
    PathsNotNormalised,
    SummaryDecayNegated,
    NormWithoutEpsilon,
    ClockStands,
    ConvolutionForgets,
    ScanForgets,
    LastPatternForgotten,
    EmbeddingGradientOverwrites,
    PositionsGradientDropped,
    ResidualGradientDropped,
    NormGainGradientDropped,
    AddedGradientOverwrites,
    BiasGradientDropped,
    ConvolutionBiasGradientDropped,
    SkipGradientDropped,
    AttentionGradientNegated,
    DepthGradientDropped,
    TemperatureGradientDropped,
    SlotGradientsDropped,
    ForgettingGradientDropped,
    ControlGradientDropped,
    GateGradientDropped,
    SummaryDecayGradientDropped,
    SwigluHalvesSwapped,
    ZLossDropped,
    SmoothingDropped,
    FlowGoalNegated,
    FlowTimeGradientDropped,
    FlowNotAveraged,
    DropoutMaskOfAnotherSite,
    SumOverwrites,
    ClippingForgotten,
    WeightDecayForgotten,
    MomentsNotCorrected,
    AverageStands,
    MomentumForgotten,
    NewtonSchulzStepDropped,
    PackedMatricesOrthogonalisedAsOne,
    FillingAveraged,
    EpisodeOfItsOwnToken,
    EpisodicWindowOffByOne,
    EpisodicMatchIgnored,
    EpisodesForgotten,
    EpisodicKeyGradientDropped,
    EpisodicTemperatureGradientDropped,
    MixtureGradientDropped,
}
