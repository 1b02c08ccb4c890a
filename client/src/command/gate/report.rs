//! The report of a gate's run: what is said, and how often that is tried.

use std::time::Duration;

use pinion_client::ingest::Verdict;
use pinion_client::{Connection, Error, v1};

use crate::failure::Failure;
use crate::session::Session;
use crate::view;

/// The pauses between tries: a test run is dear, and the same report twice is one.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// The longest link that the server takes, in bytes.
const LINK_BYTES_MAX: usize = 500;

/// Where people see more of a run; empty: nowhere.
pub(super) struct Link(String);

impl Link {
    /// The one that was given, else the page of the job that this is.
    pub(super) fn of(given: Option<&str>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::from_parts(given, variable)
    }

    fn from_parts(given: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Self {
        if let Some(link) = given {
            return Self(link.to_owned());
        }
        let of_github = || {
            let [server, repository, run] =
                ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(&variable);
            Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
        };
        let found = variable("CI_JOB_URL")
            .or_else(|| variable("BUILD_URL"))
            .or_else(of_github);
        // A run is not lost for a link that nobody asked for.
        let fits = |link: &String| {
            link.len() <= LINK_BYTES_MAX
                && (link.starts_with("https://") || link.starts_with("http://"))
                && !link.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        Self(found.filter(fits).unwrap_or_default())
    }
}

/// Reports a verdict by a lease, again while the server is away, and says what it came to.
pub(super) async fn send(
    session: &Session,
    connection: &Connection,
    lease_id: &str,
    verdict: &Verdict,
    link: Link,
) -> Result<(), Failure> {
    let (outcome, category, fingerprint) = match verdict {
        Verdict::Passed => (v1::Outcome::Passed, v1::Category::Unspecified, None),
        Verdict::Failed {
            category,
            fingerprint,
            ..
        } => (v1::Outcome::Failed, *category, fingerprint.as_ref()),
    };
    let request = v1::ReportGateRequest {
        lease_id: lease_id.to_owned(),
        outcome: outcome.into(),
        category: category.into(),
        fingerprint: fingerprint.map(ToString::to_string).unwrap_or_default(),
        link: link.0,
    };
    let gate = try_until_taken(session, connection, &request).await?.gate;
    session.terminal.note(format_args!(
        "reported: {}",
        view::gate_standing(&gate.unwrap_or_default())
    ));
    Ok(())
}

async fn try_until_taken(
    session: &Session,
    connection: &Connection,
    request: &v1::ReportGateRequest,
) -> Result<v1::ReportGateResponse, Error> {
    let mut client = connection.gates();
    for pause in PAUSES {
        match connection.answer(client.report_gate(request.clone())).await {
            Err(error) if is_passing(&error) => {
                session.terminal.note(format_args!(
                    "{error}; the report is tried again in {} s",
                    pause.as_secs()
                ));
                tokio::time::sleep(pause).await;
            }
            answer => return answer,
        }
    }
    connection.answer(client.report_gate(request.clone())).await
}

/// Whether it may be otherwise in a moment: the server is away, or another one wrote the gate meanwhile.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } => true,
        Error::Refused(refusal) => {
            matches!(
                refusal.code,
                tonic::Code::Unavailable | tonic::Code::Aborted
            )
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(given: Option<&str>, variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Link::from_parts(given, variable).0
    }

    #[test]
    fn the_link_is_the_job_s_page_unless_another_one_is_given() {
        let gitlab = [("CI_JOB_URL", "https://git.example/job/1")];
        assert_eq!(link(None, &gitlab), "https://git.example/job/1");
        assert_eq!(link(Some("https://x"), &gitlab), "https://x");
        let github = [
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_REPOSITORY", "a/b"),
            ("GITHUB_RUN_ID", "7"),
        ];
        assert_eq!(
            link(None, &github),
            "https://github.example/a/b/actions/runs/7"
        );
        assert_eq!(link(None, &github[..2]), "");
        assert_eq!(link(None, &[("BUILD_URL", "javascript:alert(1)")]), "");
    }
}
