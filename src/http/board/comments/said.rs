//! What was said, as it is shown: paragraphs, lines, and links where somebody typed a URL.

use maud::{Markup, html};

use crate::state::check_url;

/// A comment's text.
pub(super) fn said(text: &str) -> Markup {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|it| !it.is_empty());
    html! {
        div.said {
            @for paragraph in paragraphs {
                p { bdi {
                    @for (at, line) in paragraph.lines().enumerate() {
                        @if at > 0 { br; }
                        @for part in parts(line) {
                            @match part {
                                Part::Text(text) => (text),
                                Part::Url(url) => a href=(url) rel="nofollow ugc" { (url) },
                            }
                        }
                    }
                } }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Url(&'a str),
}

/// A line as text and URLs by turns. A URL begins where a word does, or behind an opening bracket.
fn parts(line: &str) -> Vec<Part<'_>> {
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = line[at..].find("http") {
        let start = at + found;
        let before = line[..start].chars().next_back();
        let begins = before.is_none_or(|it| it.is_whitespace() || "([<\"'".contains(it));
        match url(&line[start..]).filter(|_| begins) {
            Some(url) => {
                parts.push(Part::Text(&line[from..start]));
                parts.push(Part::Url(url));
                at = start + url.len();
                from = at;
            }
            None => at = start + "http".len(),
        }
    }
    parts.push(Part::Text(&line[from..]));
    parts.retain(|part| *part != Part::Text(""));
    parts
}

/// The URL that a text begins with, without what ends the sentence around it.
fn url(text: &str) -> Option<&str> {
    if !(text.starts_with("http://") || text.starts_with("https://")) {
        return None;
    }
    let ends = |it: char| it.is_whitespace() || it.is_control() || "<>\"".contains(it);
    let mut url = text.split(ends).next().unwrap_or_default();
    while let Some(last) = url.chars().next_back() {
        let closes_nothing = match last {
            ')' => !url.contains('('),
            ']' => !url.contains('['),
            _ => ".,;:!?'".contains(last),
        };
        if !closes_nothing {
            break;
        }
        url = &url[..url.len() - last.len_utf8()];
    }
    check_url(url.as_bytes()).is_ok().then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_lines_are_kept_and_tags_are_text() {
        let html = said("a\nb\n\n\n<script>&\n\n \n\u{202e}c").into_string();
        assert_eq!(
            html,
            "<div class=\"said\"><p><bdi>a<br>b</bdi></p><p><bdi>&lt;script&gt;&amp;</bdi></p>\
             <p><bdi>\u{202e}c</bdi></p></div>"
        );
    }

    #[test]
    fn urls_are_links_without_what_stands_around_them() {
        for (line, urls) in [
            ("see https://a.example/x.", &["https://a.example/x"][..]),
            (
                "(http://a.example/b), https://c.example/?q=1!",
                &["http://a.example/b", "https://c.example/?q=1"],
            ),
            ("https://a.example/Knot_(bowline)", &["https://a.example/Knot_(bowline)"]),
            ("<https://a.example/>", &["https://a.example/"]),
            ("xhttps://a.example/ https http:// https://", &[]),
            ("javascript:alert(1) data:text/html,x ftp://a.example", &[]),
            ("\u{20ac} https://a.example/\u{20ac} \u{20ac}", &["https://a.example/\u{20ac}"]),
        ] {
            let parts = parts(line);
            let found: Vec<_> = parts
                .iter()
                .filter_map(|it| if let Part::Url(url) = it { Some(*url) } else { None })
                .collect();
            assert_eq!(found, urls, "{line}");
            let all: String = parts
                .iter()
                .map(|it| match it {
                    Part::Text(text) | Part::Url(text) => *text,
                })
                .collect();
            assert_eq!(all, line, "nothing is lost");
        }
    }

    #[test]
    fn a_url_cannot_get_out_of_its_place() {
        let html = said("https://a.example/?'onclick='x&<b> \"https://b.example/\"").into_string();
        assert_eq!(
            html,
            "<div class=\"said\"><p><bdi>\
             <a href=\"https://a.example/?'onclick='x&amp;\" rel=\"nofollow ugc\">\
             https://a.example/?'onclick='x&amp;</a>&lt;b&gt; &quot;\
             <a href=\"https://b.example/\" rel=\"nofollow ugc\">https://b.example/</a>&quot;\
             </bdi></p></div>"
        );
    }
}
