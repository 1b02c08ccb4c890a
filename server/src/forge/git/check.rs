//! Whether git is there, the repository answers, and we may push to it.

use super::super::Forge as _;
use super::answer::condense;
use super::program::Call;
use super::{Fault, GitForge};

/// The oldest git that takes all of our settings.
const GIT_OLDEST: (u32, u32) = (2, 31);
/// A branch that is never made: a push to it is only tried.
const TRIED: &str = "refs/heads/pinion-check";

impl GitForge {
    /// Looks without filing anything; says what was found.
    pub(super) async fn try_check(&self) -> Result<String, Fault> {
        let version = self.version().await?;
        self.workspace.ensure().await?;
        self.talk(vec!["ls-remote", "--", &self.remote.url, "HEAD"])
            .await?;
        let refspec = format!("{}:{TRIED}", self.workspace.empty_commit().await?);
        let arguments = vec![
            "push",
            "--porcelain",
            "--dry-run",
            "--no-verify",
            "--",
            &self.remote.url,
            &refspec,
        ];
        let output = self.call(arguments).await?;
        match output.success {
            true => Ok(format!(
                "{version} reaches `{}`, which takes pushes",
                self.project()
            )),
            false => Err(self.refusal(&String::from_utf8_lossy(&output.bytes), &output.messages)),
        }
    }

    async fn version(&self) -> Result<String, Fault> {
        let output = self.workspace.run(Call::new(["version"])).await?;
        let version = condense(&String::from_utf8_lossy(&output.bytes));
        let (oldest, minor) = GIT_OLDEST;
        match parse_version(&version) {
            Some(found) if found >= GIT_OLDEST => Ok(version),
            _ => Err(Fault::stopped(format!(
                "{version} is too old; install git {oldest}.{minor} or later"
            ))),
        }
    }
}

/// Major and minor of `git version 2.39.5 (…)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_git_writes_them() {
        assert_eq!(parse_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(parse_version("git version 2.45.1.windows.1"), Some((2, 45)));
        assert_eq!(
            parse_version("git version 2.39.5 (Apple Git-154)"),
            Some((2, 39))
        );
        assert_eq!(parse_version("jj 0.1"), None);
    }
}
