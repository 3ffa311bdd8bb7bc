//! Everything under a prefix: entries, or keys alone, be they a few or millions.
//!
//! The index of a prefix is the highest revision among its keys and the marks of removed ones, and it
//! stands in front of the answer; so all of them are looked at first, a slice at a time. What the
//! first slice holds is kept: a short listing is answered from it in one piece, and a long one begins
//! with it and is then streamed from the same view.

use bytes::Bytes;

use super::json::{self, Indent};
use super::reading::{Look, Query};
use super::shapes::{Entry, Key};
use crate::http::reply::{Body, JSON, Response};
use crate::http::rows::PrefixScan;
use crate::http::stream::{Piece, Source, Stream};
use crate::ids::Ticket;
use crate::node::StoreError;
use crate::node::View;
use crate::state::kv::{self, Counters};
use crate::watch::Topic;

/// Keys and bytes of a slice; each costs about a millisecond at most.
const ROWS_MAX: usize = 256;
const BYTES_MAX: usize = 64 * 1024;
/// Rows of a slice of which only the revision counts.
const LOOKED_AT_MAX: usize = 1024;
/// Bytes of such a slice.
const LOOKED_AT_BYTES_MAX: usize = 1 << 20;

/// What is listed of each key.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// All of it.
    Entries,
    /// Its name, cut behind the first separator that follows the prefix, and each name once.
    Keys {
        /// Empty for whole names.
        separator: Vec<u8>,
    },
}

/// A listing under way.
pub(super) struct Listing {
    prefix: Bytes,
    form: Form,
    pretty: bool,
    survey: Option<Survey>,
}

/// What is known so far.
struct Survey {
    /// Where the answer goes on behind its first page.
    scan: PrefixScan,
    page: Page,
    /// Whether the first page is the whole answer.
    whole: bool,
    highest: u64,
    stage: Stage,
}

/// What is looked at next; the keys or marks up to and with the given one were.
enum Stage {
    Keys(Option<Bytes>),
    Marks(Option<Bytes>),
    Done,
}

impl Listing {
    pub fn new(prefix: Bytes, form: Form, pretty: bool) -> Self {
        Self { prefix, form, pretty, survey: None }
    }

    /// Reads the first page.
    fn begin(&self, view: &View) -> Result<Survey, StoreError> {
        let mut scan = PrefixScan::new(view.clone(), self.prefix.clone());
        let mut page = Page::new(self.form.clone(), self.prefix.len(), self.pretty);
        let (mut highest, mut last) = (0, None);
        let whole = scan.slice(ROWS_MAX, BYTES_MAX, &mut |entry| {
            page.push(&entry);
            highest = entry.modify.max(highest);
            last = Some(entry.key);
        })?;
        let stage = match (self.prefix.is_empty(), whole) {
            // The index of the whole store is known.
            (true, _) => Stage::Done,
            (false, true) => Stage::Marks(None),
            (false, false) => Stage::Keys(last),
        };
        Ok(Survey { scan, page, whole, highest, stage })
    }

    fn answer(&self, survey: Survey) -> Response {
        let Survey { scan, mut page, whole, .. } = survey;
        if page.is_empty() && !(self.prefix.is_empty() && matches!(self.form, Form::Keys { .. })) {
            return Response::new(404);
        }
        let body = if whole {
            page.end();
            Body::Bytes(page.take())
        } else {
            Body::Stream(Stream::new(Pages { scan, page, done: false }))
        };
        Response { content_type: JSON, body, ..Response::new(200) }
    }
}

impl Query for Listing {
    fn topics(&self) -> Vec<Topic> {
        vec![Topic::Rows(kv::rows_prefix(&self.prefix).into())]
    }

    fn look(
        &mut self,
        view: &View,
        counters: &Counters,
        since: Option<u64>,
    ) -> Result<Look, StoreError> {
        if since.is_some_and(|since| !counters.any_key_since(since)) {
            return Ok(Look::Nothing);
        }
        let mut survey = match self.survey.take() {
            None => self.begin(view)?,
            Some(mut survey) => {
                survey.go_on(view, &self.prefix)?;
                survey
            }
        };
        if !matches!(survey.stage, Stage::Done) {
            // Marks are few as a rule, and then one more slice is all.
            survey.go_on(view, &self.prefix)?;
        }
        if !matches!(survey.stage, Stage::Done) {
            self.survey = Some(survey);
            return Ok(Look::Again);
        }
        let own = match self.prefix.is_empty() {
            true => counters.store_index(),
            false => counters.prefix_index(survey.highest),
        };
        if since.is_some_and(|since| own <= since) {
            return Ok(Look::Nothing);
        }
        // Under which nothing ever was has no index of its own, and is told the store's; but what is
        // written elsewhere is no news of it.
        let index = if survey.highest == 0 { counters.store_index() } else { own };
        Ok(Look::Answer(index, self.answer(survey)))
    }
}

impl Survey {
    /// Looks at one slice more.
    fn go_on(&mut self, view: &View, prefix: &[u8]) -> Result<(), StoreError> {
        let (mut count, mut bytes, mut last, mut more) = (0, 0, None, false);
        let mut seen = |key: &[u8], revision: u64, size: usize| {
            self.highest = self.highest.max(revision);
            count += 1;
            bytes += key.len() + size;
            more = count >= LOOKED_AT_MAX || bytes >= LOOKED_AT_BYTES_MAX;
            if more {
                last = Some(Bytes::copy_from_slice(key));
            }
            !more
        };
        match &self.stage {
            Stage::Keys(after) => {
                kv::scan_rows(view, prefix, after.as_deref(), &mut |row| {
                    seen(row.key, row.head.modify, row.value.len())
                })?;
                self.stage = if more { Stage::Keys(last) } else { Stage::Marks(None) };
            }
            Stage::Marks(after) => {
                kv::scan_tombstones(view, prefix, after.as_deref(), &mut |key, revision| {
                    seen(key, revision, 0)
                })?;
                self.stage = if more { Stage::Marks(last) } else { Stage::Done };
            }
            Stage::Done => {}
        }
        Ok(())
    }
}

