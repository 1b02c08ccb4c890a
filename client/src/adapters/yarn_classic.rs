//! yarn 1: `resolutions` in package.json, which hold for everybody who asks for the package.
//!
//! So a pin is applied only where everybody admits it.

use std::collections::BTreeMap;

use pinion_core::ecosystem::Ecosystem;
use serde_json::Value;

use super::attempt::as_many_as_go;
use super::npm_range::admits;
use super::package_json::PackageJson;
use super::pinned::Pinned;
use super::process::{Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::whole;
use super::yarn::yarn;

/// Applies pins of packages that are there in other versions; returns what was refused.
pub(super) fn apply(place: &Place, mut pins: Vec<&Pinned>) -> Result<Reasons, ToolError> {
    let manifest = PackageJson::read(place)?;
    let ranges = ranges(place)?;
    let mut refused = Reasons::new();
    pins.retain(|pinned| {
        let why = why_not(&manifest, &ranges, pinned);
        if let Some(why) = &why {
            refused.insert(pinned.package.normal().to_owned(), why.clone());
        }
        why.is_none()
    });
    let mut good: Vec<(String, String)> = Vec::new();
    let mut has_failed = false;
    let mut attempt = |pins: &[&Pinned]| {
        let mut all = good.clone();
        let entry = |pinned: &&Pinned| (pinned.name().to_owned(), pinned.version.to_string());
        all.extend(pins.iter().map(entry));
        manifest.write("resolutions", &all)?;
        // What is locked as the project asks for it gets no entry for its resolution.
        rewrite(place, &all, |text, name, _| without(text, name))?;
        let done = install(place).and_then(|()| match rewrite(place, &all, locked_to)? {
            true => install(place),
            false => Ok(()),
        });
        match &done {
            Ok(()) => good = all,
            Err(_) => has_failed = true,
        }
        done
    };
    as_many_as_go(&pins, &mut attempt, &mut refused)?;
    if has_failed {
        manifest.write("resolutions", &good)?;
        install(place)?;
    }
    Ok(refused)
}

/// What resolved.
pub(super) fn resolved(place: &Place) -> Result<Resolved, ToolError> {
    let answer = yarn(place, &["list", "--json", "--no-progress"]).done()?;
    let lines = answer.stdout.lines();
    let trees = lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|value| value.get("type").and_then(Value::as_str) == Some("tree"));
    let trees = trees.ok_or_else(|| answer.unreadable("it lists no tree"))?;
    let mut resolved = Resolved::default();
    collect(trees.pointer("/data/trees"), &mut resolved);
    Ok(resolved)
}

fn install(place: &Place) -> Result<(), ToolError> {
    yarn(place, &["install", "--non-interactive"])
        .done()
        .map(drop)
}

fn why_not(
    manifest: &PackageJson,
    ranges: &BTreeMap<String, Vec<String>>,
    pinned: &Pinned,
) -> Option<String> {
    if manifest.names("resolutions", pinned.name()) {
        return Some("package.json has a resolution for it already".to_owned());
    }
    let asked = ranges.get(pinned.name())?;
    let other = asked.iter().find(|range| !admits(range, pinned))?;
    Some(format!("the project asks for `{other}`"))
}

/// The ranges by which each package is asked for.
fn ranges(place: &Place) -> Result<BTreeMap<String, Vec<String>>, ToolError> {
    let path = place.root.join("yarn.lock");
    let bytes = whole::read_if_there(&path).map_err(ToolError::file("read", &path))?;
    Ok(parse(&String::from_utf8_lossy(&bytes.unwrap_or_default())))
}

/// Rewrites the lockfile for each of these packages and versions; whether that changed anything.
///
/// yarn does not ask its resolutions about what the project asks for itself: it makes an entry for the
/// resolution and one for the range. So the range is locked to the entry of the resolution.
fn rewrite(
    place: &Place,
    pins: &[(String, String)],
    change: impl Fn(&str, &str, &str) -> String,
) -> Result<bool, ToolError> {
    let path = place.root.join("yarn.lock");
    let bytes = whole::read_if_there(&path).map_err(ToolError::file("read", &path))?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let rewritten = pins.iter().fold(text.clone(), |text, (name, version)| {
        change(&text, name, version)
    });
    if rewritten == text {
        return Ok(false);
    }
    whole::write(&path, rewritten.as_bytes(), None).map_err(ToolError::file("write", &path))?;
    Ok(true)
}

/// The lockfile without the entries of a package.
fn without(text: &str, name: &str) -> String {
    let others = entries(text)
        .into_iter()
        .filter(|entry| !parse(entry).contains_key(name));
    others.collect()
}

