//! Where in a file a value stands that is refused for what it says.

use std::ops::Range;

use toml::de::DeTable;

/// A refusal with line and column, and the line it is about; `place`: names of tables and keys, and places in arrays.
pub(super) fn pointed(text: &str, place: &[String], words: &str) -> String {
    let Some(span) = span_of(text, place) else {
        return words.to_owned();
    };
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let quoted = text.lines().nth(line - 1).unwrap_or_default();
    let margin = " ".repeat(line.to_string().len());
    let indent = " ".repeat(column - 1);
    format!(
        "line {line}, column {column}: {words}\n{margin} |\n{line} | {quoted}\n{margin} | {indent}^"
    )
}

/// The value at a place, or the innermost part of that place that the file has.
fn span_of(text: &str, place: &[String]) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let (first, rest) = place.split_first()?;
    let mut value = table.get_ref().get(first.as_str())?;
    for part in rest {
        let inner = match part.parse::<usize>() {
            Ok(number) => value.get_ref().get(number),
            Err(_) => value.get_ref().get(part.as_str()),
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    Some(value.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, place: &[&str]) -> String {
        let place: Vec<String> = place.iter().map(|part| (*part).to_owned()).collect();
        pointed(text, &place, "no")
    }

    #[test]
    fn a_value_is_pointed_at() {
        let text =
            "bake = \"1h\"\n\n[[override]]\nbumps = [\"major\"]\n[[override]]\nalpha = 0.5\n";
        assert_eq!(
            at(text, &["override", "1", "alpha"]),
            "line 6, column 9: no\n  |\n6 | alpha = 0.5\n  |         ^"
        );
        assert!(at(text, &["override", "0", "packages"]).starts_with("line 3, column 1: no"));
        assert_eq!(at(text, &["beta"]), "no", "it is a default");
    }
}
