//! What a body or a query may have: noted by the same calls that read it, so that the description of
//! the interface cannot say anything else.
#![cfg_attr(not(feature = "openapi"), expect(dead_code, reason = "only described"))]

use serde_json::Value;

/// A field.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) presence: Presence,
    pub(super) shape: Shape,
}

/// Whether a field has to be there.
#[derive(Clone, Debug)]
pub(super) enum Presence {
    /// It may be left out: then it is this. It may not be null.
    Default(Value),
    /// It may be left out, but not be null.
    NotNull,
    /// It may be left out, or be null.
    Optional,
    /// It has to be there.
    Required,
}

/// Which there are.
pub(super) type Names = fn() -> Vec<&'static str>;

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// An IP address.
    Address,
    /// Whatever is not null.
    Any,
    /// A truth value, in any of its forms.
    Bool,
    /// A number, also as text.
    Float { min: f64, max: Option<f64> },
    /// An id.
    Id,
    /// A list of ids.
    Ids { max: usize },
    /// A whole number, also as text.
    Int { min: u32, max: u32 },
    /// Text that has to mean something: what, depends on the field's name.
    Meaning,
    /// The name of a peer or a room.
    Name,
    /// An object of any content.
    Object,
    /// The proof of a host.
    Proof,
    /// The name of a status, in any case.
    Status(Names),
    /// The same, or nothing.
    StatusFilter(Names),
    /// Text.
    Text { max: usize },
    /// Text, or a number that stands for it.
    TextOrNumber,
    /// A list of texts.
    Texts { max: usize, chars: usize },
}
