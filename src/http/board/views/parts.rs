//! The parts that pages are made of.

use maud::{Markup, html};

use super::super::csrf as token;
use super::super::form::Errors;
use super::super::paths;
use super::super::typed::grouped;
use super::super::visitor::Visitor;
use super::time;

/// `3 likes`, `1 like`.
pub(in crate::http::board) fn count(count: u64, unit: &str) -> String {
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The hidden field that shows that a form is ours; each form has it.
pub(in crate::http::board) fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(token::FIELD) value=(visitor.csrf); }
}

/// The hidden field that says where to go when the form is done.
pub(in crate::http::board) fn next(path: &str) -> Markup {
    html! { input type="hidden" name="next" value=(path); }
}

/// A form's field: what there is to say about it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http::board) struct Field<'a> {
    /// Its name.
    pub name: &'static str,
    /// Its id, where a page has several fields of that name; empty for the name itself.
    pub id: &'a str,
    /// What is to be typed.
    pub label: &'a str,
    /// What was typed.
    pub value: &'a str,
    /// What helps.
    pub hint: &'a str,
    /// For the browser: how it may fill it in.
    pub autocomplete: &'static str,
    /// Whether it must not be empty; the browser tells that before anything is sent.
    pub required: bool,
    /// Whether the cursor is there when the page comes up.
    pub autofocus: bool,
    /// Characters it takes at most, which the hint then says; 0 where nobody comes near. The browser is
    /// not told: it would cut off what somebody pastes.
    pub max: usize,
}

impl<'a> Field<'a> {
    fn id(&self) -> &'a str {
        if self.id.is_empty() { self.name } else { self.id }
    }

    fn has_hint(&self) -> bool {
        !self.hint.is_empty() || self.max > 0
    }
}

/// A line of text.
pub(in crate::http::board) fn text_field(field: Field<'_>, errors: &Errors) -> Markup {
    input("text", field, errors)
}

/// A line of text that is a URL: phones show another keyboard.
pub(in crate::http::board) fn url_field(field: Field<'_>, errors: &Errors) -> Markup {
    input("url", field, errors)
}

/// A password; what was typed never goes back.
pub(in crate::http::board) fn password_field(field: Field<'_>, errors: &Errors) -> Markup {
    input("password", Field { value: "", ..field }, errors)
}

/// Lines of text.
pub(in crate::http::board) fn textarea_field(field: Field<'_>, errors: &Errors) -> Markup {
    let control = html! {
        textarea id=(field.id()) name=(field.name) rows="6"
            required[field.required] autofocus[field.autofocus]
            aria-invalid=[invalid(&field, errors)] aria-describedby=[described(&field, errors)] {
            // The first line end after the tag is not part of the text.
            "\n" (field.value)
        }
    };
    labelled(&field, errors, control)
}

fn input(kind: &str, field: Field<'_>, errors: &Errors) -> Markup {
    let autocomplete = (!field.autocomplete.is_empty()).then_some(field.autocomplete);
    let names = matches!(field.autocomplete, "username");
    let control = html! {
        input type=(kind) id=(field.id()) name=(field.name) value=[(kind != "password").then_some(field.value)]
            autocomplete=[autocomplete] autocapitalize=[names.then_some("none")]
            spellcheck=[names.then_some("false")]
            required[field.required] autofocus[field.autofocus]
            aria-invalid=[invalid(&field, errors)] aria-describedby=[described(&field, errors)];
    };
    labelled(&field, errors, control)
}

fn labelled(field: &Field<'_>, errors: &Errors, control: Markup) -> Markup {
    html! {
        div.field {
            label for=(field.id()) { (field.label) }
            (control)
            @if let Some(error) = errors.of(field.name) {
                p.error id={ (field.id()) "-error" } { (error) }
            }
            @if field.has_hint() {
                p.hint id={ (field.id()) "-hint" } {
                    (field.hint)
                    @if field.max > 0 { " At most " (grouped(field.max)) " characters." }
                }
            }
        }
    }
}

