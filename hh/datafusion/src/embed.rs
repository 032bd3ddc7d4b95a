//! `embed(text)`, `embed(text, 'query')`.

use crate::{item, vectors};
use datafusion::{
    arrow::{
        array::{Array, FixedSizeListArray, Float32Array, StringArray},
        buffer::{BooleanBuffer, NullBuffer},
        compute::cast,
        datatypes::DataType,
    },
    common::{Result, ScalarValue, cast::as_string_array, exec_err, plan_err},
    error::DataFusionError,
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility},
};
use hh::{Blank, EmbedOptions, Embedder, Error};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Texts of one call of the embedder at most: bounds the memory that a batch takes.
const ROWS: usize = 1024;

/// The embedding of a text, a list of floats of length 1; null for null and for a text of nothing but white space. The second argument is
/// `'plain'` (the default), `'query'` or `'document'`. Of literals it is computed once for a query.
pub struct Embed {
    embedder: Arc<Embedder>,
    dim: i32,
    signature: Signature,
}

impl Embed {
    /// The function of a model.
    ///
    /// # Panics
    /// For a model of more than 2³¹ dimensions.
    pub fn new(embedder: Embedder) -> Self {
        let texts = vec![TypeSignature::String(1), TypeSignature::String(2)];
        Self {
            dim: embedder.dim().try_into().expect("dimensions of an embedding"),
            embedder: Arc::new(embedder),
            signature: Signature::one_of(texts, Volatility::Immutable),
        }
    }

    fn column(&self, texts: &StringArray, options: &EmbedOptions) -> Result<FixedSizeListArray> {
        let dim = self.embedder.dim();
        let mut values = Vec::with_capacity(texts.len() * dim);
        // A missing text is a blank one, whose embedding is zeros.
        let all: Vec<&str> = texts.iter().map(Option::unwrap_or_default).collect();
        for (part, texts) in all.chunks(ROWS).enumerate() {
            let made = self.embedder.embed(texts, options).map_err(|e| failed(part * ROWS, e))?;
            values.extend_from_slice(made.as_f32().unwrap_or_default());
        }
        let present = BooleanBuffer::collect_bool(texts.len(), |row| values[row * dim..][..dim].iter().any(|&x| x != 0.0));
        let (field, values) = (Arc::new(item()), Arc::new(Float32Array::from(values)));
        Ok(FixedSizeListArray::try_new(field, self.dim, values, Some(NullBuffer::new(present)))?)
    }
}

fn failed(first: usize, error: Error) -> DataFusionError {
    let error = match error {
        Error::Text { text, source } => Error::Text { text: first + text, source },
        error => error,
    };
    DataFusionError::Execution(format!("embed: in a batch, {error}"))
}

impl ScalarUDFImpl for Embed {
    fn name(&self) -> &str {
        "embed"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(vectors(self.dim))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = match args.args.get(1) {
            None => EmbedOptions::default(),
            Some(ColumnarValue::Scalar(kind)) => match kind.try_as_str().flatten() {
                Some("plain") => EmbedOptions::default(),
                Some("query") => EmbedOptions::query(),
                Some("document") => EmbedOptions::document(),
                _ => return plan_err!("embed: the kind of a text is {kind}; give 'plain', 'query' or 'document'"),
            },
            Some(ColumnarValue::Array(_)) => {
                return plan_err!("embed: the kind of a text is a column; give 'plain', 'query' or 'document'");
            }
        };
        let options = EmbedOptions { blank: Blank::Zero, ..options };
        let column = |texts: &dyn Array| self.column(as_string_array(&cast(texts, &DataType::Utf8)?)?, &options);
        match &args.args[0] {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(Arc::new(column(texts)?))),
            ColumnarValue::Scalar(text) => {
                let one = column(&text.to_array()?)?;
                if one.len() != 1 {
                    return exec_err!("embed: one text has {} embeddings", one.len());
                }
                Ok(ColumnarValue::Scalar(ScalarValue::FixedSizeList(Arc::new(one))))
            }
        }
    }
}

impl fmt::Debug for Embed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embed").field("dim", &self.dim).finish_non_exhaustive()
    }
}

/// The same function is one of the same embedder.
impl PartialEq for Embed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.embedder, &other.embedder)
    }
}

impl Eq for Embed {}

impl Hash for Embed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.embedder).hash(state);
    }
}
