//! A real etcd for tests: one member or several, on loopback and free ports, ended with the test.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]
#![allow(missing_docs, clippy::unwrap_used, reason = "for tests only")]

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a member may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members of one etcd.
pub struct Cluster {
    dir: TempDir,
    members: Vec<Member>,
    tls: Option<TlsFiles>,
    extra: Vec<String>,
}

/// PEM files for members and clients.
#[derive(Clone)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

/// Whether etcd is here; where it is not, that is said, or fails where all parts are required.
pub fn has_etcd() -> bool {
    let version = Command::new("etcd").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let is_required = std::env::var_os("PINION_REQUIRE_PARTS").is_some();
    assert!(!is_required, "etcd is required (Debian: etcd-server)");
    eprintln!("skipped: etcd is needed (Debian: etcd-server)");
    false
}

impl Cluster {
    /// Starts `n` members and waits until all of them are ready.
    pub fn start(n: usize) -> Self {
        Self::start_with(n, &[], None)
    }

    /// The same, with more flags of etcd's, and TLS that asks clients for certificates.
    pub fn start_with(n: usize, extra: &[&str], tls: Option<TlsFiles>) -> Self {
        let ports = free_ports(2 * n);
        let members = ports.chunks(2).map(|ports| Member {
            client_port: ports[0],
            peer_port: ports[1],
            process: None,
        });
        let mut cluster = Self {
            dir: TempDir::new().unwrap(),
            members: members.collect(),
            tls,
            extra: extra.iter().map(ToString::to_string).collect(),
        };
        for member in 0..n {
            cluster.spawn(member);
        }
        for member in 0..n {
            cluster.until_ready(member);
        }
        cluster
    }

    /// Where clients reach the members.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|i| self.endpoint(i)).collect()
    }

    /// Where clients reach a member.
    pub fn endpoint(&self, i: usize) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.members[i].client_port)
    }

    /// Ends a member at once, as a power cut would end its process.
    pub fn kill(&mut self, i: usize) {
        if let Some(mut process) = self.members[i].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops a member from running, while its connections stay.
    pub fn pause(&self, i: usize) {
        self.signal(i, rustix::process::Signal::STOP);
    }

    /// Lets a paused member run on.
    pub fn resume(&self, i: usize) {
        self.signal(i, rustix::process::Signal::CONT);
    }

    /// Starts a member that was killed, on what it had written, and waits until it is ready.
    pub fn restart(&mut self, i: usize) {
        self.kill(i);
        self.spawn(i);
        self.until_ready(i);
    }

    /// Kills all members, starts them again and waits until they are ready.
    pub fn restart_all(&mut self) {
        for i in 0..self.members.len() {
            self.kill(i);
        }
        for i in 0..self.members.len() {
            self.spawn(i);
        }
        for i in 0..self.members.len() {
            self.until_ready(i);
        }
    }

    /// The member that leads.
    pub fn leader(&self) -> usize {
        let started = Instant::now();
        loop {
            for i in 0..self.members.len() {
                let status = self.etcdctl(&[
                    "--endpoints",
                    &self.endpoint(i),
                    "endpoint",
                    "status",
                    "-w",
                    "json",
                ]);
                let Ok(status) = serde_json::from_slice::<serde_json::Value>(&status.stdout) else {
                    continue;
                };
                let status = &status[0]["Status"];
                if status["leader"].is_number() && status["leader"] == status["header"]["member_id"]
                {
                    return i;
                }
            }
            assert!(started.elapsed() < PATIENCE, "nobody leads");
        }
    }

    /// Runs etcd's own client, with all endpoints unless the arguments name some.
    pub fn etcdctl(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3");
        if !args.contains(&"--endpoints") {
            command.args(["--endpoints", &self.endpoints().join(",")]);
        }
        if let Some(tls) = &self.tls {
            command.arg("--cacert").arg(&tls.ca);
            command.arg("--cert").arg(&tls.cert);
            command.arg("--key").arg(&tls.key);
        }
        command.args(args).output().unwrap()
    }

    /// The same, for what must succeed.
    pub fn etcdctl_ok(&self, args: &[&str]) -> String {
        let output = self.etcdctl(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn spawn(&mut self, i: usize) {
        let (client, member) = (self.endpoint(i), &self.members[i]);
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer_port);
        let all = self.members.iter().enumerate();
        let all: Vec<_> = all
            .map(|(i, member)| format!("m{i}={}", peer(member)))
            .collect();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(i))
            .unwrap();
        let mut command = Command::new("etcd");
        command
            .arg("--name")
            .arg(format!("m{i}"))
            .arg("--data-dir")
            .arg(self.dir.path().join(format!("m{i}")))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args(["--listen-peer-urls", &peer(member)])
            .args(["--initial-advertise-peer-urls", &peer(member)])
            .args([
                "--initial-cluster",
                &all.join(","),
                "--initial-cluster-token",
                "test",
            ])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(tls) = &self.tls {
            command.arg("--cert-file").arg(&tls.cert);
            command.arg("--key-file").arg(&tls.key);
            command.arg("--trusted-ca-file").arg(&tls.ca);
            command.arg("--client-cert-auth");
        }
        self.members[i].process = Some(command.spawn().unwrap());
    }

    fn until_ready(&mut self, i: usize) {
        let started = Instant::now();
        let endpoint = self.endpoint(i);
        let address = endpoint.split_once("//").unwrap().1.to_owned();
        // A member listens once it has found the others.
        while std::net::TcpStream::connect(&address).is_err() {
            let process = self.members[i].process.as_mut().unwrap();
            let is_running = process.try_wait().unwrap().is_none();
            assert!(
                is_running && started.elapsed() < PATIENCE,
                "etcd did not start: {}",
                std::fs::read_to_string(self.log(i)).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self, i: usize) -> PathBuf {
        self.dir.path().join(format!("m{i}.log"))
    }

    fn signal(&self, i: usize, signal: rustix::process::Signal) {
        let process = self.members[i].process.as_ref().unwrap();
        let pid = rustix::process::Pid::from_child(process);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}

impl TlsFiles {
    /// A new authority, and a certificate of it for loopback that members and clients show.
    pub fn make(dir: &Path) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let cert = leaf.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: write("ca.pem", ca_cert.pem()),
            cert: write("cert.pem", cert.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}

/// Ports that were free a moment ago, all different.
///
/// Below those that the system gives to connections: one that is tried while a member is down could otherwise get
/// the member's own port and keep it.
fn free_ports(count: usize) -> Vec<u16> {
    let mut listeners = Vec::new();
    while listeners.len() < count {
        let port = fastrand::u16(10_000..32_000);
        listeners.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    let ports = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port());
    ports.collect()
}
