//! Several servers behind one connection: which is asked first, and what is asked of the next when one fails.
//!
//! Whether a request may be made twice is decided by its method alone, see [`methods`]. What a server answers is not
//! looked at, but for whether it is there at all.

mod methods;
mod unanswered;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tower::{Service, ServiceExt as _};

use methods::may_be_made_twice;
use unanswered::Cause;
pub use unanswered::Unanswered;

/// The longest that one of several servers is waited for where another can be asked instead.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// How long a server that failed is asked after the others.
const DISTRUST: Duration = Duration::from_secs(10);
/// The longest request that is kept to be made again; servers take 3 MiB.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A server, and the channel to it once it was asked something.
pub(super) struct Server {
    url: String,
    endpoint: Endpoint,
    tls: Option<ClientTlsConfig>,
    channel: OnceLock<Channel>,
}

impl Server {
    pub(super) fn new(url: String, endpoint: Endpoint, tls: Option<ClientTlsConfig>) -> Self {
        Self {
            url,
            endpoint,
            tls,
            channel: OnceLock::new(),
        }
    }

    /// The channel, which connects when it is used.
    ///
    /// Made late, since reading the system's authorities takes milliseconds for each.
    fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        if let Some(channel) = self.channel.get() {
            return Ok(channel.clone());
        }
        let endpoint = self.endpoint.clone();
        let endpoint = match &self.tls {
            Some(tls) => endpoint.tls_config(tls.clone())?,
            None => endpoint,
        };
        Ok(self.channel.get_or_init(|| endpoint.connect_lazy()).clone())
    }
}

/// How long the servers are waited for, until an answer begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    /// All of them together.
    whole: Duration,
    /// One of them, where another can be asked instead.
    attempt: Duration,
}

impl Waits {
    /// An equal part of the deadline for each of `count` servers, at most 5 s; the last one has what is left.
    pub(super) fn shared(whole: Duration, count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let attempt = (whole / count).min(ATTEMPT_MAX);
        Self { whole, attempt }
    }

    /// How long one of them is waited for, where another can be asked instead.
    pub(super) const fn attempt(self) -> Duration {
        self.attempt
    }

    /// The whole deadline for each: an answer that takes long is no sign of a server that is away.
    pub(super) const fn patient(whole: Duration) -> Self {
        Self {
            whole,
            attempt: whole,
        }
    }
}

/// One server or several that stand for the same store; cheap to clone.
///
/// One is asked as it is. Of several, the one that answered last is asked first, to begin with one at random; and when
/// it fails, the next, as long as it is certain that nothing is done twice that should not be.
#[derive(Clone)]
pub struct Servers {
    shared: Arc<Shared>,
    waits: Waits,
}

struct Shared {
    servers: Vec<Server>,
    standing: Mutex<Standing>,
}

/// What is known of the servers.
struct Standing {
    /// Which answered last.
    first: usize,
    /// When each failed last, if it did since it answered.
    failed: Vec<Option<Instant>>,
}

impl Servers {
    /// At least one server.
    pub(super) fn new(mut servers: Vec<Server>, waits: Waits) -> Self {
        // Shuffled, so that the callers of a server that fails spread over all the others.
        fastrand::shuffle(&mut servers);
        let standing = Standing {
            first: 0,
            failed: vec![None; servers.len()],
        };
        Self {
            shared: Arc::new(Shared {
                servers,
                standing: Mutex::new(standing),
            }),
            waits,
        }
    }

    /// Makes the channel to the first server that is spoken to by TLS; all of them trust the same authorities.
    pub(super) fn check_authorities(&self) -> Result<(), tonic::transport::Error> {
        let mut servers = self.shared.servers.iter();
        let secure = servers.find(|server| server.tls.is_some());
        secure.map_or(Ok(()), |server| server.channel().map(drop))
    }

