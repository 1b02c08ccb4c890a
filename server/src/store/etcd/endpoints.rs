//! Which member of etcd is asked, and what happens when it does not answer.
//!
//! One member is asked as long as it answers; one that does not rests for a while, longer each time,
//! and the next one is asked. Every call has an end, and every connection notices within seconds that
//! nobody is there any more.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pinion_etcd_api::AuthenticateRequest;
use pinion_etcd_api::auth_client::AuthClient;
use pinion_etcd_api::kv_client::KvClient;
use pinion_etcd_api::lease_client::LeaseClient;
use pinion_etcd_api::maintenance_client::MaintenanceClient;
use pinion_etcd_api::watch_client::WatchClient;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Address, Identity};
use tonic::{Request, Response, Status};

use super::fault::Fault;
use super::options::EtcdOptions;
use crate::store::Error;

/// How long a call is tried, in timeouts of one member.
const PATIENCE_TIMEOUTS: u32 = 3;
/// How long nothing may come from a member before it is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How long it then may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How many tokens one call tries.
const TOKENS_REFUSED_MAX: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The first rest of a member that did not answer; it doubles each time.
const REST_MIN: Duration = Duration::from_millis(50);
const REST_MAX: Duration = Duration::from_secs(4);

/// The members of etcd.
#[derive(Debug)]
pub(super) struct Endpoints {
    members: Vec<Member>,
    /// The one that is asked.
    current: AtomicUsize,
    account: Option<Account>,
    token: tokio::sync::Mutex<Option<Token>>,
    timeout: Duration,
}

#[derive(Debug)]
struct Member {
    url: String,
    channel: Channel,
    health: Mutex<Health>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    failures: u32,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Account {
    user: String,
    password_file: PathBuf,
}

/// What etcd gives for a password; it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
struct Token(MetadataValue<Ascii>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Whether a call may be made again when its answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing that it would not change the same way again.
    Harmless,
    /// It may have happened.
    Never,
}

/// A way to one member.
#[derive(Clone, Debug)]
pub(super) struct Line {
    channel: Channel,
    token: Option<Token>,
}

impl Line {
    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(super) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub(super) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(super) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    /// The message as a request: refused by a member that has lost the others, with the token if there is one.
    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        if let Some(Token(token)) = &self.token {
            metadata.insert("token", token.clone());
        }
        request
    }
}

impl Endpoints {
    /// The members that the options name; nothing is connected yet.
    ///
    /// Errors: [`Error::Unavailable`] says which file cannot be used.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, Error> {
        let tls = tls(options)?;
        let members = options
            .endpoints
            .iter()
            .map(|url| Member::new(url, tls.as_ref()))
            .collect::<Result<_, _>>()?;
        let account = options.user.clone().zip(options.password_file.clone());
        Ok(Self {
            members,
            current: AtomicUsize::new(0),
            account: account.map(|(user, password_file)| Account {
                user,
                password_file,
            }),
            token: tokio::sync::Mutex::new(None),
            timeout: options.timeout(),
        })
    }

    /// Makes a call to a member that answers, trying again as `repeat` allows.
    pub(super) async fn call<T, F>(
        &self,
        repeat: Repeat,
        send: impl Fn(Line) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.timeout * PATIENCE_TIMEOUTS;
        let mut tokens_refused = 0;
        loop {
            let place = self.rested(deadline).await;
            let fault = match self.call_at(place, &send).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            tokens_refused += u32::from(fault == Fault::Token);
            let is_repeatable = match &fault {
                Fault::Untaken(_) => true,
                Fault::Token => tokens_refused < TOKENS_REFUSED_MAX,
                Fault::Lost(_) => repeat == Repeat::Harmless,
                Fault::Compacted | Fault::Full | Fault::Refused(_) => false,
            };
            if !is_repeatable || Instant::now() >= deadline {
                return Err(fault);
            }
        }
    }

    /// The same, asking this member only, and once.
    pub(super) async fn call_at<T, F>(
        &self,
        place: usize,
        send: impl Fn(Line) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let line = self.line(place).await?;
        let token = line.token.clone();
        let fault = match timeout(self.timeout, send(line)).await {
            Ok(Ok(answer)) => {
                self.members[place].answered();
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => Fault::from(status),
            Err(_) => Fault::silence(self.timeout),
        };
        Err(self.note(place, token, fault).await)
    }

    /// A way to the member that is asked now, for a stream; what becomes of it goes to [`Endpoints::fared`].
    pub(super) async fn open_line(&self) -> Result<(usize, Line), Fault> {
        let place = self.rested(Instant::now() + self.timeout).await;
        Ok((place, self.line(place).await?))
    }

    /// Notes how a stream of [`Endpoints::open_line`] ended; nothing if it still goes on.
    pub(super) async fn fared(&self, place: usize, line: &Line, fault: Option<Fault>) {
        match fault {
            None => self.members[place].answered(),
            Some(fault) => drop(self.note(place, line.token.clone(), fault).await),
        }
    }

    /// Where the members are, in the order of the options.
    pub(super) fn urls(&self) -> impl Iterator<Item = (usize, &str)> {
        self.members
            .iter()
            .enumerate()
            .map(|(place, member)| (place, member.url.as_str()))
    }

    /// How long a member may take to answer.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The member to ask: the current one, else the next that does not rest, else the one that is rested first.
    async fn rested(&self, deadline: Instant) -> usize {
        let now = Instant::now();
        let current = self.current.load(Ordering::Relaxed);
        let count = self.members.len();
        let in_turn = (0..count).map(|step| (current + step) % count);
        let rest = |place: &usize| self.members[*place].rests_until(now);
        let place = in_turn
            .min_by_key(rest)
            .expect("options without an endpoint are refused");
        if let Some(rested) = rest(&place) {
            sleep_until(rested.min(deadline)).await;
        }
        self.current.store(place, Ordering::Relaxed);
        place
    }

    async fn note(&self, place: usize, token: Option<Token>, fault: Fault) -> Fault {
        if fault.is_of_the_member() {
            self.members[place].failed();
        }
        if fault == Fault::Token {
            let Some(account) = &self.account else {
                return Fault::Refused(
                    "it has authentication switched on: set `user` and `password_file`".to_owned(),
                );
            };
            tracing::debug!(user = account.user, "the token is renewed");
            let mut kept = self.token.lock().await;
            if *kept == token {
                *kept = None;
            }
        }
        let at = |cause| format!("{cause} (`{}`)", self.members[place].url);
        match fault {
            Fault::Untaken(cause) => Fault::Untaken(at(cause)),
            Fault::Lost(cause) => Fault::Lost(at(cause)),
            other => other,
        }
    }

    async fn line(&self, place: usize) -> Result<Line, Fault> {
        let channel = self.members[place].channel.clone();
        let token = match &self.account {
            None => None,
            Some(account) => Some(self.token(place, &channel, account).await?),
        };
        Ok(Line { channel, token })
    }

    /// The token that is kept, or a new one for the password.
    async fn token(
        &self,
        place: usize,
        channel: &Channel,
        account: &Account,
    ) -> Result<Token, Fault> {
        let deadline = Instant::now() + self.timeout;
        let silence = || Fault::Untaken(format!("no token for {:?}", self.timeout));
        let mut kept = timeout_at(deadline, self.token.lock())
            .await
            .map_err(|_| silence())?;
        if let Some(token) = &*kept {
            return Ok(token.clone());
        }
        let asked = timeout_at(deadline, account.ask(channel)).await;
        let fault = match asked {
            Ok(Ok(token)) => return Ok(kept.insert(token).clone()),
            Ok(Err(fault)) => fault,
            Err(_) => silence(),
        };
        if fault.is_of_the_member() {
            self.members[place].failed();
        }
        Err(fault)
    }
}

