//! E-mail by SMTP, in plain text, for mail programs and their filters.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use url::Host;

use super::config::MailTls;
use super::{ConfigError, Error, RouteConfig, Sender, Sending};
use crate::config::is_loopback;
use crate::secret::Secret;

/// Addresses of one route, at most.
const TO_MAX: usize = 50;

struct Mail {
    server: String,
    port: u16,
    tls: Tls,
    timeout: Duration,
    login: Option<(String, Secret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    target: String,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("server", &self.server)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Opens the route; nothing is contacted.
pub(super) fn open(config: &RouteConfig) -> Result<Arc<dyn Sender>, ConfigError> {
    config.refuse_keys(&[
        "url",
        "url_file",
        "url_command",
        "secret_file",
        "secret_command",
        "previous_secret_file",
    ])?;
    let server = config.server.clone().filter(|server| !server.is_empty());
    let server = server.ok_or_else(|| config.error("give `server`, that of SMTP"))?;
    let tls = config.tls.unwrap_or(MailTls::Starttls);
    let is_near = is_loopback(Host::parse(&server).ok());
    if tls == MailTls::None && !is_near && !config.allow_plaintext {
        return Err(config.error(
            "`tls` is `none`, which is for loopback only; use `starttls` or `tls`, or set `allow_plaintext`",
        ));
    }
    let address = |key: &str, text: &str| {
        let address = text.parse::<Mailbox>();
        address.map_err(|error| config.error(format!("`{key}`: `{text}` is no address ({error})")))
    };
    let from = config
        .from
        .as_deref()
        .ok_or_else(|| config.error("give `from`"))?;
    if !(1..=TO_MAX).contains(&config.to.len()) {
        return Err(config.error(format!("`to` has {}; give 1 to {TO_MAX}", config.to.len())));
    }
    let to: Result<Vec<Mailbox>, _> = config.to.iter().map(|text| address("to", text)).collect();
    let to = to?;
    let (file, command) = (
        config.password_file.as_ref(),
        config.password_command.as_ref(),
    );
    let login = match (
        config.user.clone(),
        config.secret("password", file, command)?,
    ) {
        (Some(user), Some(secret)) => Some((user, secret)),
        (None, None) => None,
        _ => {
            return Err(config.error(
                "give both `user` and `password_file` (or `password_command`), or neither",
            ));
        }
    };
    Ok(Arc::new(Mail {
        port: config.port.unwrap_or(match tls {
            MailTls::Starttls => 587,
            MailTls::Tls => 465,
            MailTls::None => 25,
        }),
        tls: encryption(config, tls, &server)?,
        timeout: config.timeout()?,
        login,
        from: address("from", from)?,
        target: match to.len() {
            1 => to[0].email.to_string(),
            many => format!("{} and {} more", to[0].email, many - 1),
        },
        to,
        server,
    }))
}

fn encryption(config: &RouteConfig, tls: MailTls, server: &str) -> Result<Tls, ConfigError> {
    if tls == MailTls::None {
        return Ok(Tls::None);
    }
    // A second call finds one, and it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let problem =
        |error: lettre::transport::smtp::Error| config.error(format!("`ca_file`: {error}"));
    let mut parameters = TlsParameters::builder(server.to_owned());
    if let Some(pem) = config.certificates()? {
        let certificate = Certificate::from_pem(&pem).map_err(problem)?;
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    let parameters = parameters.build_rustls().map_err(problem)?;
    Ok(match tls {
        MailTls::Tls => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}

#[async_trait]
impl Sender for Mail {
    async fn send(&self, sending: Sending<'_>) -> Result<String, Error> {
        let message = self.message(&sending).map_err(Error::refused)?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.server)
            .port(self.port)
            .tls(self.tls.clone())
            .timeout(Some(self.timeout));
        if let Some((user, secret)) = &self.login {
            let password = secret.get().await.map_err(Error::retry)?;
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        let transport = transport.build();
        // Its own limit is one for every step; this is one for all of them.
        let sent = tokio::time::timeout(self.timeout, transport.send(message)).await;
        let sent = sent.map_err(|_| Error::retry("it took too long (`timeout_s`)"))?;
        let blot = |text: &str| match &self.login {
            Some((_, secret)) => secret.redact(text),
            None => text.to_owned(),
        };
        match sent {
            Ok(response) => {
                let said: Vec<&str> = response.message().collect();
                Ok(blot(&format!("{}: {}", response.code(), said.join(" "))))
            }
            Err(error) if error.is_permanent() => Err(Error::refused(blot(&error.to_string()))),
            Err(error) => Err(Error::retry(blot(&error.to_string()))),
        }
    }

    fn target(&self) -> &str {
        &self.target
    }
}

impl Mail {
    fn message(&self, sending: &Sending<'_>) -> Result<Message, String> {
        let Sending { id, notice, .. } = sending;
        let domain = self.from.email.domain();
        let since_1970 = Duration::from_millis(notice.at.unix_ms().unsigned_abs());
        let mut message: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .subject(format!("[pinion] {}", notice.subject))
            .date(SystemTime::UNIX_EPOCH + since_1970)
            // The same on every try, so that mail programs show a repeat once.
            .message_id(Some(format!("<{id}@{domain}>")))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Pinion-Event", notice.kind.as_str()))
            .header(ContentType::TEXT_PLAIN);
        // One thread for every rollout.
        if let Some(rollout) = &notice.rollout {
            message = message.references(format!("<{rollout}@{domain}>"));
        }
        for to in &self.to {
            message = message.to(to.clone());
        }
        let body = format!("{}\n\n{}\n", notice.subject, notice.body());
        message.body(body).map_err(|error| error.to_string())
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
