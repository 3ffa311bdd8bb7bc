//! Several sorted sources read as one.

use bytes::Bytes;

use super::StoreError;
use super::layer::Value;

/// Sorted rows of one layer, or the error that ended them.
pub type Source<'a> = Box<dyn Iterator<Item = Result<(Bytes, Value), StoreError>> + 'a>;

/// Visits the rows of all sources below `to` in order. Of sources that know the same row the first one
/// counts, and rows that it knows to be removed are left out.
///
/// # Errors
/// The first error of a source.
pub fn merge(
    sources: Vec<Source<'_>>,
    to: Option<&[u8]>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut sources = sources;
    let mut heads = Vec::with_capacity(sources.len());
    for source in &mut sources {
        heads.push(source.next().transpose()?);
    }
    loop {
        let keys = heads.iter().flatten().map(|(key, _)| key);
        let Some(key) = keys.min().cloned() else { return Ok(()) };
        if to.is_some_and(|to| *key >= *to) {
            return Ok(());
        }
        let mut newest = None;
        for (head, source) in heads.iter_mut().zip(&mut sources) {
            if head.as_ref().is_some_and(|(head_key, _)| *head_key == key) {
                let row = std::mem::replace(head, source.next().transpose()?);
                newest = newest.or(row);
            }
        }
        let (_, value) = newest.expect("the least key is that of a head");
        if let Some(value) = value
            && !visit(&key, &value)
        {
            return Ok(());
        }
    }
}
