//! Arrow's C data interface through PyCapsules, as all Arrow libraries for Python have it: no copy, and no pyarrow needed.

use crate::errors::input;
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array,
    ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi},
    ffi_stream::{ArrayStreamReader, FFI_ArrowArrayStream},
    make_array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyCapsule, PyTuple},
};
use std::{ffi::CStr, ptr::NonNull, sync::Arc};

const ARRAY: &CStr = c"arrow_array";
const SCHEMA: &CStr = c"arrow_schema";
const STREAM: &CStr = c"arrow_array_stream";

/// The arrays of an object with `__arrow_c_array__` or `__arrow_c_stream__`; `None` for any other object.
pub(crate) fn arrays(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<ArrayRef>>> {
    if object.hasattr("__arrow_c_array__")? {
        let capsules = object.call_method0("__arrow_c_array__")?.cast_into::<PyTuple>()?;
        let (schema, array) = (capsules.get_item(0)?.cast_into::<PyCapsule>()?, capsules.get_item(1)?.cast_into::<PyCapsule>()?);
        return Ok(Some(vec![one(&schema, &array).map_err(failed)?]));
    }
    if object.hasattr("__arrow_c_stream__")? {
        let stream = object.call_method0("__arrow_c_stream__")?.cast_into::<PyCapsule>()?;
        return Ok(Some(several(&stream).map_err(failed)?));
    }
    Ok(None)
}

fn one(schema: &Bound<'_, PyCapsule>, array: &Bound<'_, PyCapsule>) -> Result<ArrayRef, ArrowError> {
    let (schema, array) = (pointer::<FFI_ArrowSchema>(schema, SCHEMA)?, pointer::<FFI_ArrowArray>(array, ARRAY)?);
    // SAFETY: a capsule of this name holds an initialised ArrowSchema or ArrowArray, by the capsule interface, and keeps it for
    // as long as it lives, which is until the end of the caller. The array is moved out, as the interface says: `from_raw` leaves a
    // released one, which the capsule's destructor passes over.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref()) }?;
    checked(make_array(data))
}

fn several(stream: &Bound<'_, PyCapsule>) -> Result<Vec<ArrayRef>, ArrowError> {
    let stream = pointer::<FFI_ArrowArrayStream>(stream, STREAM)?;
    // SAFETY: as in `one`: initialised by the interface, moved out.
    let reader = unsafe { ArrayStreamReader::from_raw(stream.as_ptr()) }?;
    reader.map(|array| checked(array?)).collect()
}

/// An array whose offsets and UTF-8 are what the reader of a text relies on. Arrow trusts what comes through the interface.
fn checked(array: ArrayRef) -> Result<ArrayRef, ArrowError> {
    array.to_data().validate_full()?;
    Ok(array)
}

fn pointer<T>(capsule: &Bound<'_, PyCapsule>, name: &CStr) -> Result<NonNull<T>, ArrowError> {
    capsule.pointer_checked(Some(name)).map(NonNull::cast).map_err(|e| ArrowError::CDataInterface(e.to_string()))
}

fn failed(e: ArrowError) -> PyErr {
    input(format!("the Arrow array cannot be read: {e}"))
}

/// A column of embeddings: `FixedSizeList<float32>`. `pyarrow.array`, `polars.Series` and all else that knows Arrow's capsules
/// take it without a copy.
#[pyclass(frozen, module = "hh")]
pub(crate) struct ArrowArray(ArrayRef);

impl ArrowArray {
    /// Embeddings `[n, dim]`; `present` says which of them are not null.
    pub(crate) fn embeddings(dim: usize, values: Vec<f32>, present: Vec<bool>) -> PyResult<Self> {
        let field = Arc::new(Field::new("item", DataType::Float32, true));
        let nulls = NullBuffer::new(BooleanBuffer::from(present));
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        let width = i32::try_from(dim).map_err(|_| input("embeddings of so many dimensions are no Arrow list"))?;
        let array = FixedSizeListArray::try_new(field, width, Arc::new(Float32Array::from(values)), nulls);
        Ok(Self(Arc::new(array.map_err(failed)?)))
    }
}

#[pymethods]
impl ArrowArray {
    /// Rows.
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// The array by Arrow's PyCapsule interface. Another type cannot be had by `requested_schema`, which is a wish.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let _ = requested_schema;
        let (array, schema) = to_ffi(&self.0.to_data()).map_err(failed)?;
        Ok((PyCapsule::new_with_value(py, schema, SCHEMA)?, PyCapsule::new_with_value(py, array, ARRAY)?))
    }

    /// The type of the array by Arrow's PyCapsule interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.0.data_type()).map_err(|e| PyValueError::new_err(e.to_string()))?;
        PyCapsule::new_with_value(py, schema, SCHEMA)
    }

    fn __repr__(&self) -> String {
        format!("<hh.ArrowArray of {} rows, {}>", self.0.len(), self.0.data_type())
    }
}
