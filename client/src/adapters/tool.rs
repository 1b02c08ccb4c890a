//! The tools, by name, and which of them a checkout uses.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use pinion_core::ecosystem::Ecosystem;

use super::Project;
use super::process::python as python_of;
use crate::v1;

/// A tool that resolves and installs packages.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// pip.
    Pip,
    /// uv in pip's place: `uv pip`.
    UvPip,
    /// A project with a `uv.lock`.
    Uv,
    /// npm.
    Npm,
    /// pnpm.
    Pnpm,
    /// yarn, classic and berry.
    Yarn,
    /// cargo.
    Cargo,
    /// Go modules.
    Go,
}

/// A tool, and what it was recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// The tool.
    pub tool: Tool,
    /// Such as `Cargo.toml`; empty when it is only the usual one.
    pub because: String,
}

/// Why no tool is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing in the checkout tells.
    #[error("nothing in the checkout says which tool of {ecosystem} it uses")]
    Nothing {
        /// Where the pins come from.
        ecosystem: Ecosystem,
    },
    /// The pins are of another ecosystem than the tool.
    #[error("`{tool}` does not take pins of {ecosystem}")]
    OtherEcosystem {
        /// The tool that was named.
        tool: Tool,
        /// Where the pins come from.
        ecosystem: Ecosystem,
    },
    /// The server named an ecosystem that this version does not know.
    #[error("the ecosystem of the pins is not known here")]
    UnknownEcosystem,
}

/// A text that names no tool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tool; give pip, uv-pip, uv, npm, pnpm, yarn, cargo or go")]
pub struct UnknownTool(String);

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 8] = [
        Self::Pip,
        Self::UvPip,
        Self::Uv,
        Self::Npm,
        Self::Pnpm,
        Self::Yarn,
        Self::Cargo,
        Self::Go,
    ];

    /// Its name, as people type it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::UvPip => "uv-pip",
            Self::Uv => "uv",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Cargo => "cargo",
            Self::Go => "go",
        }
    }

    /// Where its packages come from.
    pub const fn ecosystem(self) -> Ecosystem {
        match self {
            Self::Pip | Self::UvPip | Self::Uv => Ecosystem::Pypi,
            Self::Npm | Self::Pnpm | Self::Yarn => Ecosystem::Npm,
            Self::Cargo => Ecosystem::Cargo,
            Self::Go => Ecosystem::Go,
        }
    }

    /// Whether applied pins resolve at once, rather than with the next install.
    pub const fn takes_at_once(self) -> bool {
        match self {
            Self::Pip | Self::UvPip | Self::Pnpm => false,
            Self::Uv | Self::Npm | Self::Yarn | Self::Cargo | Self::Go => true,
        }
    }

    /// The program and the words by which it tells its version, in the checkout's directory.
    pub fn asked_for_version(self, project: &Project) -> (OsString, &'static [&'static str]) {
        match self {
            Self::Pip => (python_of(project.root()), &["-m", "pip", "--version"]),
            Self::UvPip | Self::Uv => ("uv".into(), &["--version"]),
            Self::Go => ("go".into(), &["version"]),
            Self::Npm | Self::Pnpm | Self::Yarn | Self::Cargo => {
                (self.as_str().into(), &["--version"])
            }
        }
    }

    /// The tool that a checkout uses for packages of an ecosystem, by its lockfiles and manifests.
    ///
    /// # Errors
    /// If nothing tells. For pypi pip is the usual one, so something always does.
    pub fn detect(project: &Project, ecosystem: v1::Ecosystem) -> Result<Detected, DetectError> {
        let ecosystem = known(ecosystem)?;
        let found = match ecosystem {
            Ecosystem::Pypi => python(project.root()),
            Ecosystem::Npm => javascript(project.root()),
            Ecosystem::Cargo => by_file(project.root(), &[("Cargo.toml", Self::Cargo)]),
            Ecosystem::Go => by_file(
                project.root(),
                &[("go.mod", Self::Go), ("go.work", Self::Go)],
            ),
        };
        found.ok_or(DetectError::Nothing { ecosystem })
    }

    /// The tool itself, if it takes pins of an ecosystem.
    ///
    /// # Errors
    /// If it does not.
    pub fn suits(self, ecosystem: v1::Ecosystem) -> Result<Self, DetectError> {
        let ecosystem = known(ecosystem)?;
        match self.ecosystem() == ecosystem {
            true => Ok(self),
            false => Err(DetectError::OtherEcosystem {
                tool: self,
                ecosystem,
            }),
        }
    }
}

