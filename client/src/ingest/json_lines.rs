//! Events as JSON, one a line, among lines of other programs.

use std::io::BufRead;

use serde::de::DeserializeOwned;

use super::reading::{Fault, Position};
use super::source::{LineEnd, Source};

/// The longest event that is read.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Gives every event to `take`, in order. Lines that are no JSON objects, and objects of another shape,
/// are passed over.
pub(super) fn for_each<E: DeserializeOwned>(
    source: &mut Source<impl BufRead>,
    mut take: impl FnMut(E),
) -> Result<(), Fault> {
    let mut line = String::new();
    loop {
        let at = here(source);
        let end = source
            .line_into(&mut line, LINE_BYTES_MAX)
            .map_err(|cause| Fault::io(at, &cause))?;
        let Some(end) = end else {
            return Ok(());
        };
        if !line.trim_start().starts_with('{') {
            continue;
        }
        match serde_json::from_str(&line) {
            Ok(event) => take(event),
            Err(error) if error.is_data() => {}
            Err(_) if end == LineEnd::Cut => {
                return Err(Fault::malformed(at, "the line is too long"));
            }
            Err(_) if end == LineEnd::Missing => {
                return Err(Fault::truncated(at, "it ends in the middle of an event"));
            }
            Err(error) => return Err(Fault::malformed(at, format!("it is no JSON: {error}"))),
        }
    }
}

/// Where the next line begins.
pub(super) fn here(source: &Source<impl BufRead>) -> Position {
    Position {
        byte: source.byte(),
        line: Some(source.line()),
    }
}
