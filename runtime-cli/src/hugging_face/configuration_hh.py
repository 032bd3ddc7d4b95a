"""Configuration of hh models for `transformers`. Written by `hh-runtime export --hf`."""

from transformers import PretrainedConfig

PATHS = ("ssm", "hopfield", "attention")


class HHConfig(PretrainedConfig):
    """The architecture of a hybrid of state space, Hopfield memory and attention. A path width is one number, or one per layer; 0 is off.

    `context` bounds what attention and modern Hopfield memories see, in positions, as a session of hh does; 0 is no bound.
    """

    model_type = "hh"
    attribute_map = {"hidden_size": "width", "num_hidden_layers": "layers", "intermediate_size": "ffn"}

    def __init__(
        self,
        vocab_size=256,
        width=128,
        layers=4,
        ffn=256,
        head_dim=32,
        embed_dim=0,
        positions="rope",
        max_len=1024,
        ssm_width=64,
        ssm_conv=4,
        hopfield_width=0,
        hopfield_kind="modern",
        hopfield_depths=(),
        hopfield_slots=0,
        hopfield_window=0,
        hopfield_association="successor",
        attention_width=0,
        attention_window=0,
        mixer_kind="softmax",
        mixer_hidden=32,
        segments=1,
        controller_width=0,
        controller_inject=True,
        episodic_width=0,
        episodic_window=0,
        pooled_dim=0,
        norm_eps=1e-5,
        context=0,
        **kwargs,
    ):
        def spread(widths):
            widths = list(widths) if isinstance(widths, (list, tuple)) else [widths]
            return widths * layers if len(widths) == 1 else widths

        self.vocab_size, self.width, self.layers, self.ffn, self.head_dim = vocab_size, width, layers, ffn, head_dim
        self.embed_dim = embed_dim or width
        self.positions, self.max_len = positions, max_len
        self.ssm_width, self.ssm_conv = spread(ssm_width), ssm_conv
        self.hopfield_width, self.hopfield_kind = spread(hopfield_width), hopfield_kind
        self.hopfield_depths, self.hopfield_slots = list(hopfield_depths), hopfield_slots
        self.hopfield_window, self.hopfield_association = hopfield_window, hopfield_association
        self.attention_width, self.attention_window = spread(attention_width), attention_window
        self.mixer_kind, self.mixer_hidden, self.segments = mixer_kind, mixer_hidden, segments
        self.controller_width, self.controller_inject = controller_width, controller_inject
        self.episodic_width, self.episodic_window = episodic_width, episodic_window
        self.pooled_dim, self.norm_eps, self.context = pooled_dim, norm_eps, context
        kwargs["use_cache"] = False  # every step computes the whole text again
        kwargs.setdefault("tie_word_embeddings", True)
        super().__init__(**kwargs)

    def paths(self, layer):
        """The paths of a layer that are on, with their widths, in the order in which everything is packed."""
        widths = {path: getattr(self, f"{path}_width")[layer] for path in PATHS}
        return {path: width for path, width in widths.items() if width}

    def window(self, own):
        """Newest positions that a memory with the window `own` sees; 0 is all."""
        return min(own, self.context) if own and self.context else own or self.context
