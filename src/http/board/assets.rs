//! What pages need besides themselves: a style and an icon, which a browser fetches once.
//!
//! Pages name them with a hash of their content, so they can be kept for ever, and a new version of the
//! program is seen at once.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::super::query;
use super::super::reply::{Body, Response};
use super::super::service::{Service, Step};
use super::super::wire::Request;

struct Asset {
    content_type: &'static str,
    text: &'static str,
    /// A cut of the hash of the text.
    version: String,
    /// Where pages find it.
    path: String,
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("text/css; charset=utf-8", include_str!("board.css"), "/b/board.css")
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", include_str!("icon.svg"), "/b/icon.svg"));

impl Asset {
    fn new(content_type: &'static str, text: &'static str, path: &str) -> Self {
        let version = URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..9]);
        let path = format!("{path}?v={version}");
        Self { content_type, text, version, path }
    }

    fn answer(&self, request: &Request) -> Response {
        let tag = format!("\"{}\"", self.version);
        let known = request.headers("If-None-Match").any(|value| {
            let mut tags = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            tags.any(|it| it == b"*" || it.strip_prefix(b"W/").unwrap_or(it) == tag.as_bytes())
        });
        let body = Body::Static(self.text);
        let response = match known {
            true => Response::new(304),
            false => Response { content_type: self.content_type, body, ..Response::new(200) },
        };
        // Asked for by its content, it cannot change.
        let named = query::value(request.query(), "v").as_deref() == Some(&self.version);
        let keep =
            if named { "public, max-age=31536000, immutable" } else { "public, max-age=3600" };
        response
            .text_header("ETag", tag)
            .with("Cache-Control", keep)
            .with("X-Content-Type-Options", "nosniff")
    }
}

/// Where pages find their style.
pub(super) fn style_path() -> &'static str {
    &STYLE.path
}

/// Where pages find their icon.
pub(super) fn icon_path() -> &'static str {
    &ICON.path
}

/// `GET /b/board.css`.
pub(in crate::http) fn style(_: &Service, _: &str, request: &Request) -> Step {
    STYLE.answer(request).into()
}

/// `GET /b/icon.svg`, `GET /favicon.ico`.
pub(in crate::http) fn icon(_: &Service, _: &str, request: &Request) -> Step {
    ICON.answer(request).into()
}
