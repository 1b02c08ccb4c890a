//! Whether git is there, the repository answers, the file is there, and we may push.

use super::super::{Error, Finding, Target};
use super::answer::condense;
use super::names::check_branch;
use super::program::Call;
use super::{Destination, FETCHED, Fault, Pushed, Repository};

/// The oldest git that takes all of our settings.
const GIT_OLDEST: (u32, u32) = (2, 31);
/// A branch that is never made: a push to it is only tried.
const TRIED: &str = "refs/heads/pinion-check";

impl Repository {
    /// Looks without filing anything: the program, the repository, the file, and a push of a branch.
    pub(in crate::forge) async fn findings(&self, target: Option<&Target>) -> Vec<Finding> {
        let mut findings = self.findings_of_reading(target).await;
        let pushed = self
            .tried(TRIED)
            .await
            .and_then(|pushed| match pushed.is_refused {
                true => Err(pushed.refusal()),
                false => Ok("it takes pushes of new branches".to_owned()),
            });
        findings.push(Finding::new("push a branch", pushed));
        findings
    }

    /// The program, the repository and the file.
    pub(in crate::forge) async fn findings_of_reading(
        &self,
        target: Option<&Target>,
    ) -> Vec<Finding> {
        let version = self.attempt(|| Box::pin(self.version())).await;
        let reached = self.attempt(|| Box::pin(self.reach())).await;
        let mut findings = vec![
            Finding::new("run git", version),
            Finding::new("reach the repository", reached),
        ];
        if let Some(target) = target {
            let read = self.read(&target.branch, &target.path).await;
            findings.push(Finding::of_file(target, read));
        }
        findings
    }

    /// Tries to push an empty commit to a reference, without pushing it. Servers check the right to write only.
    pub(in crate::forge) async fn tried(&self, reference: &str) -> Result<Pushed, Error> {
        let destination = Destination {
            reference,
            only_if_new: false,
            options: &[],
        };
        self.attempt(|| {
            let destination = &destination;
            Box::pin(async move {
                let commit = self.workspace.empty_commit().await?;
                self.try_push(&commit, destination, &["--dry-run"]).await
            })
        })
        .await
    }

    /// Pushes the tip of the branch to a reference where nothing comes of what the branch has already.
    pub(in crate::forge) async fn push_tip(
        &self,
        branch: &str,
        to: &Destination<'_>,
    ) -> Result<Pushed, Error> {
        check_branch(branch)?;
        self.attempt(|| {
            Box::pin(async move {
                self.fetch(&format!("refs/heads/{branch}"), "--depth=1")
                    .await?;
                let tip = self.workspace.resolve(FETCHED).await?;
                self.try_push(&tip, to, &[]).await
            })
        })
        .await
    }

    async fn reach(&self) -> Result<String, Fault> {
        self.talk(&["ls-remote", "--", &self.remote.url, "HEAD"])
            .await?;
        Ok(format!("`{}` answers", self.remote.url))
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
