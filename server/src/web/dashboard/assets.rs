//! Files of the dashboard, part of the program. Each has the digest of its content in its name, so that browsers
//! may keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    name: String,
    media_type: &'static str,
    content: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("pinion", "css", CSS, include_str!("../static/pinion.css")));
pub(super) static LIVE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live", "js", SCRIPT, include_str!("../static/live.js")));
pub(super) static PICTURES: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "pictures",
        "js",
        SCRIPT,
        include_str!("../static/pictures.js"),
    )
});
pub(super) static UPLOT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("uplot", "js", SCRIPT, include_str!("../static/uplot.js")));
pub(super) static UPLOT_STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("uplot", "css", CSS, include_str!("../static/uplot.css")));
pub(super) static UPLOT_LICENCE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "uplot-licence",
        "txt",
        "text/plain; charset=utf-8",
        include_str!("../static/uplot.LICENSE"),
    )
});
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon",
        "svg",
        "image/svg+xml",
        include_str!("../static/icon.svg"),
    )
});

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, content: &'static str) -> Self {
        let digest = hex::encode(&Sha256::digest(content)[..8]);
        Self {
            name: format!("{stem}-{digest}.{extension}"),
            media_type,
            content,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("/static/{}", self.name)
    }
}

/// Answers a request for a file.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let all = [
        &*STYLE,
        &*LIVE,
        &*PICTURES,
        &*UPLOT,
        &*UPLOT_STYLE,
        &*UPLOT_LICENCE,
        &*ICON,
    ];
    match all.into_iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.media_type),
                (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.content).into_response()
        }
        None => {
            let text = "no such file; an older page may have asked for it: load the page again\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}
