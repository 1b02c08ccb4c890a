//! A connection to a Pinion server, or to several on the same store: TLS, the bearer token, the deadline, the trace.
//!
//! Opening does no network traffic; the first call connects, and later calls reconnect by themselves. Which of
//! several servers is asked is decided in [`servers`].

mod servers;

use std::future::Future;
use std::time::Duration;

use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::trace::Trace;
use crate::v1;

use servers::{Server, Waits};
pub use servers::{Servers, Unanswered};

/// The transport of every service client: the servers, each asked with the token and the trace.
pub type Transport = InterceptedService<Servers, Credentials>;

/// The longest answer taken from a server: 16 MiB, four times the largest pin set.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is waited beyond the deadline, so that whoever asked the servers can say which and how it went.
const SLACK: Duration = Duration::from_millis(50);

/// Where the server is and how to speak to it.
#[derive(Clone)]
pub struct ConnectOptions {
    server: String,
    token: Option<String>,
    ca_pem: Option<Vec<u8>>,
    plain_http_anywhere: bool,
    connect_timeout: Duration,
    deadline: Duration,
}

impl ConnectOptions {
    /// Options for the server at a URL such as `https://pinion.example:7460`, or for several that share a store,
    /// separated by commas.
    ///
    /// Of several, one at random is asked, and the next where it fails: always when it cannot be reached; when the
    /// connection breaks, no answer begins within an equal part of the deadline (at most 5 s) or the server says that it
    /// is unavailable, only if the request may be made twice. The one that answered last is asked first the next time,
    /// and those that failed in the last 10 s last.
    ///
    /// A name with several addresses is one server: they are tried in turn to connect, in the order of the resolver.
    ///
    /// Without more: no token, the system's certificate authorities, 5 s to connect, 20 s for an answer.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            token: None,
            ca_pem: None,
            plain_http_anywhere: false,
            connect_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(20),
        }
    }

    /// The same options for another server, or other servers.
    pub fn server(mut self, server: impl Into<String>) -> Self {
        self.server = server.into();
        self
    }

    /// Sends `token` as `authorization: Bearer …`, marked as sensitive so that no log shows it.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Trusts these certificate authorities (PEM) instead of the system's.
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Allows `http://` to other hosts than this one: everybody on the way can read the token.
    pub fn allow_plain_http_anywhere(mut self) -> Self {
        self.plain_http_anywhere = true;
        self
    }

    /// The longest time to connect.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The longest time from a question to its whole answer, sent to the server as `grpc-timeout`.
    ///
    /// A stream has no deadline once it has begun.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Checks the options and makes the connection, lazily.
    ///
    /// Must be called within a tokio runtime. Refuses an address that is no `http`/`https` URL, plain
    /// http to another host, an unreadable certificate, and a token that cannot be a header.
    pub fn open(self) -> Result<Connection, Error> {
        let uris = check_servers(&self.server, self.plain_http_anywhere)?;
        let waits = Waits::shared(self.deadline, uris.len());
        // One that swallows packets must leave time for the others.
        let connect_timeout = self.connect_timeout.min(match uris.len() {
            1 => self.connect_timeout,
            _ => waits.attempt(),
        });
        let servers = uris.into_iter();
        let servers = servers.map(|(url, uri)| self.server_at(url, uri, connect_timeout));
        let servers = Servers::new(servers.collect(), waits);
        servers
            .check_authorities()
            .map_err(|cause| Error::Certificates {
                cause: chain(&cause),
            })?;
        let authorization = self.token.as_deref().map(bearer).transpose()?;
        let credentials = Credentials {
            authorization,
            trace: Trace::from_environment(),
            deadline: Some(self.deadline),
        };
        Ok(Connection {
            server: self.server,
            servers,
            credentials,
            deadline: self.deadline,
        })
    }

    fn server_at(&self, url: &str, uri: Uri, connect_timeout: Duration) -> Server {
        let is_plain = uri.scheme_str() == Some("http");
        let endpoint = Endpoint::from(uri)
            .connect_timeout(connect_timeout)
            .keep_alive_timeout(Duration::from_secs(20))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .user_agent(concat!("pinion/", env!("CARGO_PKG_VERSION")))
            .expect("a constant of visible ASCII is a header value");
        let tls = match &self.ca_pem {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let tls = tls.timeout(connect_timeout);
        Server::new(url.to_owned(), endpoint, (!is_plain).then_some(tls))
    }
}

