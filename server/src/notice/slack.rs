//! Chat: what Slack's incoming webhooks take, and Mattermost's and Rocket.Chat's with them.
//!
//! The URL is a secret by itself: it is read from a file or a program, and shown nowhere.

use std::sync::Arc;

use async_trait::async_trait;
use pinion_core::notice::Notice;
use serde_json::{Value, json};

use super::config::check_url;
use super::http::Client;
use super::{ConfigError, Error, RouteConfig, Sender, Sending};
use crate::secret::Secret;

/// The longest headline that Slack takes, in characters.
const HEADER_MAX: usize = 150;
/// The longest section, in characters; Slack takes 3,000.
const SECTION_MAX: usize = 2900;

#[derive(Debug)]
struct Slack {
    client: Client,
    url: Secret,
    allow_plaintext: bool,
}

/// Opens the route; nothing is contacted.
pub(super) fn open(config: &RouteConfig) -> Result<Arc<dyn Sender>, ConfigError> {
    if config.url.is_some() {
        return Err(config.error(
            "the `url` of a chat is a secret; put it into a file and give `url_file`, or `url_command`",
        ));
    }
    config.refuse_keys(&[
        "secret_file",
        "secret_command",
        "previous_secret_file",
        "server",
        "port",
        "tls",
        "user",
        "password_file",
        "password_command",
        "from",
        "to",
    ])?;
    let url = config.secret("url", config.url_file.as_ref(), config.url_command.as_ref())?;
    Ok(Arc::new(Slack {
        client: Client::open(config)?,
        url: url.ok_or_else(|| config.error("give `url_file` or `url_command`"))?,
        allow_plaintext: config.allow_plaintext,
    }))
}

#[async_trait]
impl Sender for Slack {
    async fn send(&self, sending: Sending<'_>) -> Result<String, Error> {
        let text = self.url.get().await.map_err(Error::retry)?;
        let url = check_url(&text, self.allow_plaintext)
            .map_err(|why| Error::retry(format!("the secret URL {why}")))?;
        let body = message(sending.notice).to_string().into_bytes();
        let path = url.path().to_owned();
        let blot = |text: &str| match path.len() {
            0 | 1 => self.url.redact(text),
            _ => self.url.redact(text).replace(&path, "***"),
        };
        self.client.post(&url, &[], body, &blot).await
    }

    fn target(&self) -> &str {
        "a secret URL"
    }
}

/// `text` is the whole of it, for those who know no blocks; Slack shows the blocks, and `text` in its alerts.
fn message(notice: &Notice) -> Value {
    let subject = harmless(&notice.subject);
    let body = harmless(
        &Notice {
            link: None,
            ..notice.clone()
        }
        .body(),
    );
    let (mut text, mut section) = (format!("{subject}\n{body}"), body);
    if let Some(link) = &notice.link {
        text.push_str(&format!("\n\n{}", escaped(link)));
        section = cut(&section, SECTION_MAX - link.len());
        section.push_str(&format!("\n\n<{}|Open in Pinion>", escaped(link)));
    }
    // What is plain text is shown as it stands, so nothing is escaped there.
    let header = cut(&notice.subject, HEADER_MAX);
    json!({
        "text": text,
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": header, "emoji": false } },
            { "type": "section", "text": { "type": "mrkdwn", "text": cut(&section, SECTION_MAX + 100) } },
        ],
    })
}

/// The text without what chats take for more: `&`, `<` and `>` are escaped, mentions and links with other words broken.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        harmless.push(c);
        let next = text[at + c.len_utf8()..].chars().next();
        let is_mention = c == '@' && next.is_some_and(|next| next.is_alphanumeric() || next == '_');
        let is_link = c == ']' && matches!(next, Some('(' | '['));
        if is_mention || is_link {
            harmless.push(' ');
        }
    }
    escaped(&harmless)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use pinion_core::notice::Kind;
    use pinion_core::time::Timestamp;

    use super::*;

    #[test]
    fn nothing_that_others_wrote_mentions_or_leads_anywhere() {
        let notice = Notice {
            kind: Kind::GateFailed,
            at: Timestamp::from_unix_ms(0),
            pin_set: None,
            rollout: None,
            actor: "ci".to_owned(),
            subject: "<!channel> @here [a](https://x.example)".to_owned(),
            lines: vec!["a & b <@U1> @all ![x](y)".to_owned()],
            ways: Vec::new(),
            changes: Vec::new(),
            link: Some("https://pinion.example/?a&b".to_owned()),
        };
        let message = message(&notice);
        let text = message["text"].as_str().expect("text");
        assert_eq!(
            text,
            "&lt;!channel&gt; @ here [a] (https://x.example)\na &amp; b &lt;@ U1&gt; @ all ![x] (y)\n\nhttps://pinion.example/?a&amp;b"
        );
        assert_eq!(message["blocks"][0]["text"]["type"], "plain_text");
        let section = message["blocks"][1]["text"]["text"].as_str().expect("text");
        assert!(
            section.ends_with("<https://pinion.example/?a&amp;b|Open in Pinion>"),
            "{section}"
        );
        assert_eq!(section.matches('<').count(), 1, "{section}");
    }
}
