//! Trying pins together, and apart when together they do not go.

use super::pinned::Pinned;
use super::process::ToolError;
use super::verification::Reasons;

/// Tries all pins at once; if the tool refuses, halves of them, down to single ones.
///
/// What a single pin is refused for is noted, and the others go on. A tool that cannot be run is an error.
pub(super) fn as_many_as_go<'a>(
    pins: &[&'a Pinned],
    attempt: &mut dyn FnMut(&[&'a Pinned]) -> Result<(), ToolError>,
    refused: &mut Reasons,
) -> Result<(), ToolError> {
    if pins.is_empty() {
        return Ok(());
    }
    let Err(error) = attempt(pins) else {
        return Ok(());
    };
    let words = error.words()?;
    if let [pin] = pins {
        refused.insert(pin.package.normal().to_owned(), words);
        return Ok(());
    }
    let (one, other) = pins.split_at(pins.len() / 2);
    as_many_as_go(one, attempt, refused)?;
    as_many_as_go(other, attempt, refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Pin;
    use pinion_core::ecosystem::Ecosystem;

    #[test]
    fn one_bad_pin_does_not_keep_the_others_out() {
        let names = ["a", "b", "c", "d", "e"];
        let pins = names.map(|name| Pin {
            package: name.into(),
            version: "1.0.0".into(),
            marker: String::new(),
        });
        let pinned = Pinned::parse_all(Ecosystem::Cargo, &pins).expect("valid");
        let mut gone = Vec::new();
        let mut refused = Reasons::new();
        let mut attempt = |some: &[&Pinned]| {
            if some.iter().any(|pin| pin.name() == "d") {
                let (command, words) = (String::new(), "d is bad".to_owned());
                return Err(ToolError::Failed { command, words });
            }
            gone.extend(some.iter().map(|pin| pin.name().to_owned()));
            Ok(())
        };
        let all: Vec<_> = pinned.iter().collect();
        as_many_as_go(&all, &mut attempt, &mut refused).expect("tried");
        assert_eq!(gone, ["a", "b", "c", "e"]);
        assert_eq!(refused["d"], "d is bad");
    }
}
