//! Whether the token works and for how long, and whether it may do what filing takes.
//!
//! GitHub does not say what a token may do. So what filing writes is asked for in a form that cannot be carried out: a
//! branch of no commit, and a pull request of a branch to itself. A token without the right is refused for that before
//! GitHub looks at the rest.

use jiff::{SignedDuration, Timestamp};

use super::super::http::Answer;
use super::super::{Error, Finding, Target};
use super::Github;
use super::rest::{NewPull, Overview, User};
use super::words::refusal;

/// A token that ends sooner than this is a fault.
const LIFETIME_MIN: SignedDuration = SignedDuration::from_hours(7 * 24);
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
/// A branch that is never made.
const TRIED: &str = "pinion-check";

impl Github {
    /// Looks without filing anything: the token, the repository, the file, and the rights to write.
    pub(super) async fn findings(&self, target: Option<&Target>) -> Vec<Finding> {
        let mut findings = Vec::new();
        match self.account().await {
            Ok((who, answer)) => {
                findings.push(Finding::new("log in", Ok(who)));
                findings.extend(lifetime(&answer, Timestamp::now()));
            }
            Err(error) => findings.push(Finding::new("log in", Err(error))),
        }
        let overview = self.rest.overview().await;
        let base = match (target, &overview) {
            (Some(target), _) => target.branch.clone(),
            (None, Ok(overview)) => overview.default_branch.clone(),
            (None, Err(_)) => String::new(),
        };
        let is_seen = overview.is_ok();
        let usable = overview.and_then(|overview| self.usable(&overview));
        let is_usable = usable.is_ok();
        findings.push(Finding::new("reach the repository", usable));
        if !is_seen {
            return findings;
        }
        if let Some(target) = target {
            let read = super::Forge::read(self, &target.branch, &target.path).await;
            findings.push(Finding::of_file(target, read));
            let protected = self.protection(&target.branch).await;
            findings.push(Finding::new(
                format!("see who may write to `{}`", target.branch),
                protected,
            ));
        }
        if is_usable {
            findings.push(Finding::new("push a branch", self.may_push().await));
            findings.push(Finding::new(
                "open a pull request",
                self.may_open(&base).await,
            ));
        }
        findings
    }

    /// Whose token it is, and the answer that told.
    async fn account(&self) -> Result<(String, Answer), Error> {
        let answer = self.rest.account().await?;
        if answer.is_success() {
            let user: User = answer.json()?;
            return Ok((format!("the token is of `{}`", user.login), answer));
        }
        let installation = self.rest.installation().await?;
        match installation.is_success() {
            true => Ok((
                "the token is of an installation of an app".to_owned(),
                installation,
            )),
            false => Err(Error::stopped(refusal(&answer))),
        }
    }

    fn usable(&self, overview: &Overview) -> Result<String, Error> {
        let name = &overview.full_name;
        if *name != self.project {
            // Pull requests are looked for by the owner's name.
            return Err(Error::stopped(format!(
                "GitHub calls it `{name}`; write `project` so"
            )));
        }
        if overview.archived {
            return Err(Error::stopped(format!(
                "`{name}` is archived and takes no changes"
            )));
        }
        match &overview.permissions {
            Some(permissions) if !permissions.push => Err(Error::stopped(format!(
                "the account may read `{name}` but not write to it; give it the role Write"
            ))),
            _ => Ok(format!("`{name}` answers")),
        }
    }

    async fn protection(&self, branch: &str) -> Result<String, Error> {
        Ok(match self.rest.is_protected(branch).await? {
            true => "it is protected; a pull request waits for what its rules ask",
            false => "it is not protected: whoever may write can merge without a review",
        }
        .to_owned())
    }

    async fn may_push(&self) -> Result<String, Error> {
        let refused = self.rest.create_branch(TRIED, NO_COMMIT).await?;
        match refused {
            Some(_) => Ok(
                "the token may write contents; rules for new branches show only when one is made"
                    .to_owned(),
            ),
            None => Err(Error::stopped(format!(
                "the branch `{TRIED}` of no commit was made, which GitHub would not do; is `url` right?"
            ))),
        }
    }

    async fn may_open(&self, base: &str) -> Result<String, Error> {
        let answer = self
            .rest
            .create_pull(&NewPull {
                title: "Never made",
                head: base,
                base,
                body: String::new(),
                draft: false,
            })
            .await?;
        match answer.status {
            422 => Ok("the token may write pull requests".to_owned()),
            _ => Err(Error::stopped(refusal(&answer))),
        }
    }
}

/// When the token ends, where GitHub says so.
fn lifetime(answer: &Answer, now: Timestamp) -> Option<Finding> {
    let text = answer.header("github-authentication-token-expiration")?;
    Some(Finding {
        what: "see when the token ends".to_owned(),
        found: remaining(text, now),
    })
}

fn remaining(text: &str, now: Timestamp) -> Result<String, String> {
    let Some(end) = parse_end(text) else {
        return Ok(format!("GitHub says `{}`", text.escape_debug()));
    };
    let left = end.duration_since(now);
    let days = left.as_hours() / 24;
    let date = end.strftime("%Y-%m-%d %H:%M UTC");
    let next = "make a new one and put it in its place";
    if left.is_negative() {
        Err(format!("it ended on {date}, says GitHub; {next}"))
    } else if left < LIFETIME_MIN {
        Err(format!("it ends on {date}, in {days} days; {next}"))
    } else {
        Ok(format!("it ends on {date}, in {days} days"))
    }
}

/// `2026-12-24 10:31:26 UTC`, or with an offset such as `+0500` in place of `UTC`.
fn parse_end(text: &str) -> Option<Timestamp> {
    let text = text.trim().replace("UTC", "+0000");
    Timestamp::strptime("%Y-%m-%d %H:%M:%S %z", text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_ends_within_a_week_is_a_fault() {
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().expect("a date");
        assert_eq!(
            remaining("2026-12-31 10:31:26 UTC", now),
            Ok("it ends on 2026-12-31 10:31 UTC, in 30 days".to_owned())
        );
        assert_eq!(
            remaining("2026-12-08 05:00:00 +0500", now),
            Ok("it ends on 2026-12-08 00:00 UTC, in 7 days".to_owned())
        );
        let soon = remaining("2026-12-04 00:00:00 UTC", now).expect_err("soon");
        assert!(soon.contains("in 3 days; make a new one"), "{soon}");
        assert!(remaining("one day", now).is_ok());
    }
}
