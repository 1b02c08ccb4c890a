//! `package.json`: dependencies, and the overrides of npm, Yarn and pnpm. What peers ask for is left alone: it is for
//! those who use the package.

use jsonc_parser::ast::{Object, ObjectProp, ObjectPropName, StringLit, Value};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::dialect::Dialect;
use super::entry::{Entry, Says, Scope, Wanted};
use super::literal::Literal;
use super::npm;
use super::text::{Malformed, Text};
use crate::ecosystem::Ecosystem;

/// Objects of names and ranges.
const KINDS: [&str; 3] = ["dependencies", "devDependencies", "optionalDependencies"];

/// The dependencies of a manifest.
pub(super) fn entries<'a>(text: &Text<'a>, wanted: &Wanted) -> Result<Vec<Entry<'a>>, Malformed> {
    let Some(manifest) = parse(text)? else {
        return Ok(Vec::new());
    };
    let reader = Reader {
        text: *text,
        wanted,
    };
    let mut entries = Vec::new();
    for kind in KINDS {
        for (name, value) in members(manifest.get_object(kind)) {
            entries.extend(reader.dependency(name, value));
        }
    }
    for (name, value) in members(manifest.get_object("peerDependencies")) {
        let reason = "its users choose it, since it is a peer dependency";
        entries.extend(reader.nothing(name, value, reason));
    }
    reader.overrides(manifest.get_object("overrides"), None, &mut entries);
    let pnpm = manifest.get_object("pnpm");
    for (key, value) in members(pnpm.and_then(|pnpm| pnpm.get_object("overrides"))) {
        entries.extend(reader.selected(pnpm_subject(key), value));
    }
    for (key, value) in members(manifest.get_object("resolutions")) {
        entries.extend(reader.selected(yarn_subject(key), value));
    }
    Ok(entries)
}

/// The object that a text is; none if it is another value.
fn parse<'a>(text: &Text<'a>) -> Result<Option<Object<'a>>, Malformed> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(text.body, &CollectOptions::default(), &strict) {
        Ok(result) => Ok(match result.value {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        }),
        Err(error) => Err(text.malformed(error.range().start, error.kind().to_string())),
    }
}

fn members<'o, 'a>(
    object: Option<&'o Object<'a>>,
) -> impl Iterator<Item = (&'o str, &'o ObjectProp<'a>)> {
    let properties = object.into_iter().flat_map(|object| &object.properties);
    properties.map(|property| (name_of(property), property))
}

fn name_of<'o>(property: &'o ObjectProp<'_>) -> &'o str {
    match &property.name {
        ObjectPropName::String(name) => &name.value,
        ObjectPropName::Word(name) => name.value,
    }
}

/// What the key of an override is about.
#[derive(Clone, Copy, Debug)]
struct Selected<'k> {
    name: &'k str,
    /// Whether it is about the package wherever it is asked for.
    is_everywhere: bool,
}

/// Finds entries in the members of objects.
struct Reader<'w, 'a> {
    text: Text<'a>,
    wanted: &'w Wanted,
}

