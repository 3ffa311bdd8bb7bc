//! Signing up.

use maud::html;

use super::super::act::{After, Trouble};
use super::super::form::{Errors, Form};
use super::super::paths;
use super::super::views::layout;
use super::super::views::parts::{self, Field};
use super::super::visit::{self, Page, Submitted};
use super::super::visitor::Visitor;
use super::enter::{self, Entering};
use super::hashing::{self, Hashed};
use super::{fields, login, proof};
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::passwords::{Done, Job, Secret};
use crate::state::board::{self, Act, Attempt, Refusal, Told};

/// `GET /b/signup`.
pub(in crate::http) fn form(service: &Service, _: &str, request: &Request) -> Step {
    visit::page(service, request, Box::new(Blank))
}

/// `POST /b/signup`.
pub(in crate::http) fn submit(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(SignUp))
}

#[derive(Debug)]
struct Blank;

impl Page for Blank {
    fn show(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, "", &Errors::none()))
    }
}

#[derive(Debug)]
struct SignUp;

impl Submitted for SignUp {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let (name, password) = (fields::name(form.text("name")), form.text("password"));
        let mut errors = Errors::none();
        if let Some(why) = fields::wrong_with_name(name) {
            errors.say("name", why);
        } else if board::user_named(view, name)?.is_some() {
            // Whoever looks for a free name should not use up the attempts in doing so.
            errors.say("name", TAKEN);
        }
        if let Some(why) = fields::wrong_with_password(password) {
            errors.say("password", why);
        }
        if !errors.is_empty() {
            return Ok(page(&visitor, form.text("name"), &errors).into());
        }
        let password = Secret::new(password.to_owned());
        let counting = Counting { password, then: SigningUp { name: name.to_owned() } };
        proof::attempt(service, visitor, Attempt::SignUp, Box::new(counting))
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, form.text("name"), &trouble.into()))
    }
}

/// The attempt is being counted.
#[derive(Debug)]
struct Counting {
    password: Secret,
    then: SigningUp,
}

impl After for Counting {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let Self { password, then } = *self;
        if let Told::Refused(refusal) = told {
            return Ok(then.told(visitor, refusal.into()).into());
        }
        // The state is that of the attempt or later: a name that was given away elsewhere is there.
        if board::user_named(&service.client.view(), &then.name)?.is_some() {
            return Ok(then.taken(visitor).into());
        }
        Ok(hashing::ask(service, visitor.clone(), Job::Hash(password), Box::new(then)))
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(self.then.told(visitor, proof::uncounted(trouble)))
    }
}

/// Somebody is signing up under this name.
#[derive(Debug)]
struct SigningUp {
    name: String,
}

impl SigningUp {
    fn told(&self, visitor: &Visitor, trouble: Trouble) -> Response {
        page(visitor, &self.name, &trouble.into())
    }

    fn taken(&self, visitor: &Visitor) -> Response {
        let mut errors = Errors::none();
        errors.say("name", TAKEN);
        page(visitor, &self.name, &errors)
    }
}

impl Hashed for SigningUp {
    fn hashed(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        done: Done,
    ) -> Result<Step, StoreError> {
        let Done::Hashed(password) = done else { unreachable!("it was to be hashed") };
        let name = self.name.clone();
        let act = move |login, replaces| Act::SignUp { name, password, login, replaces };
        Ok(enter::enter(service, visitor, act, self))
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(self.told(visitor, trouble))
    }
}

impl Entering for SigningUp {
    fn refused(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        refusal: Refusal,
    ) -> Result<Response, StoreError> {
        Ok(match refusal {
            Refusal::NameTaken => self.taken(visitor),
            refusal => self.told(visitor, refusal.into()),
        })
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        let trouble = match trouble.status {
            504 => Trouble::new(
                504,
                "The cluster has not answered in time: the account may be there now, or not. Try to \
                 log in with this name and password; if that does not work, sign up again.",
            ),
            _ => trouble,
        };
        Ok(self.told(visitor, trouble))
    }
}

const TAKEN: &str = "This name is taken. If it is yours, log in.";

fn page(visitor: &Visitor, name: &str, errors: &Errors) -> Response {
    let name = Field {
        name: "name",
        label: "Name",
        value: name,
        hint: "2 to 24 letters, digits, hyphens and underscores. Everybody sees it, and it stays.",
        autocomplete: "username",
        required: true,
        autofocus: errors.is_empty(),
        ..Field::default()
    };
    let password = Field {
        name: "password",
        label: "Password",
        hint: "At least 8 characters. There is no way back in without it.",
        autocomplete: "new-password",
        required: true,
        ..Field::default()
    };
    let body = html! {
        h1 { "Sign up" }
        (parts::errors_top(visitor, errors))
        (login::already(visitor))
        form method="post" action="/b/signup" {
            (parts::csrf(visitor))
            (parts::next(&visitor.next))
            (parts::text_field(name, errors))
            (parts::password_field(password, errors))
            (parts::button("Sign up"))
        }
        p { "You have an account? " a href=(paths::and_back("/b/login", &visitor.next)) { "Log in" } "." }
    };
    layout::page(errors.status(), visitor, "Sign up", None, body)
}
