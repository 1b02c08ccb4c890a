//! `Cargo.toml`: dependencies of every kind and target, and those of the workspace. `[patch]` is left alone.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::dialect::Dialect;
use super::entry::{Entry, Says, Wanted};
use super::text::{Malformed, Text};
use super::toml_tree::{literal, parse, table_at, tables_under};
use crate::ecosystem::Ecosystem;

/// Tables of dependencies. Cargo reads the spellings with `_` too, in editions that have them.
const KINDS: [&str; 5] = [
    "dependencies",
    "dev-dependencies",
    "dev_dependencies",
    "build-dependencies",
    "build_dependencies",
];

/// The dependencies of a manifest.
pub(super) fn entries<'a>(text: &Text<'a>, wanted: &Wanted) -> Result<Vec<Entry<'a>>, Malformed> {
    let manifest = parse(text)?;
    let mut entries = Vec::new();
    let tables = std::iter::once(&manifest)
        .chain(tables_under(&manifest, &["target"]))
        .flat_map(|table| KINDS.map(|kind| table_at(table, &[kind])))
        .chain([table_at(&manifest, &["workspace", "dependencies"])]);
    for (name, value) in tables.flatten().flatten() {
        entries.extend(entry(text, name.get_ref(), value, wanted));
    }
    Ok(entries)
}

fn entry<'a>(
    text: &Text<'a>,
    name: &str,
    value: &Spanned<DeValue<'a>>,
    wanted: &Wanted,
) -> Option<Entry<'a>> {
    let renamed = value
        .get_ref()
        .get("package")
        .and_then(|name| name.get_ref().as_str());
    let package = wanted.package(Ecosystem::Cargo, renamed.unwrap_or(name))?;
    let version = value.get_ref().get("version");
    let at = version.unwrap_or(value).span().start;
    Some(Entry::new(package, at, says(text, value)))
}

fn says<'a>(text: &Text<'a>, value: &Spanned<DeValue<'a>>) -> Says<'a> {
    let version = match value.get_ref().as_table() {
        Some(table) => match elsewhere(table) {
            Some(reason) => return Says::Nothing(reason.to_owned()),
            None => table.get("version"),
        },
        None => Some(value),
    };
    match version.and_then(|version| literal(text, version)) {
        Some(literal) => Says::Versions(Dialect::Cargo, literal),
        None => Says::Nothing("it asks for no version".to_owned()),
    }
}

/// What decides in the place of a version.
fn elsewhere(table: &DeTable<'_>) -> Option<&'static str> {
    let has = |key| table.contains_key(key);
    match () {
        () if has("workspace") => Some("the workspace decides its version"),
        () if has("path") => Some("it lies at a path"),
        () if has("git") => Some("it comes from a repository"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{change, edited, reading};
    use crate::ecosystem::Ecosystem::Cargo;

    const MANIFEST: &str = r#"
# keep
[package]
name = "serde"   # no dependency
version = "1.3.0"

[dependencies]
serde = "1.3.0" # why
tokio = { version = '=1.3.0', features = ["full"] }
renamed = { package = "serde_json", version = """=1.3.0""", optional = true }
here = { path = "../here", version = "1.3.0" }
there = { git = "https://example.org/there" }
inherited.workspace = true
dotted.version = "\u003d1.3.0"

[dev-dependencies.serde]
version = "~1.3"

[target.'cfg(unix)'.build-dependencies]
serde-json = "=1.3.0"

[workspace.dependencies]
inherited = "= 1.3.0"

[patch.crates-io]
serde = { version = "1.3.0", path = "x" }
"#;

    #[test]
    fn dependencies_of_every_kind_change_and_nothing_else() {
        let changes = ["serde", "tokio", "serde-json", "inherited", "dotted"]
            .map(|package| change(Cargo, package, "1.3.0", "1.2.0"));
        let after = MANIFEST
            .replace("serde = \"1.3.0\"", "serde = \"=1.2.0\"")
            .replace("\\u003d1.3.0", "=1.2.0")
            .replace("=1.3.0", "=1.2.0")
            .replace("= 1.3.0", "= 1.2.0")
            .replace("\"~1.3\"", "\"=1.2.0\"");
        let edited = edited("Cargo.toml", MANIFEST, &changes).expect("edits");
        assert_eq!(
            edited,
            after.replace("=1.2.0\"\n\n[target", "~1.2\"\n\n[target")
        );
    }

    #[test]
    fn what_has_no_version_of_its_own_is_left_alone() {
        let refused = |package, from| {
            let change = change(Cargo, package, from, "1.2.0");
            let error = edited("Cargo.toml", MANIFEST, &[change]).expect_err("refused");
            error.to_string()
        };
        let without = "without a version that could change";
        assert_eq!(
            refused("here", "1.3.0"),
            format!("line 11 names `here` {without}: it lies at a path")
        );
        assert_eq!(
            refused("there", "1.3.0"),
            format!("line 12 names `there` {without}: it comes from a repository")
        );
        assert_eq!(refused("missing", "1.3.0"), "it has no pin of `missing`");
        assert_eq!(
            refused("new", ""),
            "`new` cannot be added to `Cargo.toml`, whose requirements are the project's own; pins come and go in \
             constraints files"
        );
    }

    #[test]
    fn exact_requirements_are_pins() {
        assert_eq!(
            reading("Cargo.toml", MANIFEST),
            [
                "dotted 1.3.0",
                "inherited 1.3.0",
                "serde_json 1.3.0",
                "tokio 1.3.0",
                "8 serde: it allows `1.3.0`",
                "11 here: it lies at a path",
                "12 there: it comes from a repository",
                "13 inherited: the workspace decides its version",
                "17 serde: it allows `~1.3`",
            ]
        );
    }

    proptest! {
        #[test]
        fn only_the_intended_pin_differs_and_its_reverse_restores_every_byte(
            rows in proptest::collection::vec((0u32..50, 0usize..4, "(| # note)"), 1..20),
            which in any::<prop::sample::Index>(),
        ) {
            let lines = rows.iter().enumerate().map(|(i, (version, form, tail))| match form {
                0 => format!("p{i} = \"={version}.0.0\"{tail}"),
                1 => format!("p{i} = {{ version = '= {version}.0.0', features = [] }}{tail}"),
                2 => format!("x{i} = {{ package = \"p{i}\",version=\"={version}.0.0\" }}{tail}"),
                _ => format!("p{i}.version = '''={version}.0.0'''{tail}"),
            });
            let text = format!("[dependencies]\n{}\n", lines.collect::<Vec<_>>().join("\n"));
            let i = which.index(rows.len());
            let (version, form) = (rows[i].0, rows[i].1);
            let change = change(Cargo, &format!("p{i}"), &format!("{version}.0.0"), "99.9.0-rc.1");
            let after = edited("Cargo.toml", &text, std::slice::from_ref(&change)).expect("edits");
            let mut expected: toml::Table = text.parse().expect("TOML");
            let dependencies = expected["dependencies"].as_table_mut().expect("a table");
            let key = if form == 2 { format!("x{i}") } else { format!("p{i}") };
            let place = match &mut dependencies[&key] {
                toml::Value::Table(table) => &mut table["version"],
                version => version,
            };
            let blank = if form == 1 { " " } else { "" };
            *place = toml::Value::String(format!("={blank}99.9.0-rc.1"));
            prop_assert_eq!(after.parse::<toml::Table>().expect("TOML"), expected);
            prop_assert_eq!(edited("Cargo.toml", &after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