impl<'a> Reader<'_, 'a> {
    fn dependency(&self, name: &str, property: &ObjectProp<'a>) -> Option<Entry<'a>> {
        match &property.value {
            Value::StringLit(string) => self.asked(name, string, property.range.start),
            _ => None,
        }
    }

    /// An override whose key selects what it is for.
    fn selected(&self, selected: Selected<'_>, property: &ObjectProp<'a>) -> Option<Entry<'a>> {
        let entry = self.dependency(selected.name, property)?;
        let scope = if selected.is_everywhere {
            Scope::Whole
        } else {
            Scope::Part
        };
        Some(Entry { scope, ..entry })
    }

    /// npm's overrides, which nest: those below a package hold for what it depends on, and `.` for itself.
    fn overrides(
        &self,
        object: Option<&Object<'a>>,
        parent: Option<Selected<'_>>,
        entries: &mut Vec<Entry<'a>>,
    ) {
        for (key, property) in members(object) {
            let selected = match (key, parent) {
                (".", Some(parent)) => parent,
                _ => Selected {
                    is_everywhere: parent.is_none() && npm_subject(key).is_everywhere,
                    ..npm_subject(key)
                },
            };
            match &property.value {
                Value::Object(nested) => self.overrides(Some(nested), Some(selected), entries),
                _ => entries.extend(self.selected(selected, property)),
            }
        }
    }

    fn nothing(&self, name: &str, property: &ObjectProp<'a>, reason: &str) -> Option<Entry<'a>> {
        let package = self.wanted.package(Ecosystem::Npm, name)?;
        let says = Says::Nothing(reason.to_owned());
        Some(Entry::new(package, property.range.start, says))
    }

    /// What a text asks for: a range, or an alias `npm:name@range`, which is about that name.
    fn asked(&self, name: &str, string: &StringLit<'a>, at: usize) -> Option<Entry<'a>> {
        let asked = string.value.as_ref();
        let (name, start) = match asked.strip_prefix("npm:") {
            None => (name, 0),
            // Yarn writes a range behind it.
            Some(range) if npm::is_range(range) => (name, "npm:".len()),
            Some(alias) => match alias.rfind('@').filter(|at| *at > 0) {
                Some(at) => (alias.get(..at)?, "npm:".len() + at + 1),
                None => (alias, asked.len()),
            },
        };
        let package = self.wanted.package(Ecosystem::Npm, name)?;
        let range = asked.get(start..)?;
        let is_range = npm::is_range(range) && (start == 0 || !range.is_empty());
        let says = match is_range {
            true => {
                let place = string.range.start..string.range.end;
                let literal = Literal::quoted(self.text.body, place, &string.value);
                Says::Versions(Dialect::Npm, literal.with_part(start..asked.len()))
            }
            false => Says::Nothing(format!("`{asked}` is no range of versions")),
        };
        Some(Entry::new(package, at, says))
    }
}

/// `name` or `name@range`.
fn npm_subject(key: &str) -> Selected<'_> {
    let at = key.char_indices().skip(1).find(|(_, c)| *c == '@');
    match at.and_then(|(at, _)| key.split_at_checked(at)) {
        Some((name, _)) => Selected {
            name,
            is_everywhere: false,
        },
        None => Selected {
            name: key,
            is_everywhere: true,
        },
    }
}

/// `name`, `parent>name`, both also with `@range`, in which `>` may stand behind a blank, `|` or `@`.
fn pnpm_subject(key: &str) -> Selected<'_> {
    let mut before = '@';
    let mut start = None;
    for (at, c) in key.char_indices() {
        if c == '>' && !matches!(before, ' ' | '|' | '@') {
            start = Some(at + 1);
        }
        before = c;
    }
    let selected = npm_subject(start.and_then(|start| key.get(start..)).unwrap_or(key));
    Selected {
        is_everywhere: start.is_none() && selected.is_everywhere,
        ..selected
    }
}

