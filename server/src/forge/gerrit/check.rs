//! Whether changes can be filed, looked at without filing one.

use std::time::{Duration, SystemTime};

use pinion_core::time::Timestamp;

use super::super::repository::{Destination, Repository};
use super::super::{Error, Finding, Target};
use super::Gerrit;
use super::answer::{is_telling, refusal, with_advice};
use super::server::Token;
use super::steps::for_review;

/// How long before its end a token is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// The digits of a moment to the minute, such as `2026-11-27 04:25`.
const MINUTE: usize = 16;

impl Gerrit {
    /// The server, the account, and for a file: whether it is there and changes of it may be put forward.
    pub(super) async fn findings(&self, target: Option<&Target>) -> Vec<Finding> {
        let version = self.server.version().await;
        let mut findings = vec![
            Finding::new(
                format!("reach `{}`", self.url),
                version.map(|version| format!("Gerrit {version}")),
            ),
            Finding::new(format!("log in as `{}`", self.user), self.log_in().await),
        ];
        if findings.iter().any(|finding| finding.found.is_err()) {
            return findings;
        }
        if self.repository.is_some() {
            let address = self.own_address().await;
            findings.push(Finding::new("commit as the account", address));
        }
        findings.extend(self.tokens(now()).await);
        for name in self.people.all() {
            let known = self.server.knows(name).await;
            findings.push(Finding::new(
                format!("ask `{name}` for reviews"),
                known.and_then(|is_known| is_known_or_not(is_known, name)),
            ));
        }
        if let Some(target) = target {
            findings.extend(self.of_target(target).await);
        }
        findings
    }

    async fn log_in(&self) -> Result<String, Error> {
        Ok(self.server.account().await?.words())
    }

    /// Gerrit takes a commit only from a committer whose address is the account's.
    async fn own_address(&self) -> Result<String, Error> {
        let emails = self.server.emails().await?;
        let ours = &self.author.email;
        if emails.iter().any(|email| email.email == *ours) {
            return Ok(format!("`{ours}` is registered with it"));
        }
        let registered: Vec<_> = emails.into_iter().map(|email| email.email).collect();
        Err(Error::stopped(format!(
            "`author_email` `{ours}` is not registered with the account, so pushes would be refused as of an \
             `invalid committer`; register it, or set one of these: `{}`",
            registered.join("`, `")
        )))
    }

    /// What is known of how long the account's tokens last; servers before 3.13 have passwords without an end.
    async fn tokens(&self, now: Timestamp) -> Vec<Finding> {
        const WHAT: &str = "use the account's tokens";
        match self.server.tokens().await {
            Err(error) => vec![Finding::new(WHAT, Err(error))],
            Ok(tokens) => tokens
                .iter()
                .filter_map(|token| of_token(token, now))
                .map(|found| Finding::new(WHAT, found))
                .collect(),
        }
    }

    async fn of_target(&self, target: &Target) -> Vec<Finding> {
        let read = self.server.read(&target.branch, &target.path).await;
        let created = match &self.repository {
            Some(repository) => may_push(repository, &target.branch).await,
            None => self.server.may_create(&target.branch).await,
        };
        vec![
            Finding::of_file(target, read),
            Finding::new(
                format!("put changes forward for `{}`", target.branch),
                created.map(|()| "the account may".to_owned()),
            ),
        ]
    }
}

/// Pushes what the branch has already: it is refused as nothing new where more would be taken.
async fn may_push(repository: &Repository, branch: &str) -> Result<(), Error> {
    let destination = Destination {
        reference: &for_review(branch)?,
        only_if_new: false,
        options: &[],
    };
    let pushed = repository.push_tip(branch, &destination).await;
    let pushed = pushed.map_err(with_advice)?;
    match !pushed.is_refused || is_telling(&pushed.summary) {
        true => Ok(()),
        false => Err(refusal(pushed)),
    }
}

fn is_known_or_not(is_known: bool, name: &str) -> Result<String, Error> {
    match is_known {
        true => Ok("the server knows them".to_owned()),
        false => Err(Error::stopped(format!(
            "the server shows no account and no group `{name}`; changes are filed without asking them"
        ))),
    }
}

/// Whether the token lasts; `None`: it has no end.
fn of_token(token: &Token, now: Timestamp) -> Option<Result<String, Error>> {
    let minute = |text: &str| text.get(..MINUTE).map(str::to_owned);
    let end = minute(token.expiration.as_ref()?)?;
    let id = &token.id;
    // Moments in this form sort as they follow each other.
    Some(if end <= minute(&now.to_string())? {
        Err(Error::stopped(format!(
            "the token `{id}` ended on {end} UTC; make another and put it where `password_file` or `password_command` has \
             its secret from"
        )))
    } else if end <= minute(&now.plus(SOON).to_string())? {
        Err(Error::stopped(format!(
            "the token `{id}` ends on {end} UTC; if it is the one that is used here, exchange it before"
        )))
    } else {
        Ok(format!("the token `{id}` lasts until {end} UTC"))
    })
}

fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::default().plus(since_1970.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_worth_a_word_before_its_end() {
        let now = Timestamp::from_unix_ms(1_772_446_500_000); // 2026-03-02 10:15 UTC
        let of = |end: Option<&str>| {
            let token = Token {
                id: "t1".into(),
                expiration: end.map(str::to_owned),
            };
            of_token(&token, now).map(|found| found.map_err(|error| error.answer().to_owned()))
        };
        assert_eq!(of(None), None);
        let lasts = of(Some("2026-03-16 10:16:00.000000000"));
        assert_eq!(
            lasts,
            Some(Ok(
                "the token `t1` lasts until 2026-03-16 10:16 UTC".to_owned()
            ))
        );
        for (end, words) in [
            ("2026-03-16 10:15:00.000000000", "ends on 2026-03-16"),
            ("2026-03-02 10:15:00.000000000", "ended on 2026-03-02"),
        ] {
            let found = of(Some(end)).expect("a finding").expect_err("soon");
            assert!(found.contains(words), "{found}");
        }
    }
}
