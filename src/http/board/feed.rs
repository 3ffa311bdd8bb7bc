//! Lists for feed readers: RSS 2.0, written by hand, since all it takes is to escape five characters and
//! to drop those that XML knows no way to write.
//!
//! What readers do with a description is read it as HTML; so text goes in escaped twice, once as HTML and
//! once as XML, and whatever a user typed stays text.

use std::fmt::Write as _;

use super::super::reply::{Body, Response};
use super::views::time;

/// The type of a feed.
pub(super) const RSS: &str = "application/rss+xml; charset=utf-8";

/// A list as feed readers take it. All texts are plain, and all URLs absolute.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// What it is called.
    pub(super) title: String,
    /// What it is about.
    pub(super) description: String,
    /// The same list as a page.
    pub(super) page: String,
    /// The feed itself.
    pub(super) own: String,
    /// The items, in the list's order.
    pub(super) items: Vec<Item>,
}

/// One thing in a feed.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// What it is called.
    pub(super) title: String,
    /// Where its title leads.
    pub(super) link: String,
    /// What is never another item's; a URL when `is_url`.
    pub(super) id: String,
    /// Whether the id is a page that can be opened.
    pub(super) id_is_url: bool,
    /// When it came about: wall clock in ms since 1970.
    pub(super) wall_ms: u64,
    /// Where it is talked about, if anywhere.
    pub(super) comments: Option<String>,
    /// More about it.
    pub(super) description: String,
}

impl Feed {
    /// The answer that carries it.
    pub(super) fn response(&self) -> Response {
        let body = Body::Bytes(self.xml().into());
        Response { content_type: RSS, body, ..Response::new(200) }
            .with("Cache-Control", "no-cache")
            .with("X-Content-Type-Options", "nosniff")
    }

    fn xml(&self) -> String {
        let mut out = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <rss version=\"2.0\" xmlns:atom=\"http://www.w3.org/2005/Atom\">\n<channel>\n",
        );
        element(&mut out, "title", &self.title);
        element(&mut out, "link", &self.page);
        element(&mut out, "description", &self.description);
        let own = escaped(&self.own);
        let _ =
            writeln!(out, "<atom:link rel=\"self\" type=\"application/rss+xml\" href=\"{own}\"/>");
        for item in &self.items {
            item.write(&mut out);
        }
        out.push_str("</channel>\n</rss>\n");
        out
    }
}

impl Item {
    fn write(&self, out: &mut String) {
        out.push_str("<item>\n");
        element(out, "title", &self.title);
        element(out, "link", &self.link);
        let _ =
            writeln!(out, "<guid isPermaLink=\"{}\">{}</guid>", self.id_is_url, escaped(&self.id));
        element(out, "pubDate", &time::http_date(self.wall_ms));
        if let Some(comments) = &self.comments {
            element(out, "comments", comments);
        }
        element(out, "description", &escaped(&self.description));
        out.push_str("</item>\n");
    }
}

fn element(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "<{name}>{}</{name}>", escaped(text));
}

/// A text as it stands in XML, within an element or an attribute; also good as HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().filter(|it| is_writable(*it)) {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Whether XML 1.0 has a way to write it (section 2.2, production 2).
fn is_writable(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(title: &str) -> Item {
        Item {
            title: title.to_owned(),
            link: "https://b.example/abcdefgh".to_owned(),
            id: "https://b.example/b/p/abcdefgh".to_owned(),
            id_is_url: true,
            wall_ms: 784_111_777_000,
            comments: Some("https://b.example/b/p/abcdefgh?a=1&b='2'".to_owned()),
            description: "by <ann> & \"bob\"".to_owned(),
        }
    }

    #[test]
    fn a_feed_is_written_like_this() {
        let feed = Feed {
            title: "Hot & new".to_owned(),
            description: "All".to_owned(),
            page: "https://b.example/b".to_owned(),
            own: "https://b.example/b/hot.rss".to_owned(),
            items: vec![item("</title><script>alert(1)</script>\u{0}\u{b}\u{ffff}")],
        };
        let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<rss version=\"2.0\" xmlns:atom=\"http://www.w3.org/2005/Atom\">
<channel>
<title>Hot &amp; new</title>
<link>https://b.example/b</link>
<description>All</description>
<atom:link rel=\"self\" type=\"application/rss+xml\" href=\"https://b.example/b/hot.rss\"/>
<item>
<title>&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>
<link>https://b.example/abcdefgh</link>
<guid isPermaLink=\"true\">https://b.example/b/p/abcdefgh</guid>
<pubDate>Sun, 06 Nov 1994 08:49:37 GMT</pubDate>
<comments>https://b.example/b/p/abcdefgh?a=1&amp;b=&#39;2&#39;</comments>
<description>by &amp;lt;ann&amp;gt; &amp;amp; &amp;quot;bob&amp;quot;</description>
</item>
</channel>
</rss>
";
        assert_eq!(feed.xml(), expected);
        assert_eq!(feed.response().content_type, RSS);
    }

    #[test]
    fn no_text_gets_out_of_its_place() {
        let nasty = "]]>\"'<!--&amp;\u{1f}\u{202e}\u{1f40d}\u{fffe}\u{85}\n";
        let text = escaped(nasty);
        assert_eq!(text, "]]&gt;&quot;&#39;&lt;!--&amp;amp;\u{202e}\u{1f40d}\u{85}\n");
    }
}