/// `name`, `**/name`, `parent/name`, `parent/**/name`, `name@npm:range`.
fn yarn_subject(key: &str) -> Selected<'_> {
    let last = key.rfind('/').map_or(0, |at| at + 1);
    let before = key.get(..last).unwrap_or_default();
    let above = before.trim_end_matches('/');
    let scope = above.rfind('/').map_or(0, |at| at + 1);
    let start = match above.get(scope..) {
        Some(segment)
            if segment.starts_with('@')
                && !segment.get(1..).is_some_and(|rest| rest.contains('@')) =>
        {
            scope
        }
        _ => last,
    };
    let selected = npm_subject(key.get(start..).unwrap_or(key));
    Selected {
        is_everywhere: matches!(key.get(..start), Some("" | "**/")) && selected.is_everywhere,
        ..selected
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{change, edited, reading};
    use super::*;
    use crate::ecosystem::Ecosystem::Npm;

    const MANIFEST: &str = r#"{
  "name": "left-pad", "version": "1.3.0",
  "dependencies": {
    "left-pad": "^1.3.0",
    "@babel/core" :"1.3.0",
    "pad": "npm:left-pad@1.3.0",
    "scoped": "npm:@babel/core@~1.3.0",
    "mine": "workspace:*",
    "next": "latest",
    "github": "owner/repo#v1.3.0"
  },
	"devDependencies": {"left-pad": "\u003e=1.0.0"},
  "peerDependencies": {"left-pad": ">=1", "react": "1.3.0"},
  "overrides": {
    "left-pad@^1.0.0": "1.3.0",
    "webpack": {".": "1.3.0", "left-pad": "1.3.0", "@babel/core": "$@babel/core"}
  },
  "resolutions": {"**/left-pad": "1.3.0", "webpack/**/@babel/core": "1.3.0", "left-pad@npm:^1.0.0": "npm:1.3.0"},
  "pnpm": {"overrides": {"left-pad@>=1 <2": "1.3.0", "webpack@1>@babel/core": "1.3.0"}}
}"#;

    #[test]
    fn dependencies_and_overrides_change_and_nothing_else() {
        let changes = ["left-pad", "@babel/core", "webpack"]
            .map(|package| change(Npm, package, "1.3.0", "1.2.0"));
        let after = MANIFEST
            .replace("\"^1.3.0\"", "\"1.2.0\"")
            .replace("\\u003e=1.0.0", "1.2.0")
            .replace("1.3.0", "1.2.0")
            .replace("\"version\": \"1.2.0\"", "\"version\": \"1.3.0\"")
            .replace("#v1.2.0", "#v1.3.0")
            .replace("\"react\": \"1.2.0\"", "\"react\": \"1.3.0\"");
        assert_eq!(edited("package.json", MANIFEST, &changes), Ok(after));
    }

    #[test]
    fn what_has_no_version_of_its_own_is_left_alone() {
        let refused = |package| {
            let change = change(Npm, package, "1.3.0", "1.2.0");
            let error = edited("package.json", MANIFEST, &[change]).expect_err("refused");
            error.to_string()
        };
        let without = "without a version that could change";
        assert_eq!(
            refused("mine"),
            format!("line 8 names `mine` {without}: `workspace:*` is no range of versions")
        );
        assert_eq!(
            refused("next"),
            format!("line 9 names `next` {without}: `latest` is no range of versions")
        );
        assert_eq!(
            refused("react"),
            format!(
                "line 13 names `react` {without}: its users choose it, since it is a peer dependency"
            )
        );
        assert_eq!(
            refused("pad"),
            "it has no pin of `pad`",
            "that is only an alias"
        );
    }

    #[test]
    fn exact_ranges_that_hold_everywhere_are_pins() {
        let found = reading("package.json", MANIFEST);
        assert_eq!(
            found.iter().take(4).collect::<Vec<_>>(),
            [
                "@babel/core 1.3.0",
                "left-pad 1.3.0",
                "webpack 1.3.0",
                "4 left-pad: it allows `^1.3.0`"
            ]
        );
        let below_webpack = "16 left-pad: it holds under a condition only".to_owned();
        assert!(found.contains(&below_webpack), "{found:#?}");
    }

    #[test]
    fn keys_of_overrides_select_packages() {
        let pnpm = |key| (pnpm_subject(key).name, pnpm_subject(key).is_everywhere);
        assert_eq!(pnpm("a"), ("a", true));
        assert_eq!(pnpm("@s/a@>1"), ("@s/a", false));
        assert_eq!(pnpm("b@1>@s/a@>=1 || >2"), ("@s/a", false));
        let yarn = |key| (yarn_subject(key).name, yarn_subject(key).is_everywhere);
        assert_eq!(yarn("@s/a"), ("@s/a", true));
        assert_eq!(yarn("**/@s/a"), ("@s/a", true));
        assert_eq!(yarn("b/**/a"), ("a", false));
        assert_eq!(yarn("@s/b/a"), ("a", false));
        assert_eq!(yarn("a@npm:^1"), ("a", false));
    }

    proptest! {
        #[test]
        fn only_the_intended_pin_differs_and_its_reverse_restores_every_byte(
            rows in proptest::collection::vec((0u32..50, 0usize..3, "[ \t\n]{0,2}"), 1..20),
            which in any::<prop::sample::Index>(),
        ) {
            let members = rows.iter().enumerate().map(|(i, (version, form, blank))| match form {
                0 => format!("{blank}\"p{i}\":{blank}\"{version}.0.0\""),
                1 => format!("\"x{i}\"{blank}: \"npm:p{i}@{version}.0.0\""),
                _ => format!("\"p{i}\": \"v{version}.0.0\""),
            });
            let text = format!("{{\"devDependencies\": {{{}}}}}\n", members.collect::<Vec<_>>().join(","));
            let i = which.index(rows.len());
            let (version, form) = (rows[i].0, rows[i].1);
            let change = change(Npm, &format!("p{i}"), &format!("{version}.0.0"), "99.0.0-rc.1");
            let after = edited("package.json", &text, std::slice::from_ref(&change)).expect("edits");
            let mut expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let (key, value) = match form {
                0 => (format!("p{i}"), "99.0.0-rc.1".to_owned()),
                1 => (format!("x{i}"), format!("npm:p{i}@99.0.0-rc.1")),
                _ => (format!("p{i}"), "v99.0.0-rc.1".to_owned()),
            };
            expected["devDependencies"][key] = value.into();
            let found: serde_json::Value = serde_json::from_str(&after).expect("JSON");
            prop_assert_eq!(found, expected);
            prop_assert_eq!(edited("package.json", &after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
