//! `pyproject.toml`: requirements of the project, its extras and groups, of uv and of Poetry.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::dialect::Dialect;
use super::entry::{Entry, Says, Scope, Wanted};
use super::pep508::{self, Asks};
use super::text::{Malformed, Text};
use super::toml_tree::{literal, parse, strings_of, table_at, tables_under};
use crate::ecosystem::Ecosystem;
use crate::name::PackageName;
use crate::pin::Marker;

/// Keys of a dependency of Poetry that say where it holds.
const CONDITIONS: [&str; 3] = ["python", "platform", "markers"];
/// Keys of a source or dependency by which no version is asked for.
const ADDRESSES: [&str; 5] = ["git", "path", "url", "file", "workspace"];
/// What uv adds to the project's requirements.
const UV_LISTS: [&str; 3] = [
    "constraint-dependencies",
    "override-dependencies",
    "dev-dependencies",
];

/// The requirements of a project.
pub(super) fn entries<'a>(text: &Text<'a>, wanted: &Wanted) -> Result<Vec<Entry<'a>>, Malformed> {
    let tree = parse(text)?;
    let mut entries = Vec::new();
    let sources = table_at(&tree, &["tool", "uv", "sources"]);
    let required = requirements(&tree).filter_map(|value| requirement(text, value, wanted));
    entries.extend(required.map(|entry| match sources {
        Some(sources) if is_elsewhere(sources, &entry.package) => Entry {
            says: Says::Nothing("`tool.uv.sources` says where it comes from".to_owned()),
            ..entry
        },
        _ => entry,
    }));
    let build = table_at(&tree, &["build-system"]).into_iter();
    let build = build.flat_map(|table| strings_of(table, "requires"));
    entries.extend(
        build
            .filter_map(|value| requirement(text, value, wanted))
            .map(|entry| Entry {
                scope: Scope::Following,
                ..entry
            }),
    );
    for (name, value) in poetry(&tree) {
        entries.extend(of_poetry(text, name.get_ref(), value, wanted));
    }
    Ok(entries)
}

/// The requirements of PEP 508 in a tree, but for those of the build system.
fn requirements<'t, 'a>(
    tree: &'t DeTable<'a>,
) -> impl Iterator<Item = &'t Spanned<DeValue<'a>>> + use<'t, 'a> {
    let project = table_at(tree, &["project"]).into_iter();
    let project = project.flat_map(|project| strings_of(project, "dependencies"));
    let uv = table_at(tree, &["tool", "uv"]).into_iter();
    let uv = uv.flat_map(|uv| UV_LISTS.into_iter().flat_map(|list| strings_of(uv, list)));
    let lists = [
        &["project", "optional-dependencies"][..],
        &["dependency-groups"],
    ];
    let listed = lists.into_iter().filter_map(|path| table_at(tree, path));
    let listed = listed.flat_map(|lists| {
        let names = lists.keys().map(Spanned::get_ref);
        names.flat_map(|name| strings_of(lists, name))
    });
    project.chain(listed).chain(uv)
}

fn requirement<'a>(
    text: &Text<'a>,
    value: &Spanned<DeValue<'a>>,
    wanted: &Wanted,
) -> Option<Entry<'a>> {
    let written = value.get_ref().as_str()?;
    let found = pep508::scan(written)?;
    let package = wanted.package(Ecosystem::Pypi, written.get(found.name)?)?;
    let marker = found.marker.and_then(|marker| written.get(marker));
    let marker = marker.map(|marker| Marker::parse(Ecosystem::Pypi, marker));
    let (marker, says) = match (marker.transpose(), found.asks) {
        (Err(error), _) => (None, Says::Nothing(error.to_string())),
        (Ok(marker), Asks::Address) => (
            marker,
            Says::Nothing("an address stands in for it".to_owned()),
        ),
        (Ok(marker), Asks::Specifiers(range)) => {
            let literal = literal(text, value)?.with_part(range);
            (marker, Says::Versions(Dialect::Pep440, literal))
        }
    };
    Some(Entry {
        marker,
        ..Entry::new(package, value.span().start, says)
    })
}

/// Whether uv takes a package from elsewhere than an index.
fn is_elsewhere(sources: &DeTable<'_>, package: &PackageName) -> bool {
    let of_package = sources.iter().filter(|(name, _)| {
        PackageName::parse(Ecosystem::Pypi, name.get_ref()).is_ok_and(|name| name == *package)
    });
    let is_address = |source: &DeValue<'_>| has_key(source, &ADDRESSES);
    of_package.into_iter().any(|(_, source)| {
        let listed = source.get_ref().as_array().into_iter();
        let mut listed = listed.flat_map(|array| array.iter());
        is_address(source.get_ref()) || listed.any(|source| is_address(source.get_ref()))
    })
}

