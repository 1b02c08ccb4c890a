//! Whether a request comes from a page of ours: what every form asks before anything else.
//!
//! Beside the token of the session that each form carries, which another site cannot know.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::config::PublicUrl;

/// Whether a browser says that another site sent this.
pub(super) fn is_foreign(uri: &Uri, headers: &HeaderMap, public_url: Option<&PublicUrl>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // Said by every browser of the last years, and by no page.
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return true;
    }
    let Some(origin) = text(ORIGIN.as_str()) else {
        return false;
    };
    let host = uri
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| text(HOST.as_str()));
    let asked = origin.split_once("://").map(|(_, host)| host);
    let is_here = asked.is_some() && asked == host;
    let is_public = public_url.is_some_and(|url| url.origin() == origin);
    !(is_here || is_public)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )
        });
        let url = PublicUrl::try_from("https://pinion.example.org".to_owned()).expect("a URL");
        is_foreign(
            &Uri::from_static("/sign-in"),
            &headers.collect(),
            Some(&url),
        )
    }

    #[test]
    fn our_own_pages_are_not_foreign() {
        let host = ("host", "127.0.0.1:7460");
        assert!(!foreign(&[host]));
        assert!(!foreign(&[host, ("origin", "http://127.0.0.1:7460")]));
        assert!(!foreign(&[host, ("origin", "https://pinion.example.org")]));
        assert!(!foreign(&[host, ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn other_sites_are_foreign_and_so_is_who_hides() {
        let host = ("host", "127.0.0.1:7460");
        assert!(foreign(&[host, ("origin", "http://127.0.0.1:9999")]));
        assert!(foreign(&[host, ("origin", "null")]));
        assert!(foreign(&[
            host,
            ("origin", "https://pinion.example.org.evil.example")
        ]));
        for site in ["cross-site", "same-site", "none"] {
            let origin = ("origin", "http://127.0.0.1:7460");
            assert!(foreign(&[host, origin, ("sec-fetch-site", site)]), "{site}");
        }
    }
}