impl Account {
    async fn ask(&self, channel: &Channel) -> Result<Token, Fault> {
        let path = self.password_file.display();
        let password = tokio::fs::read_to_string(&self.password_file)
            .await
            .map_err(|cause| Fault::Refused(format!("`{path}` cannot be read: {cause}")))?;
        let request = AuthenticateRequest {
            name: self.user.clone(),
            password: password.trim_end_matches(['\r', '\n']).to_owned(),
        };
        let answer = AuthClient::new(channel.clone()).authenticate(request).await;
        match answer {
            Ok(answer) => {
                let token = answer.into_inner().token.parse();
                // Its own words may hold the token.
                token
                    .map(Token)
                    .map_err(|_| Fault::Refused("it gave a token that cannot be sent".to_owned()))
            }
            Err(status) => Err(match Fault::from(status) {
                // Nothing but a token was asked for.
                Fault::Lost(cause) | Fault::Untaken(cause) => Fault::Untaken(cause),
                Fault::Refused(cause) => Fault::Refused(format!(
                    "{cause}; look at the user `{}` and at `{path}`",
                    self.user
                )),
                other => other,
            }),
        }
    }
}

impl Member {
    fn new(url: &str, tls: Option<&ClientTlsConfig>) -> Result<Self, Error> {
        let unusable = |cause: &dyn std::fmt::Display| {
            Error::Unavailable(format!("`{url}` cannot be used: {cause}"))
        };
        let mut address = Address::from_shared(url.to_owned())
            .map_err(|cause| unusable(&cause))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            address = address
                .tls_config(tls.clone())
                .map_err(|cause| unusable(&cause))?;
        }
        Ok(Self {
            url: url.to_owned(),
            channel: address.connect_lazy(),
            health: Mutex::new(Health::default()),
        })
    }

    fn answered(&self) {
        *self.health() = Health::default();
    }

    fn failed(&self) {
        let mut health = self.health();
        let now = Instant::now();
        // Of many calls that fail together the first counts.
        if health.rests_until.is_some_and(|until| until > now) {
            return;
        }
        let rest = (REST_MIN * 2_u32.pow(health.failures.min(8))).min(REST_MAX);
        health.failures += 1;
        health.rests_until = Some(now + rest.mul_f64(0.5 + fastrand::f64() / 2.0));
    }

    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.health().rests_until.filter(|until| *until > now)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tls(options: &EtcdOptions) -> Result<Option<ClientTlsConfig>, Error> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|cause| {
            Error::Unavailable(format!("`{}` cannot be read: {cause}", path.display()))
        })
    };
    let Some(ca_file) = &options.ca_file else {
        return Ok(None);
    };
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca_file)?));
    if let (Some(certificate), Some(key)) = (&options.cert_file, &options.key_file) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(Some(tls))
}