    /// The same servers, waited for otherwise.
    pub(super) fn waiting(&self, waits: Waits) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            waits,
        }
    }

    /// The URL of the server that answered last, or will be asked first.
    pub(super) fn first(&self) -> &str {
        let first = self.shared.standing().first;
        &self.shared.servers[first].url
    }

    async fn ask(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let until = Instant::now() + self.waits.whole;
        let may_be_made_twice = may_be_made_twice(request.uri().path());
        if let [server] = &self.shared.servers[..] {
            let asked = ask_once(server, request, self.waits.whole).await;
            return asked.map_err(|cause| Unanswered::by_one(cause, may_be_made_twice).into());
        }
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
        let body = body.map_err(|cause| Status::out_of_range(cause.to_string()))?;
        let copies = Copies {
            parts,
            body: Full::new(body.to_bytes()),
            may_be_made_twice,
        };
        let asked = self.ask_one_after_the_other(&copies, until).await;
        asked.map_err(Status::from)
    }

    async fn ask_one_after_the_other(
        &self,
        copies: &Copies,
        until: Instant,
    ) -> Result<Response<Body>, Unanswered> {
        let shared = &self.shared;
        let order = shared.order();
        let mut tried = Vec::new();
        for (position, &index) in order.iter().enumerate() {
            let is_last = position + 1 == order.len();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !tried.is_empty() {
                break;
            }
            let wait = match copies.may_be_made_twice && !is_last {
                true => self.waits.attempt.min(left),
                false => left,
            };
            let server = &shared.servers[index];
            match ask_once(server, copies.one(), wait).await {
                Ok(response) => {
                    shared.note_answered(index);
                    return Ok(watched(shared, index, response));
                }
                Err(cause) => {
                    shared.note_failed(index);
                    let goes_on = copies.may_be_made_twice || !cause.has_arrived();
                    tried.push((server.url.clone(), cause));
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        Err(Unanswered::by_several(tried, copies.may_be_made_twice))
    }
}

impl Shared {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Every change of it is whole.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self) -> Vec<usize> {
        self.standing().order(Instant::now())
    }

    fn note_answered(&self, index: usize) {
        let mut standing = self.standing();
        standing.first = index;
        standing.failed[index] = None;
    }

    fn note_failed(&self, index: usize) {
        self.standing().failed[index] = Some(Instant::now());
    }
}

impl Standing {
    /// In which order the servers are asked: from the one that answered last on; those that failed within the last
    /// seconds after all others, the one whose failure is the longest ago first.
    fn order(&self, now: Instant) -> Vec<usize> {
        let count = self.failed.len();
        let mut order: Vec<usize> = (0..count).map(|n| (self.first + n) % count).collect();
        let distrusted = |at: &Instant| now.saturating_duration_since(*at) < DISTRUST;
        // None is before every time.
        order.sort_by_key(|index| self.failed[*index].filter(distrusted));
        order
    }
}

impl Service<Request<Body>> for Servers {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Which server it takes is not known before the request is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

/// A request that can be made as often as it takes.
struct Copies {
    parts: Parts,
    body: Full<Bytes>,
    may_be_made_twice: bool,
}

impl Copies {
    fn one(&self) -> Request<Body> {
        Request::from_parts(self.parts.clone(), Body::new(self.body.clone()))
    }
}

/// Waits until an answer begins.
async fn ask_once(
    server: &Server,
    request: Request<Body>,
    wait: Duration,
) -> Result<Response<Body>, Cause> {
    let asked = async {
        let mut channel = server.channel().map_err(Cause::NotReached)?;
        let channel = channel.ready().await.map_err(Cause::NotReached)?;
        let response = channel.call(request).await.map_err(Cause::of)?;
        Cause::said_by(&response).map_or(Ok(response), Err)
    };
    match tokio::time::timeout(wait, asked).await {
        Ok(Err(Cause::Late(_))) | Err(_) => Err(Cause::Late(wait)),
        Ok(answer) => answer,
    }
}

/// An answer that, where it breaks off, is held against its server: a stream that is opened again goes to another.
fn watched(shared: &Arc<Shared>, index: usize, response: Response<Body>) -> Response<Body> {
    let shared = Arc::clone(shared);
    response.map(|body| {
        Body::new(body.map_err(move |status| {
            shared.note_failed(index);
            status
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(first: usize, failed: &[Option<Instant>]) -> Standing {
        let failed = failed.to_vec();
        Standing { first, failed }
    }

    #[test]
    fn who_answered_last_is_asked_first_and_who_failed_lately_last() {
        let now = Instant::now() + 2 * DISTRUST;
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        let order = |first, failed: &[_]| standing(first, failed).order(now);
        assert_eq!(order(1, &[None, None, None]), [1, 2, 0]);
        assert_eq!(order(1, &[None, ago(1), None]), [2, 0, 1]);
        assert_eq!(order(0, &[ago(1), ago(3), ago(2)]), [1, 2, 0]);
        assert_eq!(order(0, &[ago(11), None, ago(2)]), [0, 1, 2], "forgiven");
    }

    #[test]
    fn each_server_has_its_part_of_the_deadline_and_at_most_five_seconds() {
        let attempt = |seconds, count| {
            let waits = Waits::shared(Duration::from_secs(seconds), count);
            waits.attempt.as_secs_f64()
        };
        assert!((attempt(20, 3) - 5.0).abs() < 1e-6);
        assert!((attempt(3, 3) - 1.0).abs() < 1e-6);
        assert!((attempt(2, 1) - 2.0).abs() < 1e-6);
    }

    #[test]
    fn those_who_come_together_begin_with_different_servers() {
        let urls = ["http://a", "http://b", "http://c"];
        let mut begun = [0_u32; 3];
        for _ in 0..900 {
            let servers = urls.map(|url| {
                let endpoint = Endpoint::from_static(url);
                Server::new(url.to_owned(), endpoint, None)
            });
            let waits = Waits::patient(Duration::from_secs(1));
            let servers = Servers::new(servers.into(), waits);
            let index = urls.iter().position(|url| *url == servers.first());
            begun[index.expect("one of them")] += 1;
        }
        // Six standard deviations of a fair draw.
        assert!(
            begun.iter().all(|count| (215..=385).contains(count)),
            "{begun:?}"
        );
    }
}
