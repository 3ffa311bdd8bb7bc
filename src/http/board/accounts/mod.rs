//! Accounts: signing up, logging in and out, passwords.
//!
//! What takes a password takes three turns, each of which waits without a thread: the attempt is counted
//! in the log (so that guessing is as slow on three nodes as on one), the password is hashed or checked
//! by the threads that are there for it, and what comes of that goes into the log as an argon2id string.
//!
//! - `fields`: what names and passwords may be;
//! - `hashing`: the turn in the middle; `proof`: the first two together, for whoever says to be somebody;
//! - `enter`: the last one, after which the browser is logged in;
//! - `signup`, `login`, `logout`, `settings`: the pages, and what their forms do.

mod enter;
mod fields;
mod hashing;
mod login;
mod logout;
mod proof;
mod settings;
mod signup;

pub(in crate::http) use login::{form as login_form, submit as login};
pub(in crate::http) use logout::{everywhere as logout_everywhere, here as logout};
pub(in crate::http) use settings::{password, show as settings};
pub(in crate::http) use signup::{form as signup_form, submit as signup};

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use crate::node::Ask;
    use crate::passwords::{Job, Secret};

    #[test]
    fn what_holds_a_password_does_not_show_it() {
        let form = "name=ann&password=correct+horse&old=correct+horse&new=correct+horse";
        let form = Form::decode(form.as_bytes());
        assert_eq!(form.text("password"), "correct horse");
        let password = Secret::new(form.text("password").to_owned());
        let check = Ask::Password(Job::Check { password: password.clone(), hash: None });
        let hash = Ask::Password(Job::Hash(password));
        assert_eq!(format!("{form:?}"), r#"{"name": "ann"}"#);
        for shown in [format!("{check:?}"), format!("{hash:?}")] {
            assert!(shown.contains("Secret"), "{shown}");
            assert!(!shown.contains("horse") && !shown.contains("[99, 111"), "{shown}");
        }
    }
}
