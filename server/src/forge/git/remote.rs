//! Where the repository is, and what proves that we may write there.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

const FORMS: &str = "use https://, ssh://, user@host:path, file:// or an absolute path";
const USER_DEFAULT: &str = "git";

/// A remote repository.
#[derive(Debug)]
pub(super) struct Remote {
    /// Its address, without a password.
    pub(super) url: String,
    /// The one protocol that git may speak.
    pub(super) protocol: &'static str,
    login: Login,
}

/// How to log in. Shows no secret.
enum Login {
    /// With what the transport has: file permissions, ssh keys; or not at all.
    Own,
    Password {
        user: String,
        password: String,
    },
    File {
        user: String,
        path: PathBuf,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("Own"),
            Self::Password { user, .. } => f
                .debug_struct("Password")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::File { user, path } => f
                .debug_struct("File")
                .field("user", user)
                .field("path", path)
                .finish(),
        }
    }
}

impl Remote {
    /// Understands a configured address; the error says what is wrong without repeating it.
    pub(super) fn parse(text: &str, password_file: Option<&Path>) -> Result<Self, String> {
        if text.contains(|c: char| c.is_control()) {
            return Err(format!("`url` contains control characters; {FORMS}"));
        }
        let remote = match text.contains("://") {
            true => Self::parse_url(text, password_file)?,
            false => Self::parse_path(text)?,
        };
        match (password_file, &remote.login) {
            (Some(_), Login::Own) => Err("`password_file` is for https only".to_owned()),
            _ => Ok(remote),
        }
    }

    fn parse_url(text: &str, password_file: Option<&Path>) -> Result<Self, String> {
        let mut url = Url::parse(text).map_err(|error| format!("`url` cannot be read: {error}"))?;
        let protocol = match url.scheme() {
            "file" => "file",
            "ssh" => "ssh",
            "https" => "https",
            "http" if is_loopback(&url) => "http",
            "http" => {
                return Err("`url` is plain http, which is for loopback only; use https".to_owned());
            }
            other => return Err(format!("`url` has the scheme `{other}`; {FORMS}")),
        };
        if url.host_str().is_some_and(|host| host.starts_with('-')) {
            return Err("`url` has a host that begins with `-`".to_owned());
        }
        let login = match protocol {
            "http" | "https" => take_login(&mut url, password_file)?,
            _ if url.password().is_some() => {
                return Err("`url` has a password, which only https takes; use keys".to_owned());
            }
            _ => Login::Own,
        };
        Ok(Self {
            url: url.into(),
            protocol,
            login,
        })
    }

    fn parse_path(text: &str) -> Result<Self, String> {
        let protocol = match text.split_once(':') {
            _ if Path::new(text).is_absolute() => "file",
            Some((host, path)) if is_scp_like(host, path) => "ssh",
            _ => return Err(format!("`url` is no address of a repository; {FORMS}")),
        };
        Ok(Self {
            url: text.to_owned(),
            protocol,
            login: Login::Own,
        })
    }

    /// The value of the header that logs in, read anew where it stands in a file.
    pub(super) async fn authorization(&self) -> Result<Option<String>, String> {
        let (user, password) = match &self.login {
            Login::Own => return Ok(None),
            Login::Password { user, password } => (user, password.clone()),
            Login::File { user, path } => {
                let text = tokio::fs::read_to_string(path).await.map_err(|error| {
                    format!(
                        "`password_file` `{}` cannot be read: {error}",
                        path.display()
                    )
                })?;
                (user, text.trim().to_owned())
            }
        };
        Ok(Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        )))
    }

    /// The text without this remote's password and without the userinfo of any URL in it.
    pub(super) fn redact(&self, text: &str) -> String {
        match &self.login {
            Login::Password { password, .. } if !password.is_empty() => {
                without_userinfo(&text.replace(password.as_str(), "***"))
            }
            _ => without_userinfo(text),
        }
    }
}

/// The text with `***` for what stands between `://` and `@`.
pub(in crate::forge) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part
            .split(|c: char| c == '/' || c.is_whitespace())
            .next()
            .unwrap_or_default();
        shown.push_str("://");
        match authority.rfind('@') {
            Some(at) => {
                shown.push_str("***");
                shown.push_str(&part[at..]);
            }
            None => shown.push_str(part),
        }
    }
    shown
}

