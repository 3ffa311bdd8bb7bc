//! The lists there are: what they are called, where they are, and what is in them.

use super::super::site;
use crate::node::{StoreError, View};
use crate::state::board::{self, List, Span, User};

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http::board) enum Which {
    /// The front page.
    Hot,
    /// The newest.
    Newest,
    /// The best of a time.
    Top(Span),
    /// A user's, by name in whatever case.
    Of(String),
    /// A host's.
    Host(String),
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::board) enum Format {
    /// For people.
    Page,
    /// For feed readers.
    Rss,
    /// For programs.
    Json,
}

impl Format {
    /// What the end of a path asks for, and the path without it.
    pub(in crate::http::board) fn of(part: &str) -> (&str, Self) {
        [Self::Rss, Self::Json]
            .into_iter()
            .find_map(|format| Some((part.strip_suffix(format.ending())?, format)))
            .unwrap_or((part, Self::Page))
    }

    /// What a path ends in that asks for it.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Page => "",
            Self::Rss => ".rss",
            Self::Json => ".json",
        }
    }
}

/// A list that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) list: List,
    /// What it is called.
    pub(super) title: String,
    /// Where it is, for people.
    pub(super) page: String,
    /// Where it is for programs, without the ending.
    pub(super) feed: String,
    /// Whose posts they are.
    pub(super) user: Option<User>,
}

/// The spans of time, and their names in paths and in sentences.
pub(super) const SPANS: [(Span, &str); 3] =
    [(Span::Day, "day"), (Span::Week, "week"), (Span::Year, "year")];

/// The span of this name.
pub(super) fn span(name: &str) -> Option<Span> {
    SPANS.iter().find(|(_, it)| *it == name).map(|(span, _)| *span)
}

impl Which {
    /// The list, if there is such a one.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(super) fn find(&self, view: &View) -> Result<Option<Found>, StoreError> {
        let found = |list, title: String, page: String| Found {
            list,
            title,
            feed: page.clone(),
            page,
            user: None,
        };
        Ok(Some(match self {
            Self::Hot => {
                let hot = found(List::Hot, "Hot".into(), "/b".into());
                Found { feed: "/b/hot".into(), ..hot }
            }
            Self::Newest => found(List::Newest, "Newest".into(), "/b/newest".into()),
            Self::Top(span) => {
                let named = SPANS.iter().find(|(it, _)| it == span);
                let (_, name) = named.expect("each span has a name");
                found(List::Top(*span), format!("Top of the {name}"), format!("/b/top/{name}"))
            }
            Self::Of(name) => {
                let Some(user) = board::user_named(view, name)? else { return Ok(None) };
                let (title, page) = (format!("Posts by {}", user.name), site::user(&user.name));
                Found { user: Some(user.clone()), ..found(List::Of(user.id), title, page) }
            }
            Self::Host(host) => {
                found(List::Host(host.clone()), format!("Posts from {host}"), site::host(host))
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_say_the_format() {
        assert_eq!(Format::of("hot"), ("hot", Format::Page));
        assert_eq!(Format::of("hot.rss"), ("hot", Format::Rss));
        assert_eq!(Format::of("example.com.json"), ("example.com", Format::Json));
        assert_eq!(Format::of(".json"), ("", Format::Json));
        assert_eq!(Format::of("a.rss.json"), ("a.rss", Format::Json));
    }

    #[test]
    fn spans_have_names() {
        for (span_, name) in SPANS {
            assert_eq!(span(name), Some(span_));
        }
        assert_eq!(span("month"), None);
    }
}
