//! The user's configuration: `$XDG_CONFIG_HOME/pinion/config.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::Failure;

/// What a user need not type again.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The server's URL, or those of several, separated by commas.
    pub(crate) server: Option<String>,
    /// A file that holds the token alone; relative to the configuration's directory.
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authorities, PEM; relative to the configuration's directory.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file; without one nothing is set.
    pub(crate) fn load() -> Result<Self, Failure> {
        match directory("XDG_CONFIG_HOME", ".config") {
            Some(base) => Self::read(&base.join("config.toml")),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(cause) => return Err(Failure::file("read", path, &cause)),
        };
        let mut settings: Self = toml::from_str(&text).map_err(|error| {
            let sentence = format!("`{}` is no configuration: {error}", path.display());
            Failure::new(Exit::Invalid, sentence)
                .next("its keys are server, token_file and ca_file")
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut settings.token_file, &mut settings.ca_file]
            .into_iter()
            .flatten()
        {
            *file = base.join(&*file);
        }
        Ok(settings)
    }
}

/// `pinion` below the directory that `variable` names, else below `fallback` in the user's home.
pub(crate) fn directory(variable: &str, fallback: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    // The base directory specification has relative paths ignored.
    let named = named.filter(|path| path.is_absolute());
    let base = named.or_else(|| std::env::home_dir().map(|home| home.join(fallback)))?;
    Some(base.join("pinion"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        let settings = Settings::read(&path)?;
        let base = settings.token_file.as_deref().and_then(Path::parent);
        assert!(base.is_none_or(|base| base == dir.path()));
        Ok(settings)
    }

    #[test]
    fn files_are_found_beside_the_configuration() {
        let settings = read("server = 'https://x'\ntoken_file = 'token'").expect("valid");
        assert_eq!(settings.server.as_deref(), Some("https://x"));
        assert!(settings.token_file.is_some_and(|file| file.is_absolute()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let failure = read("sever = 'https://x'").expect_err("a slip");
        assert_eq!(failure.exit, Exit::Invalid);
        assert!(failure.to_string().contains("sever"), "{failure}");
    }

    #[test]
    fn no_configuration_sets_nothing() {
        let settings =
            Settings::read(Path::new("/nonexistent/config.toml")).expect("no file is fine");
        assert_eq!(settings, Settings::default());
    }
}
