//! What GitHub says and what is said to it.

use serde::Deserialize;
use serde_json::Value;

use super::super::Error;
use super::super::http::Answer;
use super::rest::Pull;

/// Says which permissions of a token a request needs.
const PERMISSIONS: &str = "x-accepted-github-permissions";

/// What became of a pull request that was to be made.
pub(super) enum PullMade {
    /// It was made.
    Made(Box<Pull>),
    /// Its branch has nothing that the target branch lacks; GitHub's words.
    NothingNew(String),
    /// It was not made, perhaps since there is one.
    Refused(Error),
}

/// What the answer to the making of a pull request means.
pub(super) fn made(answer: &Answer) -> Result<PullMade, Error> {
    let said = said(&answer.body);
    Ok(match answer.is_success() {
        true => PullMade::Made(Box::new(answer.json()?)),
        false if said.contains("No commits between") => PullMade::NothingNew(said),
        false if said.contains("already exists") => {
            // Where it is not listed yet, it is when the same is tried again.
            PullMade::Refused(Error::retry(answer.words_of(&said)))
        }
        false => PullMade::Refused(Error::stopped(refusal(answer))),
    })
}

/// The words of an answer that is no success, with the right that may be missing.
pub(super) fn refusal(answer: &Answer) -> String {
    let words = answer.words_of(&said(&answer.body));
    match (answer.status, answer.header(PERMISSIONS)) {
        (403 | 404, Some(needed)) => format!("{words}; the token needs `{needed}`"),
        _ => words,
    }
}

/// GitHub's words out of its JSON; the body itself where it is something else.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
        #[serde(default)]
        errors: Vec<Value>,
    }
    let Ok(said) = serde_json::from_slice::<Said>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let words = said.errors.iter().map(|error| {
        let field = |name: &str| error.get(name).and_then(Value::as_str);
        match (error.as_str(), field("message")) {
            (Some(text), _) | (None, Some(text)) => text.to_owned(),
            (None, None) => [field("resource"), field("field"), field("code")]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "),
        }
    });
    std::iter::once(said.message)
        .chain(words)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The text as Markdown that shows it as it is: nothing in it is a heading, a mention or a reference.
pub(super) fn markdown(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_kind_of_error_are_found() {
        for (body, words) in [
            (r#"{"message":"Not Found","status":"404"}"#, "Not Found"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"No."}]}"#,
                "Validation Failed: No.",
            ),
            (
                r#"{"message":"Validation Failed","errors":["One.",{"resource":"Label","field":"name","code":"invalid"}]}"#,
                "Validation Failed: One.: Label name invalid",
            ),
            ("<html>", "<html>"),
        ] {
            assert_eq!(said(body.as_bytes()), words);
        }
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        assert_eq!(markdown("# a @b"), "```text\n# a @b\n```");
        assert_eq!(markdown("```\n````` x"), "``````text\n```\n````` x\n``````");
    }
}
