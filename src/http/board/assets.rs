//! What pages need besides themselves: a style and an icon, which a browser fetches once.
//!
//! Pages name them with a hash of their content, so they can be kept for ever, and a new version of the
//! program is seen at once.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::super::query;
use super::super::reply::{Body, Response};
use super::super::service::{Service, Step};
use super::super::wire::Request;

struct Asset {
    content_type: &'static str,
    text: Bytes,
    /// A cut of the hash of the text.
    version: String,
    /// Where pages find it.
    path: String,
}

const CSS: &str = include_str!("board.css");
const SVG: &str = include_str!("icon.svg");

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("text/css; charset=utf-8", lean(CSS), "/b/board.css"));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", SVG.to_owned(), "/b/icon.svg"));

impl Asset {
    fn new(content_type: &'static str, text: String, path: &str) -> Self {
        let version = URL_SAFE_NO_PAD.encode(&Sha256::digest(&text)[..9]);
        let path = format!("{path}?v={version}");
        Self { content_type, text: text.into(), version, path }
    }

    fn answer(&self, request: &Request) -> Response {
        let tag = format!("\"{}\"", self.version);
        let known = request.headers("If-None-Match").any(|value| {
            let mut tags = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            tags.any(|it| it == b"*" || it.strip_prefix(b"W/").unwrap_or(it) == tag.as_bytes())
        });
        let body = Body::Bytes(self.text.clone());
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

/// A style without what is there for its readers: comments, indentation, line ends.
fn lean(css: &str) -> String {
    let mut out = String::with_capacity(css.len());
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    let lines = out.lines().map(str::trim).filter(|line| !line.is_empty());
    // A line that ends within a list of values goes on after a blank.
    lines.fold(String::new(), |mut lean, line| {
        if !lean.is_empty() && !lean.ends_with(['{', '}', ';', ',']) {
            lean.push(' ');
        }
        lean + line
    })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The named colours of both schemes, light first.
    fn schemes() -> [BTreeMap<&'static str, [f64; 3]>; 2] {
        let blocks: Vec<_> = CSS.split(":root {").skip(1).collect();
        let [light, dark] = blocks[..] else { panic!("two schemes") };
        [light, dark].map(|block| {
            let block = block.split('}').next().unwrap();
            let lines = block.split(';').filter_map(|line| line.trim().strip_prefix("--"));
            lines.map(|line| line.split_once(": #").unwrap()).map(|(n, v)| (n, rgb(v))).collect()
        })
    }

    fn rgb(hex: &str) -> [f64; 3] {
        let wide: String = match hex.len() {
            3 => hex.chars().flat_map(|digit| [digit, digit]).collect(),
            _ => hex.to_owned(),
        };
        [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0)
    }

    /// WCAG 2.2, relative luminance.
    fn luminance(colour: [f64; 3]) -> f64 {
        let [r, g, b] = colour.map(|part| match part {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_can_be_read_in_both_schemes() {
        assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
        for colours in schemes() {
            let expect = |text: &str, ground: &str, least: f64| {
                let found = contrast(colours[text], colours[ground]);
                assert!(found >= least, "{text} on {ground}: {found:.2} of {least}: {colours:?}");
            };
            for text in ["ink", "soft", "link", "rope", "bad"] {
                expect(text, "ground", 4.5);
                expect(text, "raised", 4.5);
            }
            expect("on-strong", "strong", 4.5);
            expect("ground", "bad", 4.5);
            expect("ink", "bad-ground", 4.5);
            expect("link", "bad-ground", 4.5);
            // What is no text, but tells where a field or the focus is.
            for edge in ["edge", "rope"] {
                expect(edge, "ground", 3.0);
                expect(edge, "raised", 3.0);
            }
        }
    }

    #[test]
    fn the_schemes_name_the_same_colours_and_all_that_are_used() {
        let [light, dark] = schemes();
        assert_eq!(light.keys().collect::<Vec<_>>(), dark.keys().collect::<Vec<_>>());
        for used in CSS.split("var(--").skip(1) {
            let name = used.split(')').next().unwrap();
            assert!(light.contains_key(name), "{name} has no value");
        }
    }

    #[test]
    fn the_style_is_lean_and_says_the_same() {
        assert_eq!(
            lean("/* a\n b */\na {\n  b: c\n    d;\n}\n\n/* x */ .e,\n.f { }"),
            "a {b: c d;}.e,.f { }"
        );
        let style = str::from_utf8(&STYLE.text).unwrap();
        assert!(style.len() < 8_000, "{} bytes", style.len());
        assert_eq!(style.matches('{').count(), style.matches('}').count());
        assert!(!style.contains("url(") && !style.contains("@import"), "all that it needs is here");
    }

    #[test]
    fn an_icon_is_one_picture_without_anything_that_runs() {
        assert!(SVG.len() < 2_000 && SVG.starts_with("<svg "));
        assert!(!SVG.contains("script") && !SVG.contains("href"));
    }
}
