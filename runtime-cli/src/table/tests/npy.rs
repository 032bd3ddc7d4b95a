//! NumPy arrays.

use super::*;
use crate::table::{NpyKind, NpyWriter, Vectors};
use half::f16;

fn array(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), numbers].concat()
}

#[test]
fn rows_of_each_precision_are_read_from_the_map() {
    let numbers = [0.5f32, -1.0, 2.0, 3.0, 4.0, -0.25];
    let halves: Vec<_> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let singles: Vec<_> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let doubles: Vec<_> = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    let mut ours = Vec::new();
    NpyWriter::new(&mut ours, NpyKind::F32, 3, 2).unwrap().write(&singles).unwrap();
    for bytes in [array("<f2", "(3, 2)", &halves), array("<f4", "(3, 2)", &singles), array("<f8", "(3, 2)", &doubles), ours] {
        let (_folder, path) = written("a.npy", bytes);
        let vectors = Vectors::open(&path, None).unwrap();
        assert_eq!((vectors.rows(), vectors.dim()), (3, 2));
        for row in 0..3 {
            let mut out = [f32::NAN; 2];
            vectors.row(row, &mut out);
            assert_eq!(out, numbers[row * 2..][..2]);
        }
    }
}

#[test]
fn files_that_are_not_float_matrices_are_rejected() {
    for (bytes, what) in [
        (array("<f4", "(2, 2)", &[0; 15]), "cut off or damaged"),
        (array("<f4", "(4611686018427387904, 16)", &[0; 16]), "cut off or damaged"),
        (array("<i8", "(1, 2)", &[0; 16]), "elements of type <i8"),
        (array(">f4", "(1, 2)", &[0; 8]), "elements of type >f4"),
        (array("<f4", "(4,)", &[0; 16]), "shape [4]"),
        (b"none".to_vec(), "is not a readable .npy"),
    ] {
        let (_folder, path) = written("a.npy", bytes);
        let error = Vectors::open(&path, None).err().unwrap();
        assert!(format!("{error:#}").contains(what), "{error:#}");
    }
    let (_folder, path) = written("a.txt", "none");
    assert!(Vectors::open(&path, None).err().unwrap().to_string().contains("neither a .npy nor a .parquet"));
}
