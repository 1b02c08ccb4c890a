//! What one line of TAP says.

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Version,
    Plan(Plan),
    Point(Point<'a>),
    /// With its reason.
    BailOut(&'a str),
    /// `---`, which begins a block of YAML.
    BlockBegin,
    /// Without its mark.
    Comment(&'a str),
    /// Output of the tests, a pragma, or a later version's line.
    Other,
}

/// How many tests there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) tests: u64,
    /// Whether all of them are skipped.
    pub(super) is_skip: bool,
}

/// The result of a test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Point<'a> {
    pub(super) is_ok: bool,
    /// Without number and directive.
    pub(super) description: &'a str,
    pub(super) directive: Directive,
}

/// What is special about a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    None,
    Skip,
    Todo,
}

/// Reads a line, indented or not.
pub(super) fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    if line
        .strip_prefix("TAP version ")
        .is_some_and(|version| version.parse::<u8>().is_ok())
    {
        return Line::Version;
    }
    if let Some(reason) = line.strip_prefix("Bail out!") {
        return Line::BailOut(reason.trim());
    }
    if line == "---" {
        return Line::BlockBegin;
    }
    if let Some(said) = line.strip_prefix('#') {
        return Line::Comment(said);
    }
    if let Some(plan) = plan(line) {
        return Line::Plan(plan);
    }
    point(line).map_or(Line::Other, Line::Point)
}

fn plan(line: &str) -> Option<Plan> {
    let (range, comment) = split_at_directive(line);
    let (first, last) = range.trim().split_once("..")?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some(Plan {
        // `1..0` plans none.
        tests: last.saturating_add(1).saturating_sub(first),
        is_skip: directive(comment) == Directive::Skip,
    })
}

fn point(line: &str) -> Option<Point<'_>> {
    let (is_ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    // `okay` is no result.
    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let (said, comment) = split_at_directive(rest);
    let directive = directive(comment);
    let said = match directive {
        Directive::None => rest,
        Directive::Skip | Directive::Todo => said,
    };
    let said = said.trim();
    let description = said.trim_start_matches(|c: char| c.is_ascii_digit());
    let has_number = description.is_empty() || description.starts_with(char::is_whitespace);
    let description = if has_number { description } else { said };
    // A brace opens a block of subtests, before TAP 14.
    let description = description.trim().trim_end_matches(" {");
    Some(Point {
        is_ok,
        description: description.strip_prefix("- ").unwrap_or(description),
        directive,
    })
}

/// Splits at the `#` that begins a directive; `\#` is a character like others.
fn split_at_directive(text: &str) -> (&str, &str) {
    let marks = text.match_indices('#').map(|(at, _)| at);
    let mut marks = marks.filter(|&at| !text[..at].ends_with('\\'));
    let found = marks.find(|&at| directive(&text[at + 1..]) != Directive::None);
    found.map_or((text, ""), |at| (&text[..at], &text[at + 1..]))
}

fn directive(comment: &str) -> Directive {
    let word = comment.split_whitespace().next().unwrap_or_default();
    let word = word.to_ascii_lowercase();
    let is_todo = word
        .strip_prefix("todo")
        .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    match word.starts_with("skip") {
        true => Directive::Skip,
        false if is_todo => Directive::Todo,
        false => Directive::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(line: &str) -> (bool, &str, Directive) {
        match parse(line) {
            Line::Point(point) => (point.is_ok, point.description, point.directive),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn results_have_numbers_descriptions_and_directives() {
        use Directive::{None, Skip, Todo};
        assert_eq!(result("ok"), (true, "", None));
        assert_eq!(result("not ok 12 - adds # 2"), (false, "adds # 2", None));
        assert_eq!(result("ok 3 3 is odd"), (true, "3 is odd", None));
        assert_eq!(result("ok 2nd try"), (true, "2nd try", None));
        assert_eq!(result("not ok 4 # TODO if I heard"), (false, "", Todo));
        assert_eq!(result("ok 9 Elegy 9B   # TOdO"), (true, "Elegy 9B", Todo));
        assert_eq!(result("ok 7 # Skipped: no net"), (true, "", Skip));
        assert_eq!(result("ok 7 - a \\# skip"), (true, "a \\# skip", None));
        assert_eq!(result("    ok 1 - inner {"), (true, "inner", None));
        assert_eq!(
            result("not ok 1 - x # todolist"),
            (false, "x # todolist", None)
        );
    }

    #[test]
    fn plans_count_tests_or_skip_them_all() {
        let plan = |tests, is_skip| Line::Plan(Plan { tests, is_skip });
        assert_eq!(parse("1..5"), plan(5, false));
        assert_eq!(parse("1..0 # skip no database"), plan(0, true));
        assert_eq!(parse("1..0"), plan(0, false));
        assert_eq!(parse("1..x"), Line::Other);
        assert_eq!(parse("1..18446744073709551615"), plan(u64::MAX - 1, false));
    }

    #[test]
    fn other_lines_are_told_apart() {
        assert_eq!(parse("TAP version 13"), Line::Version);
        assert_eq!(parse("  Bail out!  disk full"), Line::BailOut("disk full"));
        assert_eq!(parse("# why"), Line::Comment(" why"));
        for other in ["okay", "TAP version x", "pragma +strict", "not okay", ""] {
            assert_eq!(parse(other), Line::Other, "{other}");
        }
    }
}
