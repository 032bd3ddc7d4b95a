use hh::LoadedModel;
use hh_cpu::Tensor;
use std::rc::Rc;

/// Weights, tokenizer and training conventions, shared by a model, its sessions and its embedders.
pub(crate) type Loaded = Rc<LoadedModel<Tensor<f32>>>;
