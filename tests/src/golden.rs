//! Golden vectors of `golden/make.py`.

use hh_core::config::Config;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// One file of golden vectors.
pub struct Golden {
    /// The architecture.
    pub config: Config,
    case: serde_json::Value,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

/// Weights of the losses in `total`.
#[derive(Deserialize, Clone, Copy, Debug)]
pub struct Objective {
    /// ε of label smoothing
    pub smoothing: f32,
    /// λ of the z-loss
    pub z_weight: f32,
    /// λ of the flow head
    pub flow_weight: f32,
}

/// The folder that `HH_GOLDEN` names, for a test binary that runs on another machine, or that of the sources.
fn folder() -> PathBuf {
    std::env::var_os("HH_GOLDEN").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden"), PathBuf::from)
}

/// Names of all cases of the whole model.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the golden vectors lie beside the tests")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| !["adamw", "muon"].contains(&&**name))
        .collect();
    names.sort();
    names
}

impl Golden {
    /// The case of that name.
    pub fn read(name: &str) -> Self {
        Self::open(&folder().join(format!("{name}.safetensors")))
    }

    /// The case in a file that `golden/make.py` or `golden/oracle.py` wrote.
    ///
    /// # Panics
    /// If it is no such file.
    pub fn open(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a golden file of that name");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let case: serde_json::Value = serde_json::from_str(&header.metadata().as_ref().expect("metadata")["case"]).expect("JSON");
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let tensors = file.iter().map(|(name, view)| (name.to_string(), (view.shape().to_vec(), widen(view.dtype(), view.data()))));
        Self { config: Config::from_json(&case["config"].to_string()).expect("a configuration"), tensors: tensors.collect(), case }
    }

    /// A further part of the case.
    pub fn part<T: DeserializeOwned>(&self, key: &str) -> T {
        serde_json::from_value(self.case[key].clone()).expect("JSON of that kind")
    }

    /// A tensor's numbers.
    pub fn numbers(&self, name: &str) -> &[f64] {
        self.maybe(name).unwrap_or_else(|| panic!("no golden tensor {name}"))
    }

    /// A tensor's numbers, if the case has it.
    pub fn maybe(&self, name: &str) -> Option<&[f64]> {
        self.tensors.get(name).map(|(_, numbers)| &numbers[..])
    }

    /// A tensor that was stored as f32.
    pub fn singles(&self, name: &str) -> Vec<f32> {
        self.numbers(name).iter().map(|&x| x as f32).collect()
    }

    /// Token ids.
    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.numbers(name).iter().map(|&x| x as u32).collect()
    }

    /// `(B, T)`
    pub fn extent(&self) -> (usize, usize) {
        let shape = &self.tensors["tokens"].0;
        (shape[0], shape[1])
    }
}

fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        Dtype::I32 => bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
        other => panic!("golden vectors are not stored as {other:?}"),
    }
}