/// An open connection; cheap to clone.
#[derive(Clone)]
pub struct Connection {
    server: String,
    servers: Servers,
    credentials: Credentials,
    deadline: Duration,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $module:ident :: $client:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> v1::$module::$client<Transport> {
                v1::$module::$client::new(self.transport()).max_decoding_message_size(ANSWER_BYTES_MAX)
            }
        )*
    };
}

impl Connection {
    services! {
        /// The service of pins.
        pins: pin_service_client::PinServiceClient;
        /// The service of environments.
        environments: environment_service_client::EnvironmentServiceClient;
        /// The service of outcomes.
        outcomes: outcome_service_client::OutcomeServiceClient;
        /// The service of rollouts.
        rollouts: rollout_service_client::RolloutServiceClient;
        /// The service of pin sets.
        pin_sets: pin_set_service_client::PinSetServiceClient;
        /// The service of gates.
        gates: gate_service_client::GateServiceClient;
        /// The service of the audit.
        audit: audit_service_client::AuditServiceClient;
        /// The service of delivery figures.
        figures: figure_service_client::FigureServiceClient;
        /// The service of forges.
        forges: forge_service_client::ForgeServiceClient;
        /// The service of notices.
        notices: notice_service_client::NoticeServiceClient;
        /// The service of indexes.
        indexes: index_service_client::IndexServiceClient;
        /// The service of tokens.
        admin: admin_service_client::AdminServiceClient;
    }

    /// The server's URL, or those of several, as given.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The URL of the server that answered last, or of the one that will be asked first.
    pub fn answering(&self) -> &str {
        self.servers.first()
    }

    /// The same connection for calls that answer with a stream: no deadline is sent.
    pub fn for_streams(&self) -> Self {
        let mut connection = self.clone();
        connection.credentials.deadline = None;
        connection
    }

    /// The same connection for calls that may take as long as this: no server is given up for being slow.
    pub fn patient(&self, deadline: Duration) -> Self {
        let mut connection = self.clone();
        connection.servers = self.servers.waiting(Waits::patient(deadline));
        connection.deadline = deadline;
        connection.credentials.deadline = Some(deadline);
        connection
    }

    /// Waits for a call's answer, at most until the deadline, and types what went wrong.
    pub async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.deadline + SLACK, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::from_status(&self.server, &status)),
            Err(_) => Err(Error::Unreachable {
                server: self.server.clone(),
                cause: format!("no answer within {:?}", self.deadline),
                may_be_done: false,
            }),
        }
    }

    fn transport(&self) -> Transport {
        InterceptedService::new(self.servers.clone(), self.credentials.clone())
    }
}

/// What every call carries: the token, the trace, the deadline.
#[derive(Clone)]
pub struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
    trace: Trace,
    deadline: Option<Duration>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        if let Ok(value) = self.trace.header().parse() {
            request.metadata_mut().insert("traceparent", value);
        }
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        Ok(request)
    }
}

/// Whether a URL's host can only be this machine.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The URLs of servers that are separated by commas.
pub fn each_server(servers: &str) -> impl Iterator<Item = &str> {
    servers.split(',').map(str::trim)
}

