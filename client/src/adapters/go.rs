//! Go: a workspace file outside the project, named by GOWORK, that replaces each module by itself at the
//! pinned version.
//!
//! Minimal version selection only ever raises a version to the highest that anybody requires, and a
//! workspace file has no `require`. `replace m => m v` names the version exactly, downwards too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pinion_core::ecosystem::Ecosystem;
use serde::Deserialize;

use super::overlay::Overlay;
use super::pinned::Pinned;
use super::process::{Place, ToolError};
use super::verification::{Reasons, Resolved};
use super::{Adapter, Put};

pub(super) struct Go;

/// `go work edit -json` and `go mod edit -json`, as far as they matter here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct File {
    go: String,
    toolchain: String,
    #[serde(rename = "Use", deserialize_with = "null_is_empty")]
    uses: Vec<Use>,
    #[serde(deserialize_with = "null_is_empty")]
    replace: Vec<Replace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Use {
    disk_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Replace {
    old: Module,
    new: Module,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    path: String,
    #[serde(default)]
    version: String,
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `go list -m -json`, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    path: String,
    version: String,
    main: bool,
    replace: Option<Box<Listed>>,
}

impl Adapter for Go {
    fn edits(&self, _: &Place) -> Result<Vec<PathBuf>, ToolError> {
        Ok(Vec::new())
    }

    fn apply(&self, place: &Place, pins: &[Pinned]) -> Result<Put, ToolError> {
        let own = own_workspace(place)?;
        let mut replaced = BTreeSet::new();
        for module in &own.uses {
            let directory = Path::new(&module.disk_path);
            replaced.extend(
                edited(place, &["mod", "edit", "-json"], directory.join("go.mod"))?
                    .replace
                    .into_iter()
                    .map(|replace| replace.old.path),
            );
        }
        replaced.extend(own.replace.iter().map(|replace| replace.old.path.clone()));
        let mut refused = Reasons::new();
        let mut text = header(&own);
        for pinned in pins {
            let module = pinned.name();
            if replaced.contains(module) {
                let words = "the project itself replaces the module";
                refused.insert(pinned.package.normal().to_owned(), words.to_owned());
                continue;
            }
            let version = &pinned.version;
            writeln!(text, "replace {module} => {module} {version}").expect("a string");
        }
        let file = place.generate("go.work", &text)?;
        Ok(Put {
            overlay: Overlay::default().set("GOWORK", file.display().to_string()),
            refused,
        })
    }

    /// The next build downloads what it needs.
    fn install(&self, _: &Place, _: &Overlay, _: &[Pinned]) -> Result<(), ToolError> {
        Ok(())
    }

    fn restore(&self, _: &Place, _: &Resolved) -> Result<(), ToolError> {
        Ok(())
    }

    fn resolved(
        &self,
        place: &Place,
        overlay: &Overlay,
        _: &[Pinned],
    ) -> Result<Resolved, ToolError> {
        let call = place.call("go", &["list", "-m", "-json", "all"]);
        let answer = call.with(overlay).done()?;
        let mut resolved = Resolved::default();
        for listed in serde_json::Deserializer::from_str(&answer.stdout).into_iter::<Listed>() {
            let listed = listed.map_err(|error| answer.unreadable(&error.to_string()))?;
            if listed.main {
                continue;
            }
            let version = match &listed.replace {
                Some(replace) if replace.path == listed.path => &replace.version,
                // Another module, or a directory, has no version of this one.
                Some(_) => "replaced",
                None => &listed.version,
            };
            resolved.add(Ecosystem::Go, &listed.path, version);
        }
        Ok(resolved)
    }
}

/// The project's own workspace file, or one for its single module, with every path absolute.
fn own_workspace(place: &Place) -> Result<File, ToolError> {
    // A workspace file of ours in the environment is not the project's own.
    let call = place.call("go", &["env", "GOWORK"]);
    let answer = match std::env::var_os("GOWORK") {
        Some(given) if Path::new(&given).starts_with(&place.state) => call.without("GOWORK"),
        _ => call,
    }
    .done()?;
    let found = answer.stdout.trim();
    if found.is_empty() || found == "off" {
        let module = edited(place, &["mod", "edit", "-json"], place.root.join("go.mod"))?;
        let disk_path = place.root.display().to_string();
        return Ok(File {
            go: module.go,
            toolchain: module.toolchain,
            uses: vec![Use { disk_path }],
            replace: Vec::new(),
        });
    }
    let base = Path::new(found).parent().unwrap_or(&place.root).to_owned();
    let mut file = edited(place, &["work", "edit", "-json"], PathBuf::from(found))?;
    for module in &mut file.uses {
        module.disk_path = base.join(&module.disk_path).display().to_string();
    }
    for replace in &mut file.replace {
        // Without a version it is a directory.
        if replace.new.version.is_empty() {
            replace.new.path = base.join(&replace.new.path).display().to_string();
        }
    }
    Ok(file)
}

fn edited(place: &Place, words: &[&str], file: PathBuf) -> Result<File, ToolError> {
    let file = file.display().to_string();
    let answer = place
        .call("go", &[words, &[file.as_str()]].concat())
        .done()?;
    answer.json()
}

/// A workspace file with what the project's own has.
fn header(own: &File) -> String {
    // Modules without a go line are of the time before workspaces.
    let go = match own.go.as_str() {
        "" => "1.18",
        go => go,
    };
    let mut text = format!("go {go}\n");
    if !own.toolchain.is_empty() {
        writeln!(text, "toolchain {}", own.toolchain).expect("a string");
    }
    for module in &own.uses {
        writeln!(text, "use {}", quoted(&module.disk_path)).expect("a string");
    }
    for Replace { old, new } in &own.replace {
        let (old, new) = ([&old.path, &old.version], [&new.path, &new.version]);
        let side = |words: [&String; 2]| {
            let words = words.into_iter().filter(|word| !word.is_empty());
            words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
        };
        writeln!(text, "replace {} => {}", side(old), side(new)).expect("a string");
    }
    text
}

/// A word as Go's module files have it: quoted like a Go string where it could be taken for more.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+~@:!".contains(c);
    match word.chars().all(plain) && !word.contains("//") {
        true => word.to_owned(),
        false => format!("{word:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_project_s_own_workspace_has_stays() {
        let own: File = serde_json::from_value(serde_json::json!({
            "Go": "1.22.1",
            "Use": [{"DiskPath": "/src/a b"}, {"DiskPath": "/src/c"}],
            "Replace": [
                {"Old": {"Path": "example.com/m", "Version": "v1.0.0"}, "New": {"Path": "/src/m"}},
            ],
        }))
        .expect("as go has it");
        assert_eq!(
            header(&own),
            "go 1.22.1\nuse \"/src/a b\"\nuse /src/c\nreplace example.com/m v1.0.0 => /src/m\n"
        );
        assert_eq!(header(&File::default()), "go 1.18\n");
    }
}
