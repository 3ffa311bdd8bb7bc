//! JSON objects whose field names may be of any case, as Go reads them.
//!
//! What is not known is passed over, `null` leaves a field as it is, and of a repeated field the last
//! one counts. Nothing is built in memory but what is asked for.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// An object, field by field.
pub(super) trait Fields: Default {
    /// What the object is called when it is none.
    const NAME: &'static str;

    /// Takes the value of a field, whose name comes in lower case, from `map`; false for a field that
    /// is not known.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// The value of a field, unless it is `null`.
pub(super) fn set<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    field: &mut T,
    map: &mut A,
) -> Result<bool, A::Error> {
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = value;
    }
    Ok(true)
}

/// Such an object as serde reads it.
#[derive(Debug, Default)]
pub(super) struct Object<F>(pub F);

impl<'de, F: Fields> Deserialize<'de> for Object<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

struct Reader<F>(PhantomData<F>);

impl<'de, F: Fields> Visitor<'de> for Reader<F> {
    type Value = Object<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object: {}", F::NAME)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = F::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if !fields.take(&name.to_ascii_lowercase(), &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Object(fields))
    }
}