fn invalid(field: &Field<'_>, errors: &Errors) -> Option<&'static str> {
    errors.of(field.name).map(|_| "true")
}

fn described(field: &Field<'_>, errors: &Errors) -> Option<String> {
    let error = errors.of(field.name).map(|_| format!("{}-error", field.id()));
    let hint = field.has_hint().then(|| format!("{}-hint", field.id()));
    match (error, hint) {
        (Some(error), Some(hint)) => Some(format!("{error} {hint}")),
        (error, hint) => error.or(hint),
    }
}

/// What is wrong with a form as a whole; nothing when nothing is.
pub(in crate::http::board) fn errors_top(visitor: &Visitor, errors: &Errors) -> Markup {
    html! {
        @if let Some(trouble) = errors.top() {
            div.notice.bad role="alert" {
                p {
                    (trouble.message)
                    @if trouble.status == 401 {
                        " " a href=(paths::and_back("/b/login", &visitor.here)) { "Log in" } "."
                    }
                }
            }
        }
    }
}

/// Says something above a page's content: good news, or something to know.
pub(in crate::http::board) fn notice(text: Markup) -> Markup {
    html! { div.notice role="status" { p { (text) } } }
}

/// A button that sends the form it stands in.
pub(in crate::http::board) fn button(text: &str) -> Markup {
    html! { button { (text) } }
}

/// A form that is only a button, such as "Like" or "Log out"; `fields` may hold hidden ones.
pub(in crate::http::board) fn button_form(
    visitor: &Visitor,
    action: &str,
    next_path: &str,
    text: &str,
    fields: Markup,
) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (csrf(visitor)) (next(next_path)) (fields)
            button.link { (text) }
        }
    }
}

/// Text that somebody typed: it may be written in any direction, and must not turn what is around it.
pub(in crate::http::board) fn typed(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// A user's name, leading to the user's page.
pub(in crate::http::board) fn user_link(name: &str) -> Markup {
    html! { a.user href={ "/b/u/" (name) } { (name) } }
}

/// A time as its age, with the exact time for programs and for whoever points at it.
pub(in crate::http::board) fn age(visitor: &Visitor, wall_ms: u64) -> Markup {
    let exact = time::rfc3339(wall_ms);
    html! { time datetime=(exact) title=(exact) { (time::ago(visitor.wall_now_ms, wall_ms)) } }
}

/// The way to the next page of a list: its path, and the cursor as it goes into a query.
pub(in crate::http::board) fn more(path: &str, after: &str) -> Markup {
    html! { nav.paging aria-label="Pages" { a.more rel="next" href={ (path) "?after=" (after) } { "More" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field() -> Field<'static> {
        Field { name: "title", label: "Title", value: "a \"<b>\" & c", ..Field::default() }
    }

    #[test]
    fn a_field_has_its_label_and_what_was_typed() {
        let page = text_field(field(), &Errors::none()).into_string();
        assert!(page.contains(r#"<label for="title">Title</label>"#), "{page}");
        assert!(
            page.contains(r#"id="title" name="title" value="a &quot;&lt;b&gt;&quot; &amp; c""#)
        );
        assert!(!page.contains("aria-invalid") && !page.contains("aria-describedby"), "{page}");
    }

    #[test]
    fn what_is_wrong_stands_beside_its_field_and_is_read_out_with_it() {
        let mut errors = Errors::none();
        errors.say("title", "A title has <150 characters.");
        errors.say("title", "Only the first word stands.");
        errors.say("other", "This is not here.");
        let hinted = Field { hint: "Short.", max: 150, id: "title-7", ..field() };
        let page = textarea_field(hinted, &errors).into_string();
        assert!(
            page.contains(r#"aria-invalid="true" aria-describedby="title-7-error title-7-hint""#)
        );
        let error = r#"<p class="error" id="title-7-error">A title has &lt;150 characters.</p>"#;
        assert!(page.contains(error), "{page}");
        assert!(page.contains(r#"id="title-7-hint">Short. At most 150 characters.</p>"#), "{page}");
        assert_eq!(page.matches("class=\"error\"").count(), 1);
    }

    #[test]
    fn a_text_keeps_the_line_end_that_it_begins_with() {
        let page = textarea_field(Field { value: "\n</textarea>x", ..field() }, &Errors::none());
        assert!(page.into_string().contains(">\n\n&lt;/textarea&gt;x</textarea>"));
    }

    #[test]
    fn a_password_never_goes_back() {
        let page = password_field(Field { value: "secret", ..field() }, &Errors::none());
        let page = page.into_string();
        assert!(!page.contains("secret") && page.contains(r#"type="password""#), "{page}");
    }

    #[test]
    fn one_is_not_several() {
        assert_eq!([0, 1, 2].map(|it| count(it, "like")), ["0 likes", "1 like", "2 likes"]);
    }
}