/// The ecosystem that a number on the wire names.
pub(super) fn known(ecosystem: v1::Ecosystem) -> Result<Ecosystem, DetectError> {
    match ecosystem {
        v1::Ecosystem::Pypi => Ok(Ecosystem::Pypi),
        v1::Ecosystem::Cargo => Ok(Ecosystem::Cargo),
        v1::Ecosystem::Npm => Ok(Ecosystem::Npm),
        v1::Ecosystem::Go => Ok(Ecosystem::Go),
        v1::Ecosystem::Unspecified => Err(DetectError::UnknownEcosystem),
    }
}

fn by_file(root: &Path, files: &[(&str, Tool)]) -> Option<Detected> {
    let found = files.iter().find(|(file, _)| root.join(file).is_file());
    found.map(|(file, tool)| Detected {
        tool: *tool,
        because: (*file).to_owned(),
    })
}

fn python(root: &Path) -> Option<Detected> {
    let lock = by_file(root, &[("uv.lock", Tool::Uv)]);
    // uv leaves its version in the virtual environments that it makes.
    let made_by_uv = || {
        let file = ".venv/pyvenv.cfg";
        let text = std::fs::read_to_string(root.join(file)).ok()?;
        let by_uv = text
            .lines()
            .any(|line| line.trim_start().starts_with("uv ="));
        by_uv.then(|| Detected {
            tool: Tool::UvPip,
            because: file.to_owned(),
        })
    };
    lock.or_else(made_by_uv).or(Some(Detected {
        tool: Tool::Pip,
        because: String::new(),
    }))
}

fn javascript(root: &Path) -> Option<Detected> {
    let locks = [
        ("pnpm-lock.yaml", Tool::Pnpm),
        ("yarn.lock", Tool::Yarn),
        ("package-lock.json", Tool::Npm),
        ("npm-shrinkwrap.json", Tool::Npm),
        ("package.json", Tool::Npm),
    ];
    package_manager(root).or_else(|| by_file(root, &locks))
}

/// What `packageManager` in package.json names, such as `pnpm@10.2.0`.
fn package_manager(root: &Path) -> Option<Detected> {
    let text = std::fs::read_to_string(root.join("package.json")).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&text).ok()?;
    let named = manifest.get("packageManager")?.as_str()?;
    let tool = named.split('@').next()?.parse::<Tool>().ok()?;
    (tool.ecosystem() == Ecosystem::Npm).then(|| Detected {
        tool,
        because: "packageManager in package.json".to_owned(),
    })
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tool {
    type Err = UnknownTool;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|tool| tool.as_str() == text);
        found.ok_or_else(|| UnknownTool(text.chars().take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(files: &[(&str, &str)], ecosystem: v1::Ecosystem) -> Option<Tool> {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let project = Project::new(dir.path(), dir.path().join("state"));
        Tool::detect(&project, ecosystem)
            .ok()
            .map(|found| found.tool)
    }

    #[test]
    fn lockfiles_and_manifests_tell_the_tool() {
        use v1::Ecosystem::{Cargo, Go, Npm, Pypi};
        for (files, ecosystem, tool) in [
            (&[("uv.lock", "")] as &[_], Pypi, Some(Tool::Uv)),
            (
                &[(".venv/pyvenv.cfg", "home = /\nuv = 0.9\n")],
                Pypi,
                Some(Tool::UvPip),
            ),
            (&[(".venv/pyvenv.cfg", "home = /\n")], Pypi, Some(Tool::Pip)),
            (&[], Pypi, Some(Tool::Pip)),
            (
                &[("package.json", "{}"), ("pnpm-lock.yaml", "")],
                Npm,
                Some(Tool::Pnpm),
            ),
            (
                &[("package.json", "{}"), ("yarn.lock", "")],
                Npm,
                Some(Tool::Yarn),
            ),
            (&[("package.json", "{}")], Npm, Some(Tool::Npm)),
            (
                &[
                    ("package.json", r#"{"packageManager":"yarn@4.1.0"}"#),
                    ("package-lock.json", ""),
                ],
                Npm,
                Some(Tool::Yarn),
            ),
            (
                &[("package.json", r#"{"packageManager":"cargo@1"}"#)],
                Npm,
                Some(Tool::Npm),
            ),
            (&[], Npm, None),
            (&[("Cargo.toml", "")], Cargo, Some(Tool::Cargo)),
            (&[("go.mod", "")], Go, Some(Tool::Go)),
            (&[("Cargo.toml", "")], Go, None),
        ] {
            assert_eq!(detect(files, ecosystem), tool, "{files:?}");
        }
    }

    #[test]
    fn a_tool_of_another_ecosystem_is_refused() {
        assert!(Tool::Npm.suits(v1::Ecosystem::Pypi).is_err());
        assert_eq!(Tool::Yarn.suits(v1::Ecosystem::Npm), Ok(Tool::Yarn));
        assert!("poetry".parse::<Tool>().is_err());
    }
}
