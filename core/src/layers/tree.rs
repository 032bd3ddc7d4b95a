//! Trees of tensors, whose leaves are listed once.

use alloc::vec::Vec;

/// Declares a struct over its leaves, its constructor and its iterators from one list of fields, in file order.
///
/// A field is `name: Type as kind = value`. `value` makes it, from the arguments of `new` and the closure that makes a leaf from
/// its name and shape; what several of them use may follow these, each after a semicolon. `kind` says how its leaves are found: `leaf` is one, `option` none or one, `pair` none or two; `tree` is a
/// tree, `trees` an option or a vector of them. The form `leaves(name as kind, …)` gives a struct that is declared elsewhere the
/// iterators alone.
macro_rules! tree {
    (
        $(#[$doc:meta])*
        pub struct $Name:ident($($arg:ident: $Arg:ty),*; $leaf:ident $(; $local:ident = $init:expr)*) {
            $($(#[$field_doc:meta])* $field:ident: $Type:ty as $kind:ident = $value:expr,)*
        }
    ) => {
        $(#[$doc])*
        pub struct $Name<T> {
            $($(#[$field_doc])* pub $field: $Type,)*
        }

        impl<T> $Name<T> {
            /// Makes the leaves in file order.
            ///
            /// # Errors
            /// The closure's own.
            // Each frame holds its tree several times; inlined into one, those of a model are more stack than a microcontroller has.
            #[inline(never)]
            pub fn new<E>($($arg: $Arg,)* $leaf: $crate::layers::Leaf<'_, T, E>) -> Result<Self, E> {
                $(let $local = $init;)*
                Ok(Self { $($field: $value,)* })
            }

            $crate::layers::tree::tree!(leaves($($field as $kind,)*));
        }
    };
    (leaves($($field:ident as $kind:ident,)*)) => {
        /// All leaves in file order.
        pub fn leaves(&self) -> impl Iterator<Item = &T> {
            core::iter::empty()$(.chain($crate::layers::tree::tree!(@$kind self.$field)))*
        }

        /// All leaves in file order.
        pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
            core::iter::empty()$(.chain($crate::layers::tree::tree!(@mut $kind self.$field)))*
        }
    };
    (@leaf $self:ident.$field:ident) => { core::iter::once(&$self.$field) };
    (@option $self:ident.$field:ident) => { $self.$field.iter() };
    (@pair $self:ident.$field:ident) => { $self.$field.iter().flatten() };
    (@tree $self:ident.$field:ident) => { $self.$field.leaves() };
    (@trees $self:ident.$field:ident) => { $self.$field.iter().flat_map(|tree| tree.leaves()) };
    (@mut leaf $self:ident.$field:ident) => { core::iter::once(&mut $self.$field) };
    (@mut option $self:ident.$field:ident) => { $self.$field.iter_mut() };
    (@mut pair $self:ident.$field:ident) => { $self.$field.iter_mut().flatten() };
    (@mut tree $self:ident.$field:ident) => { $self.$field.leaves_mut() };
    (@mut trees $self:ident.$field:ident) => { $self.$field.iter_mut().flat_map(|tree| tree.leaves_mut()) };
}
pub(crate) use tree;

/// Something, or nothing where it is off.
pub(crate) fn when<X, E>(on: bool, make: impl FnOnce() -> Result<X, E>) -> Result<Option<X>, E> {
    if on { make().map(Some) } else { Ok(None) }
}

/// One for each layer. Not inlined, as the constructors of trees, and without memory for more than `layers`.
#[inline(never)]
pub(crate) fn each<X, E>(layers: usize, mut make: impl FnMut(usize) -> Result<X, E>) -> Result<Vec<X>, E> {
    let mut all = Vec::with_capacity(layers);
    for layer in 0..layers {
        all.push(make(layer)?);
    }
    Ok(all)
}
