//! Evaluation of embeddings: semantic textual similarity (STS) and retrieval.

mod cranfield;
mod figures;
mod retrieval;
mod sts;

pub use cranfield::{Cranfield, Judgement};
pub use figures::{fused, ndcg, ranking, recall, spearman, summed};
pub use retrieval::{Retrieval, retrieve};
pub use sts::{Similarity, read as read_sts, similarity};
