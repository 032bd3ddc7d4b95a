//! `cosine(a, b)`.

use datafusion::{
    arrow::{
        array::{Array, AsArray, FixedSizeListArray, Float32Array},
        datatypes::{DataType, Float32Type},
    },
    common::{Result, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};
use hh::Vector;
use std::sync::Arc;

/// The cosine of two embeddings, between −1 and 1, 0 where one is zero; null where one is null.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Cosine {
    signature: Signature,
}

impl Default for Cosine {
    fn default() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let dim = |of: &DataType| match of {
            DataType::FixedSizeList(item, dim) if *item.data_type() == DataType::Float32 => Some(*dim),
            _ => None,
        };
        match types {
            [a, b] if dim(a).is_some() && dim(a) == dim(b) => Ok(DataType::Float32),
            [a, b] => plan_err!("cosine takes two embeddings of the same dimensions, lists of Float32 of fixed size, not {a} and {b}"),
            _ => plan_err!("cosine takes two embeddings"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalars = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // A scalar, the embedding of the question as a rule, is not repeated for every row.
        let columns = args.args.iter().map(|arg| match arg {
            ColumnarValue::Array(array) => Ok((array.clone(), false)),
            ColumnarValue::Scalar(value) => Ok((value.to_array()?, true)),
        });
        let columns: Vec<_> = columns.collect::<Result<_>>()?;
        let row = |side: usize, row: usize| vector(columns[side].0.as_fixed_size_list(), if columns[side].1 { 0 } else { row });
        let rows = if all_scalars { 1 } else { args.number_rows };
        let cosine = |i: usize| match (row(0, i), row(1, i)) {
            (Some(a), Some(b)) => Vector::F32(a).similarity(Vector::F32(b)).ok(),
            _ => None,
        };
        let result: Float32Array = (0..rows).map(cosine).collect();
        if all_scalars {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(result)))
    }
}

fn vector(list: &FixedSizeListArray, row: usize) -> Option<&[f32]> {
    let dim = list.value_length() as usize;
    let values = list.values().as_primitive::<Float32Type>().values();
    list.is_valid(row).then(|| &values[list.value_offset(row) as usize..][..dim])
}