/// Reads the URLs of servers that are separated by commas, each as [`check_server`] does; each once.
pub fn check_servers(servers: &str, plain_http_anywhere: bool) -> Result<Vec<(&str, Uri)>, Error> {
    let mut read: Vec<(&str, Uri)> = Vec::new();
    for server in each_server(servers) {
        if server.is_empty() && servers.contains(',') {
            return Err(Error::Address {
                server: servers.to_owned(),
                problem: "a comma stands beside no URL",
            });
        }
        let uri = check_server(server, plain_http_anywhere)?;
        if read.iter().all(|(_, known)| *known != uri) {
            read.push((server, uri));
        }
    }
    Ok(read)
}

/// Reads a server's URL and refuses plain http to another host, unless it is allowed.
pub fn check_server(server: &str, plain_http_anywhere: bool) -> Result<Uri, Error> {
    let uri = parse_server(server)?;
    let host = uri.host().unwrap_or_default();
    if uri.scheme_str() == Some("http") && !plain_http_anywhere && !is_loopback(host) {
        let host = host.to_owned();
        return Err(Error::PlainHttp { host });
    }
    Ok(uri)
}

/// Reads a server's URL: `http` or `https`, a host, no path.
fn parse_server(server: &str) -> Result<Uri, Error> {
    let refuse = |problem: &'static str| Error::Address {
        server: server.to_owned(),
        problem,
    };
    let uri: Uri = server.parse().map_err(|_| refuse("it is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refuse("it begins with neither https:// nor http://"));
    }
    let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(refuse(
            "it holds a user or a secret; give the token by a file",
        ));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(refuse("it has a path after the host"));
    }
    Ok(uri)
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value: MetadataValue<Ascii> = is_token
        .then(|| format!("Bearer {token}").parse().ok())
        .flatten()
        .ok_or(Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and its causes in one line, since tonic's own words stop at "transport error".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = match error.to_string() {
        words if words == "transport error" && error.source().is_some() => String::new(),
        words => words,
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_stays_on_this_machine_unless_it_is_allowed() {
        for server in ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"] {
            assert!(ConnectOptions::new(server).open().is_ok(), "{server}");
        }
        for server in [
            "http://pins.example",
            "http://10.0.0.1:7460",
            "http://localhost.example",
        ] {
            let refused = ConnectOptions::new(server).open();
            assert!(matches!(refused, Err(Error::PlainHttp { .. })), "{server}");
            assert!(
                ConnectOptions::new(server)
                    .allow_plain_http_anywhere()
                    .open()
                    .is_ok()
            );
        }
    }

    #[test]
    fn a_server_is_a_url_with_a_host_and_nothing_after_it() {
        assert!(parse_server("https://pins.example:7460/").is_ok());
        for server in [
            "pins.example",
            "ftp://pins.example",
            "https://a:b@pins.example",
            "https://x/y",
        ] {
            assert!(parse_server(server).is_err(), "{server}");
        }
    }

    #[test]
    fn of_several_servers_the_one_that_is_wrong_is_named() {
        let read = check_servers("https://a:7460, https://b:7460,https://a:7460/", false);
        let urls: Vec<_> = read
            .expect("fine")
            .into_iter()
            .map(|(url, _)| url)
            .collect();
        assert_eq!(urls, ["https://a:7460", "https://b:7460"], "each once");
        let refusal = |servers| match check_servers(servers, false) {
            Err(error) => error.to_string(),
            Ok(read) => panic!("{read:?}"),
        };
        assert!(refusal("https://a,ftp://b").contains("`ftp://b`"));
        assert!(refusal("https://a,http://b.example").contains("`b.example`"));
        assert!(refusal("https://a,,https://b").contains("comma"));
        assert!(refusal("https://a,").contains("comma"));
    }

    #[test]
    fn a_token_is_sensitive_and_must_be_visible_ascii() {
        assert!(bearer("secret\n").expect("trimmed").is_sensitive());
        for token in ["", "two words", "ümlaut", "line\nbreak"] {
            assert!(matches!(bearer(token), Err(Error::Token)), "{token:?}");
        }
    }
}