/// The lockfile with the entry of `name@version`, which its resolution has made, for all ranges of `name`.
fn locked_to(text: &str, name: &str, version: &str) -> String {
    let is_of = |entry: &&str| parse(entry).contains_key(name);
    let is_pin = |entry: &&str| {
        let ranges = parse(entry);
        ranges
            .get(name)
            .is_some_and(|ranges| ranges.iter().any(|range| range == version))
    };
    let entries = entries(text);
    let Some(pin) = entries.iter().copied().find(is_pin) else {
        return text.to_owned();
    };
    let head = |entry: &str| {
        entry
            .lines()
            .next()
            .map(|head| head.trim_end_matches(':').to_owned())
    };
    let mut heads: Vec<String> = entries
        .iter()
        .copied()
        .filter(is_of)
        .filter_map(head)
        .collect();
    heads.sort();
    let body = pin.split_once('\n').map_or("", |(_, body)| body);
    let merged = format!("{}:\n{body}", heads.join(", "));
    let mut left = String::with_capacity(text.len());
    for entry in &entries {
        match (is_of(entry), is_pin(entry)) {
            (false, _) => left.push_str(entry),
            (true, true) => left.push_str(&merged),
            (true, false) => {}
        }
    }
    left
}

/// What stands before the first entry, then each entry with its head.
fn entries(text: &str) -> Vec<&str> {
    let is_head = |line: &str| !line.starts_with([' ', '#', '\n', '\r']);
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if is_head(line) && at > 0 {
            starts.push(at);
        }
        at += line.len();
    }
    starts.push(text.len());
    starts
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

/// The heads of the lockfile's entries, such as `"@s/a@^1", "@s/a@^1.2":`.
fn parse(text: &str) -> BTreeMap<String, Vec<String>> {
    let heads = text.lines().filter(|line| !line.starts_with([' ', '#']));
    let mut ranges = BTreeMap::<String, Vec<String>>::new();
    for asked in heads
        .filter_map(|line| line.strip_suffix(':'))
        .flat_map(|head| head.split(", "))
    {
        let asked = asked.trim_matches('"');
        let at = asked.get(1..).and_then(|rest| rest.find('@'));
        if let Some(at) = at.map(|at| at + 1) {
            let (name, range) = (&asked[..at], &asked[at + 1..]);
            ranges
                .entry(name.to_owned())
                .or_default()
                .push(range.to_owned());
        }
    }
    ranges
}

fn collect(trees: Option<&Value>, resolved: &mut Resolved) {
    for tree in trees.and_then(Value::as_array).into_iter().flatten() {
        // A shadow is the range that a dependent asks by.
        let is_shadow = tree.get("shadow").and_then(Value::as_bool) == Some(true);
        let name = tree
            .get("name")
            .and_then(Value::as_str)
            .filter(|_| !is_shadow);
        if let Some((name, version)) = name.and_then(|name| name.rsplit_once('@')) {
            resolved.add(Ecosystem::Npm, name, version);
        }
        collect(tree.get("children"), resolved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockfile_s_ranges_are_read() {
        let text = "# yarn lockfile v1\n\n\n\"@s/a@^1\", \"@s/a@^1.2\":\n  version \"1.3.0\"\n  dependencies:\n    b \"^2\"\n\nb@^2:\n  version \"2.0.0\"\n";
        let ranges = parse(text);
        assert_eq!(ranges["@s/a"], ["^1", "^1.2"]);
        assert_eq!(ranges["b"], ["^2"]);
        assert_eq!(ranges.len(), 2);
    }

    #[test]
    fn all_ranges_of_a_pinned_package_are_locked_to_its_entry() {
        let text = "# yarn lockfile v1\n\n\nb@^2:\n  version \"2.0.0\"\n\nms@2.1.1:\n  version \"2.1.1\"\n\nms@^2.0.0:\n  version \"2.1.3\"\n";
        assert_eq!(
            locked_to(text, "ms", "2.1.1"),
            "# yarn lockfile v1\n\n\nb@^2:\n  version \"2.0.0\"\n\nms@2.1.1, ms@^2.0.0:\n  version \"2.1.1\"\n\n"
        );
        assert_eq!(locked_to(text, "ms", "2.1.2"), text, "no entry to lock to");
        assert_eq!(locked_to(text, "b", "^2"), text);
        assert_eq!(
            without(text, "ms"),
            "# yarn lockfile v1\n\n\nb@^2:\n  version \"2.0.0\"\n\n"
        );
    }
}
