//! What somebody typed into a form, and what is wrong with it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::super::reply::retry_after;
use super::super::wire::Request;
use super::act::Trouble;
use super::csrf;
use crate::escapes;

/// Fields that are looked at; none of our forms has half as many.
const FIELDS_MAX: usize = 32;

/// The fields of a form as the browser sent them (`application/x-www-form-urlencoded`). What is no
/// UTF-8 stands there with replacement characters; nothing else is changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::http) struct Form(Vec<(String, String)>);

impl Form {
    /// The form in a request's body; without a body one without fields.
    ///
    /// # Errors
    /// When the body is something else.
    pub(in crate::http) fn of(request: &Request) -> Result<Self, Trouble> {
        const TYPE: &[u8] = b"application/x-www-form-urlencoded";
        let sent = request.header("Content-Type").unwrap_or_default();
        let sent = sent.split(|byte| *byte == b';').next().unwrap_or_default();
        if !request.body.is_empty() && !sent.trim_ascii().eq_ignore_ascii_case(TYPE) {
            return Err(Trouble::new(400, "That is not how a form is sent."));
        }
        Ok(Self::decode(&request.body))
    }

    /// Reads a body. Anything is a form, if an odd one.
    pub(in crate::http) fn decode(body: &[u8]) -> Self {
        let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        Self(pairs.take(FIELDS_MAX).map(pair).collect())
    }

    /// What was typed into a field (the first of that name); empty when there is none.
    pub(in crate::http) fn text(&self, name: &str) -> &str {
        let mut fields = self.0.iter();
        fields.find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// What somebody typed into it that is no secret: names and texts, in order.
    pub(super) fn typed(&self) -> impl Iterator<Item = (&str, &str)> {
        const KEPT_BACK: [&str; 5] = [csrf::FIELD, "next", "password", "old", "new"];
        let typed = self
            .0
            .iter()
            .filter(|(name, text)| !text.is_empty() && !KEPT_BACK.contains(&name.as_str()));
        typed.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The same form with this in a field.
    pub(in crate::http) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.retain(|(it, _)| it != name);
        self.0.push((name.to_owned(), value.into()));
        self
    }
}

/// Without its secrets, which are nobody's business.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.typed()).finish()
    }
}

fn pair(bytes: &[u8]) -> (String, String) {
    let mut halves = bytes.splitn(2, |byte| *byte == b'=');
    let mut next = || text(halves.next().unwrap_or_default());
    (next(), next())
}

fn text(bytes: &[u8]) -> String {
    let spaced: Vec<u8> =
        bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Cow<'_, [u8]> = escapes::decode_bytes(&spaced);
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What is wrong with a form: beside its fields, and above all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Errors {
    fields: BTreeMap<&'static str, String>,
    top: Option<Trouble>,
}

impl Errors {
    /// Nothing is.
    pub(in crate::http) fn none() -> Self {
        Self::default()
    }

    /// Says what is wrong with a field; the first word stands.
    pub(in crate::http) fn say(&mut self, field: &'static str, message: impl Into<String>) {
        self.fields.entry(field).or_insert_with(|| message.into());
    }

    /// Whether nothing is wrong.
    pub(in crate::http) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.top.is_none()
    }

    /// What is wrong with a field.
    pub(in crate::http) fn of(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// What is wrong with the whole.
    pub(in crate::http) fn top(&self) -> Option<&Trouble> {
        self.top.as_ref()
    }

    /// The status of the page that tells it: 200 when nothing is wrong.
    pub(in crate::http) fn status(&self) -> u16 {
        match &self.top {
            Some(trouble) => trouble.status,
            None if self.fields.is_empty() => 200,
            None => 422,
        }
    }
}

impl From<Trouble> for Errors {
    fn from(trouble: Trouble) -> Self {
        Self { top: Some(trouble), ..Self::default() }
    }
}

impl Trouble {
    /// When it makes sense to try again, in seconds, if ever by itself.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s.or_else(|| retry_after(self.status)?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_as_browsers_encode_them() {
        let form = Form::decode(
            b"title=a+b%2Bc%26d%3D%25&text=1%0D%0A2&emoji=%F0%9F%AA%A2+%D0%BA&raw=\xc3\xa9&=x&n%61me=y&flag",
        );
        for (name, value) in [
            ("title", "a b+c&d=%"),
            ("text", "1\r\n2"),
            ("emoji", "\u{1faa2} \u{43a}"),
            ("raw", "\u{e9}"),
            ("", "x"),
            ("name", "y"),
            ("flag", ""),
            ("missing", ""),
        ] {
            assert_eq!(form.text(name), value, "{name}");
        }
    }

    #[test]
    fn what_is_no_utf_8_and_no_escape_is_taken_all_the_same() {
        let form = Form::decode(b"a=%ff%fe&b=%zz%4&c=x%00y&d=\xff&e=a=b=c&&&f=%C3");
        assert_eq!(form.text("a"), "\u{fffd}\u{fffd}");
        assert_eq!(form.text("b"), "%zz%4");
        assert_eq!(form.text("c"), "x\0y");
        assert_eq!(form.text("d"), "\u{fffd}");
        assert_eq!(form.text("e"), "a=b=c");
        assert_eq!(form.text("f"), "\u{fffd}");
        assert_eq!(Form::decode(b""), Form::default());
    }

    #[test]
    fn of_several_fields_with_one_name_the_first_counts() {
        let form = Form::decode(b"a=1&a=2&b=3");
        assert_eq!(form.text("a"), "1");
        let form = form.with("a", "4");
        assert_eq!((form.text("a"), form.text("b")), ("4", "3"));
    }

    #[test]
    fn the_longest_body_is_no_burden() {
        let long = [b"text=".as_slice(), &b"%41".repeat(87_000)].concat();
        assert_eq!(Form::decode(&long).text("text").len(), 87_000);
        let many = Form::decode(&b"a=1&".repeat(64 * 1024));
        assert_eq!((many.0.len(), many.text("a")), (FIELDS_MAX, "1"));
    }

    #[test]
    fn secrets_are_not_given_back() {
        let form = Form::decode(b"csrf=1&next=/b&title=t&password=2&old=3&new=4&text=&url=u");
        assert_eq!(form.typed().collect::<Vec<_>>(), [("title", "t"), ("url", "u")]);
    }

    #[test]
    fn the_status_of_a_form_is_that_of_what_is_wrong_with_it() {
        let mut errors = Errors::none();
        assert!(errors.is_empty());
        assert_eq!(errors.status(), 200);
        errors.say("title", "Too long.");
        assert_eq!((errors.status(), errors.of("title")), (422, Some("Too long.")));
        assert_eq!(Errors::from(Trouble::foreign_form()).status(), 403);
    }
}