fn has_key(value: &DeValue<'_>, keys: &[&str]) -> bool {
    value
        .as_table()
        .is_some_and(|table| keys.iter().any(|key| table.contains_key(*key)))
}

/// The dependencies of Poetry, but for Python itself.
fn poetry<'t, 'a>(
    tree: &'t DeTable<'a>,
) -> impl Iterator<
    Item = (
        &'t Spanned<std::borrow::Cow<'a, str>>,
        &'t Spanned<DeValue<'a>>,
    ),
> {
    let root = table_at(tree, &["tool", "poetry"]).into_iter();
    let own = root
        .flat_map(|root| ["dependencies", "dev-dependencies"].map(|key| table_at(root, &[key])));
    let groups = tables_under(tree, &["tool", "poetry", "group"]);
    let groups = groups.map(|group| table_at(group, &["dependencies"]));
    let tables = own.chain(groups).flatten();
    tables
        .flatten()
        .filter(|(name, _)| name.get_ref() != "python")
}

/// The entries of a dependency of Poetry: one, or one for each of several constraints.
fn of_poetry<'a>(
    text: &Text<'a>,
    name: &str,
    value: &Spanned<DeValue<'a>>,
    wanted: &Wanted,
) -> Vec<Entry<'a>> {
    let Some(package) = wanted.package(Ecosystem::Pypi, name) else {
        return Vec::new();
    };
    let constraints: Vec<_> = match value.get_ref() {
        DeValue::Array(constraints) => constraints.iter().collect(),
        _ => vec![value],
    };
    let is_one_of_several = constraints.len() > 1;
    constraints
        .into_iter()
        .map(|value| {
            let version = match value.get_ref() {
                DeValue::Table(table) => table.get("version"),
                _ => Some(value),
            };
            let is_address = has_key(value.get_ref(), &ADDRESSES);
            let literal = version.and_then(|version| literal(text, version));
            let says = match literal {
                _ if is_address => Says::Nothing("an address stands in for it".to_owned()),
                None => Says::Nothing("it asks for no version".to_owned()),
                Some(literal) => Says::Versions(Dialect::Poetry, literal),
            };
            let is_conditional = is_one_of_several || has_key(value.get_ref(), &CONDITIONS);
            let scope = if is_conditional {
                Scope::Part
            } else {
                Scope::Whole
            };
            let at = version.unwrap_or(value).span().start;
            Entry {
                scope,
                ..Entry::new(package.clone(), at, says)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{change, edited, marked, reading};
    use crate::ecosystem::Ecosystem::Pypi;

    const PROJECT: &str = r#"[build-system]
requires = ["hatchling", "tomlkit==1.3.0", "six>=1"]

[project]
name = "x"
dependencies = [
    "six>=1.0,<2",  # keep
    'tomlkit[all] == 1.3.0 ; python_version < "4"',
    "local==1.3.0",
    "far @ https://example.org/far.whl",
]
[project.optional-dependencies]
six-extra = ["Six"]

[dependency-groups]
dev = ["six===1.3.0", {include-group = "other"}]
other = ["attrs>=20"]

[tool.uv]
override-dependencies = ["six~=1.3.0"]
constraint-dependencies = ["six<=1.3.0"]
[tool.uv.sources]
local = { path = "../local" }

[tool.poetry.dependencies]
python = "^3.8"
six = "^1.3.0"
Jinja2 = { version = "1.3.0", extras = ["i18n"] }
numpy = [
    { version = "1.3.0", python = "<3.8" },
    { version = "^1.0", python = ">=3.8" },
]
git = { git = "https://example.org/git" }

[tool.poetry.group.dev.dependencies]
six = ">=1.3"
"#;

    #[test]
    fn requirements_of_every_kind_change_and_nothing_else() {
        let changes = ["six", "tomlkit", "jinja2", "numpy"]
            .map(|package| change(Pypi, package, "1.3.0", "1.2.0"));
        let after = PROJECT
            .replace("six>=1.0,<2", "six>=1.0,<2,!=1.3.0")
            .replace("[\"Six\"]", "[\"Six!=1.3.0\"]")
            .replace("\"==1.3.0", "\"==1.2.0")
            .replace("six = \"^1.3.0\"", "six = \"1.2.0\"")
            .replace("six = \">=1.3\"", "six = \"1.2.0\"")
            .replace("\"^1.0\"", "\"^1.0,!=1.3.0\"")
            .replace("local==1.3.0", "local==kept")
            .replace("!=1.3.0", "!=kept")
            .replace("1.3.0", "1.2.0")
            .replace("kept", "1.3.0");
        assert_eq!(edited("pyproject.toml", PROJECT, &changes), Ok(after));
    }

    #[test]
    fn what_has_no_version_of_its_own_is_left_alone() {
        let refused = |package| {
            let change = change(Pypi, package, "1.3.0", "1.2.0");
            let error = edited("pyproject.toml", PROJECT, &[change]).expect_err("refused");
            error.to_string()
        };
        let without = "without a version that could change";
        assert_eq!(
            refused("local"),
            format!("line 9 names `local` {without}: `tool.uv.sources` says where it comes from")
        );
        for package in ["far", "git"] {
            let cause = format!("names `{package}` {without}: an address stands in for it");
            assert!(refused(package).ends_with(&cause), "{}", refused(package));
        }
        assert_eq!(
            refused("hatchling"),
            "it has no pin of `hatchling`",
            "the build system is left alone unless it pins the same version"
        );
    }

    #[test]
    fn a_marker_chooses_among_requirements() {
        let text = "[project]\ndependencies = [\"a==1; os_name=='nt'\", \"a==1\"]\n";
        let change = marked(change(Pypi, "a", "1", "2"), "os_name == \"nt\"");
        assert_eq!(
            edited("pyproject.toml", text, &[change]),
            Ok(text.replacen("a==1", "a==2", 1))
        );
    }

    #[test]
    fn escapes_and_long_strings_are_understood() {
        let text = "[project]\r\ndependencies = [\r\n\"a\\u003d=1\\u003B os_name=='n\\u0074'\", '''\r\nb==1''']\r\n";
        let changes = ["a", "b"].map(|package| change(Pypi, package, "1", "2"));
        assert_eq!(
            edited("pyproject.toml", text, &changes),
            Ok(
                "[project]\r\ndependencies = [\r\n\"a==2; os_name=='nt'\", '''\r\nb==2''']\r\n"
                    .to_owned()
            )
        );
    }

    #[test]
    fn exact_requirements_that_hold_everywhere_are_pins() {
        let found = reading("pyproject.toml", PROJECT);
        assert_eq!(
            found.iter().take(3).collect::<Vec<_>>(),
            [
                "Jinja2 1.3.0",
                "six 1.3.0",
                "tomlkit 1.3.0; python_version < \"4\""
            ]
        );
        for unpinned in [
            "2 tomlkit: another place decides its version",
            "7 six: it allows `>=1.0,<2`",
            "30 numpy: it holds under a condition only",
        ] {
            assert!(found.iter().any(|line| line == unpinned), "{found:#?}");
        }
    }

    proptest! {
        #[test]
        fn only_the_intended_pin_differs_and_its_reverse_restores_every_byte(
            rows in proptest::collection::vec((0u32..50, 0usize..3, "(|\\[x\\])", "(| ; os_name=='nt')"), 1..20),
            which in any::<prop::sample::Index>(),
        ) {
            let of_kind = |kind| {
                let rows = rows.iter().enumerate().filter(move |(_, row)| row.1 == kind);
                rows.map(move |(i, (version, _, extra, marker))| match kind {
                    2 => format!("p{i} = {{ version = '{version}.0' }}\n"),
                    _ => format!("  \"p{i}{extra} == {version}.0{marker}\", # {i}\n"),
                })
                .collect::<String>()
            };
            let text = format!(
                "[project]\ndependencies = [\n{}]\n[dependency-groups]\nx = [\n{}]\n[tool.poetry.dependencies]\n{}",
                of_kind(0), of_kind(1), of_kind(2),
            );
            let i = which.index(rows.len());
            let (old, new) = (format!("{}.0", rows[i].0), "99!9.post1");
            let change = change(Pypi, &format!("p{i}"), &old, new);
            let after = edited("pyproject.toml", &text, std::slice::from_ref(&change)).expect("edits");
            let flat = |text: &str| -> Vec<String> {
                let tree: toml::Table = text.parse().expect("TOML");
                let lists = [&tree["project"]["dependencies"], &tree["dependency-groups"]["x"]];
                let listed = lists.into_iter().flat_map(|list| list.as_array().expect("a list").iter());
                let listed = listed.map(|item| item.as_str().expect("a string").to_owned());
                let poetry = tree["tool"]["poetry"]["dependencies"].as_table().expect("a table");
                let poetry = poetry.iter().map(|(name, value)| format!("{name} {}", value["version"]));
                listed.chain(poetry).collect()
            };
            let is_changed = |line: &String| {
                let name = line.split(|c: char| !c.is_ascii_alphanumeric()).next();
                name == Some(&format!("p{i}"))
            };
            let expected: Vec<String> = flat(&text)
                .into_iter()
                .map(|line| if is_changed(&line) { line.replacen(&old, new, 1) } else { line })
                .collect();
            prop_assert_eq!(flat(&after), expected);
            prop_assert_eq!(edited("pyproject.toml", &after, &[change.reversed()]).expect("edits"), text);
        }
    }
}