fn take_login(url: &mut Url, password_file: Option<&Path>) -> Result<Login, String> {
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(String::from)
            .map_err(|_| "`url` has a user or password that is no UTF-8".to_owned())
    };
    let user = match url.username() {
        "" => USER_DEFAULT.to_owned(),
        user => decoded(user)?,
    };
    let login = match (url.password(), password_file) {
        (Some(_), Some(_)) => {
            return Err("both `url` and `password_file` give a password; give one".to_owned());
        }
        (Some(password), None) => Login::Password {
            user,
            password: decoded(password)?,
        },
        (None, Some(path)) => Login::File {
            user,
            path: path.to_owned(),
        },
        // A token may stand alone before the `@`.
        (None, None) if !url.username().is_empty() => Login::Password {
            user: USER_DEFAULT.to_owned(),
            password: user,
        },
        (None, None) => Login::Own,
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared
        .map_err(|()| "`url` has no host".to_owned())
        .map(|()| login)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `user@host:path`, as ssh's copy program writes it; `name::address` is a helper program of git.
fn is_scp_like(host: &str, path: &str) -> bool {
    let is_host = !host.is_empty() && !host.starts_with('-') && !host.contains(['/', '\\', ' ']);
    let is_machine = host
        .rsplit('@')
        .next()
        .is_some_and(|name| !name.is_empty() && !name.starts_with('-'));
    is_host && is_machine && !path.is_empty() && !path.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_their_one_protocol_and_without_their_password() {
        for (text, url, protocol) in [
            (
                "https://eve:p%40ss@x.example/a/b",
                "https://x.example/a/b",
                "https",
            ),
            ("https://token@x.example/a", "https://x.example/a", "https"),
            ("http://127.0.0.1:80/a", "http://127.0.0.1/a", "http"),
            ("http://[::1]:8080/a", "http://[::1]:8080/a", "http"),
            (
                "ssh://git@x.example:2222/a",
                "ssh://git@x.example:2222/a",
                "ssh",
            ),
            ("git@x.example:a/b.git", "git@x.example:a/b.git", "ssh"),
            ("file:///srv/a.git", "file:///srv/a.git", "file"),
            ("/srv/a b.git", "/srv/a b.git", "file"),
        ] {
            let remote = Remote::parse(text, None).expect(text);
            assert_eq!(
                (remote.url.as_str(), remote.protocol),
                (url, protocol),
                "{text}"
            );
        }
    }

    #[test]
    fn other_addresses_are_refused_without_being_repeated() {
        for text in [
            "",
            "pins.git",
            "../pins.git",
            "ext::sh -c s3cret",
            "git://x.example/s3cret",
            "http://eve:s3cret@x.example/a",
            "ssh://eve:s3cret@x.example/a",
            "ssh://-oProxyCommand=s3cret/a",
            "-oProxyCommand=s3cret:a",
            "git@-oProxyCommand=s3cret:a",
            "https://eve:s3cret@/",
            "/srv/s3cret\n",
        ] {
            let problem = Remote::parse(text, None).expect_err(text);
            assert!(!problem.contains("s3cret"), "{problem}");
        }
        assert!(Remote::parse("/srv/a.git", Some(Path::new("/p"))).is_err());
        assert!(Remote::parse("https://a:b@x.example/", Some(Path::new("/p"))).is_err());
    }

    #[tokio::test]
    async fn the_header_decodes_the_url_and_follows_the_file() {
        let remote = Remote::parse("https://eve:p%40ss@x.example/a", None).expect("a remote");
        assert_eq!(
            remote.authorization().await,
            Ok(Some("Basic ZXZlOnBAc3M=".to_owned()))
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        let remote = Remote::parse("https://eve@x.example/a", Some(&file)).expect("a remote");
        assert!(remote.authorization().await.is_err());
        for (password, header) in [
            ("p@ss\n", "Basic ZXZlOnBAc3M="),
            ("new", "Basic ZXZlOm5ldw=="),
        ] {
            std::fs::write(&file, password).expect("a file");
            assert_eq!(remote.authorization().await, Ok(Some(header.to_owned())));
        }
    }

    #[test]
    fn no_password_is_shown() {
        let remote = Remote::parse("https://eve:s3cret@x.example/a", None).expect("a remote");
        assert!(!format!("{remote:?}").contains("s3cret"));
        assert_eq!(
            remote.redact("cannot use https://eve:s3cret@x.example/a or s3cret, see https://a/b@c"),
            "cannot use https://***@x.example/a or ***, see https://a/b@c"
        );
        assert_eq!(without_userinfo("ssh://a@b@c/d e@f"), "ssh://***@c/d e@f");
    }
}
