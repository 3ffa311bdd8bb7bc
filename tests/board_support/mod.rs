//! Somebody who uses the board: cookies, forms and redirections as a browser has them, and pages that are
//! read strictly.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part of it")]

pub mod html;

use std::collections::BTreeMap;

pub use html::Form;

/// What serves a board: a node, or what stands in for one.
pub trait Site {
    /// One request, redirections not followed.
    fn answer(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Page;
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// What was asked for.
    pub target: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} occurs twice: {self:?}");
        value
    }

    /// What a reader sees.
    pub fn text(&self) -> String {
        html::text(&self.body)
    }

    /// The same, with single blanks.
    pub fn words(&self) -> String {
        self.text().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The only form that goes there.
    pub fn form(&self, action: &str) -> Form {
        let mut forms = Form::all(&self.body);
        forms.retain(|form| form.action == action);
        assert_eq!(forms.len(), 1, "forms to {action}: {self:?}");
        forms.remove(0)
    }

    /// What is said beside a field that will not do.
    pub fn error(&self, field: &str) -> Option<String> {
        let id = format!("{field}-error");
        let said = html::text_in(&self.body, |tag| tag.get("id") == Some(&id))?;
        let tokens = html::tokens(&self.body);
        let points = |token: &html::Token| match token {
            html::Token::Open(tag) => {
                tag.get("id") == Some(field)
                    && tag.get("aria-invalid") == Some("true")
                    && tag
                        .get("aria-describedby")
                        .is_some_and(|ids| ids.split(' ').any(|it| it == id))
            }
            _ => false,
        };
        assert!(tokens.iter().any(points), "{field} does not point to its error: {self:?}");
        Some(said.trim().to_owned())
    }

    /// Where it leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header("Location").unwrap()
    }

    /// The keys of the posts of a list, in their order.
    pub fn posts(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let tokens = html::tokens(&self.body).into_iter();
        let key = |token| match token {
            html::Token::Open(tag) if tag.has_class("post") && tag.name == "li" => {
                Some(tag.get("id").unwrap().strip_prefix("p-").unwrap().to_owned())
            }
            _ => None,
        };
        tokens.filter_map(key).collect()
    }
}

/// A page with this status on which this can be read.
pub fn says(page: &Page, status: u16, text: &str) {
    assert_eq!(page.status, status, "{page:?}");
    assert!(page.words().contains(text), "not {text:?}: {page:?}");
}

/// One person's browser. As browsers do, it has one set of cookies for all ports of a machine.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    /// Further header fields of every request, such as those of a proxy in between.
    pub headers: Vec<(&'static str, String)>,
}

/// What the tests' users choose.
pub const PASSWORD: &str = "correct horse battery";

impl Browser {
    pub fn get(&mut self, site: &impl Site, target: &str) -> Page {
        self.ask(site, "GET", target, "")
    }

    /// A page that must be there.
    pub fn open(&mut self, site: &impl Site, target: &str) -> Page {
        let page = self.get(site, target);
        assert_eq!(page.status, 200, "{page:?}");
        page
    }

    pub fn submit(&mut self, site: &impl Site, form: &Form) -> Page {
        self.ask(site, "POST", &form.action, &form.encode())
    }

    /// Opens a page, fills in its form that goes to `action`, and sends that.
    pub fn fill(
        &mut self,
        site: &impl Site,
        (target, action): (&str, &str),
        typed: &[(&str, &str)],
    ) -> Page {
        let form = self.open(site, target).form(action);
        let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
        self.submit(site, &form)
    }

    pub fn ask(&mut self, site: &impl Site, method: &str, target: &str, body: &str) -> Page {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if !cookies.is_empty() {
            headers.push(("Cookie", &cookies));
        }
        if method == "POST" {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let page = site.answer(method, target, &headers, body);
        self.keep_cookies(&page);
        page
    }

    /// Takes the cookies of an answer, which must be as ours are.
    fn keep_cookies(&mut self, page: &Page) {
        for (_, value) in
            page.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case("set-cookie"))
        {
            let mut parts = value.split("; ");
            let (name, text) = parts.next().unwrap().split_once('=').unwrap();
            let attributes: Vec<_> = parts.collect();
            for wanted in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(attributes.contains(&wanted), "no {wanted}: {value}");
            }
            if attributes.contains(&"Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), text.to_owned());
            }
        }
    }

    /// Signs up, and is logged in then.
    pub fn sign_up(&mut self, site: &impl Site, name: &str) {
        let typed = [("name", name), ("password", PASSWORD)];
        let page = self.fill(site, ("/b/signup", "/b/signup"), &typed);
        assert!(page.location().starts_with("/b"), "{page:?}");
        assert!(self.cookies.contains_key("bowline_login"), "{page:?}");
    }

    pub fn log_in(&mut self, site: &impl Site, name: &str, password: &str) -> Page {
        let typed = [("name", name), ("password", password)];
        self.fill(site, ("/b/login", "/b/login"), &typed)
    }

    /// Posts a link. Gives its key.
    pub fn post(&mut self, site: &impl Site, title: &str, url: &str) -> String {
        let page = self.fill(site, ("/b/post", "/b/post"), &[("title", title), ("url", url)]);
        key_in(page.location())
    }

    /// Likes a post, or does no longer, by the button that its page has.
    pub fn press(&mut self, site: &impl Site, target: &str, says: &str) -> Page {
        let page = self.open(site, target);
        let forms = Form::all(&page.body);
        let form = forms.iter().find(|form| form.buttons.iter().any(|(it, _)| it == says));
        let form = form.unwrap_or_else(|| panic!("no button {says}: {page:?}"));
        self.submit(site, &form.clone().press(says))
    }

    /// The name that the site knows this browser by.
    pub fn name(&mut self, site: &impl Site) -> Option<String> {
        let page = self.open(site, "/b/about");
        let is_own = |tag: &html::Tag| tag.name == "a" && tag.get("href") == Some("/b/settings");
        html::text_in(&page.body, is_own).map(|name| name.trim().to_owned())
    }
}

/// The key in the address of a post's page.
pub fn key_in(location: &str) -> String {
    let key = location.strip_prefix("/b/p/").unwrap_or_else(|| panic!("no post: {location}"));
    key.split(['?', '#']).next().unwrap().to_owned()
}
