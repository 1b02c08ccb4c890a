//! Replacements of byte ranges.

use std::ops::Range;

use super::text::Text;

/// A place in the body of a file, and what takes its place.
pub(super) type Replacement = (Range<usize>, String);

/// The bytes of a file with its replacements, which do not overlap. Several insertions at one place stay in order.
pub(super) fn splice(text: &Text<'_>, mut replacements: Vec<Replacement>) -> Vec<u8> {
    replacements.sort_by_key(|(range, _)| (range.start, range.end));
    let mut edited = String::with_capacity(text.mark.len() + text.body.len());
    edited.push_str(text.mark);
    let mut done = 0;
    for (range, with) in replacements {
        edited.push_str(text.body.get(done..range.start).unwrap_or_default());
        edited.push_str(&with);
        done = range.end.max(done);
    }
    edited.push_str(text.body.get(done..).unwrap_or_default());
    edited.into_bytes()
}