/// Writes a listing as JSON, key by key.
struct Page {
    form: Form,
    prefix_len: usize,
    indent: Option<Indent>,
    /// What is written and not taken yet.
    out: Vec<u8>,
    /// One element, on its way into `out`.
    compact: Vec<u8>,
    /// Nothing is in the list yet.
    empty: bool,
    /// The name written last.
    last: Vec<u8>,
}

impl Page {
    fn new(form: Form, prefix_len: usize, pretty: bool) -> Self {
        let (out, compact, last) = Default::default();
        let indent = pretty.then(Indent::default);
        Self { form, prefix_len, indent, out, compact, empty: true, last }
    }

    fn is_empty(&self) -> bool {
        self.empty
    }

    fn push(&mut self, entry: &kv::Entry) {
        let comma = if self.empty { b'[' } else { b',' };
        match &self.form {
            Form::Entries => {
                self.compact.push(comma);
                json::push(&mut self.compact, &Entry { entry, with_value: true });
            }
            Form::Keys { separator } => {
                let name = cut(&entry.key, self.prefix_len, separator);
                if !self.empty && self.last == name {
                    return;
                }
                self.compact.push(comma);
                json::push(&mut self.compact, &Key(name));
                self.last.clear();
                self.last.extend_from_slice(name);
            }
        }
        self.empty = false;
        self.flush();
    }

    fn end(&mut self) {
        if self.empty {
            self.compact.push(b'[');
        }
        self.compact.push(b']');
        self.flush();
        if self.indent.is_some() {
            self.out.push(b'\n');
        }
    }

    fn flush(&mut self) {
        match &mut self.indent {
            Some(indent) => indent.push(&self.compact, &mut self.out),
            None => self.out.extend_from_slice(&self.compact),
        }
        self.compact.clear();
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }
}

/// A key up to and with the first separator behind the prefix.
fn cut<'a>(key: &'a [u8], prefix_len: usize, separator: &[u8]) -> &'a [u8] {
    if separator.is_empty() {
        return key;
    }
    let rest = &key[prefix_len..];
    match rest.windows(separator.len()).position(|part| part == separator) {
        Some(at) => &key[..prefix_len + at + separator.len()],
        None => key,
    }
}

/// The pages of a long answer.
struct Pages {
    scan: PrefixScan,
    /// Holds the first page at first.
    page: Page,
    done: bool,
}

impl Source for Pages {
    fn next(&mut self, _: Ticket) -> Piece {
        if !self.page.out.is_empty() {
            return Piece::Data(self.page.take());
        }
        if self.done {
            return Piece::End;
        }
        let page = &mut self.page;
        match self.scan.slice(ROWS_MAX, BYTES_MAX, &mut |entry| page.push(&entry)) {
            Ok(done) => self.done = done,
            Err(error) => {
                log::error!("cannot read the state for a listing: {error}");
                return Piece::Broken;
            }
        }
        if self.done {
            self.page.end();
        }
        Piece::Data(self.page.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &'static str) -> kv::Entry {
        kv::Entry {
            key: key.into(),
            value: Bytes::from_static(b"v"),
            flags: 0,
            create: 1,
            modify: 2,
            lock_index: 0,
            session: None,
            expires_ms: None,
        }
    }

    fn names(prefix: &str, separator: &str, keys: &[&'static str], pretty: bool) -> String {
        let form = Form::Keys { separator: separator.into() };
        let mut page = Page::new(form, prefix.len(), pretty);
        keys.iter().for_each(|key| page.push(&entry(key)));
        page.end();
        String::from_utf8(page.take().to_vec()).unwrap()
    }

    #[test]
    fn names_are_cut_behind_the_separator_and_told_once() {
        let keys = ["a/", "a/b", "a/c/", "a/c/x", "a/c/y", "a/d--e--f", "ab"];
        let told = |prefix, separator| names(prefix, separator, &keys, false);
        assert_eq!(told("a/", "/"), r#"["a/","a/b","a/c/","a/d--e--f","ab"]"#);
        assert_eq!(told("", "/"), r#"["a/","ab"]"#);
        assert_eq!(told("", ""), r#"["a/","a/b","a/c/","a/c/x","a/c/y","a/d--e--f","ab"]"#);
        assert_eq!(names("a/d", "--", &["a/d--e--f", "a/d--g"], false), r#"["a/d--"]"#);
        assert_eq!(names("", "/", &[], false), "[]");
        assert_eq!(names("", "/", &["x"], true), "[\n    \"x\"\n]\n");
        assert_eq!(names("", "/", &[], true), "[]\n");
    }

    #[test]
    fn entries_are_a_list() {
        let mut page = Page::new(Form::Entries, 0, false);
        page.push(&entry("a"));
        page.push(&entry("b"));
        page.end();
        let shown = |key| {
            format!(
                "{{\"LockIndex\":0,\"Key\":\"{key}\",\"Flags\":0,\"Value\":\"dg==\",\
                 \"CreateIndex\":1,\"ModifyIndex\":2}}"
            )
        };
        assert_eq!(page.take(), format!("[{},{}]", shown("a"), shown("b")));
    }
}
