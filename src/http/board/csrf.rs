//! Forms that only our own pages can send.
//!
//! Each form carries a token that is computed from a cookie, so that whoever cannot read this browser's
//! cookies cannot make a form that it would send in its user's name. Nothing is stored, and any node
//! checks the forms of any other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::cookies::Cookies;

/// The name of the field.
pub(super) const FIELD: &str = "csrf";

/// The token of the forms of a browser with these cookies; none when it has none to tie it to.
///
/// That of a log-in counts whether it has ended or not: a form which was sent too late is then told
/// about that, and not about tokens.
pub(super) fn token(cookies: &Cookies) -> Option<String> {
    cookies.login.as_ref().or(cookies.form.as_ref()).map(|cookie| token_of(cookie))
}

/// The token that goes with a cookie's text.
pub(super) fn token_of(cookie: &str) -> String {
    let hash = Sha256::new().chain_update(b"bowline form\0").chain_update(cookie).finalize();
    URL_SAFE_NO_PAD.encode(hash)
}

/// Whether a form was made for a browser with these cookies.
pub(super) fn is_genuine(cookies: &Cookies, sent: &str) -> bool {
    token(cookies).is_some_and(|token| token.as_bytes().ct_eq(sent.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::super::cookies;
    use super::*;

    fn cookies(login: Option<&str>, form: Option<&str>) -> Cookies {
        Cookies { login: login.map(str::to_owned), form: form.map(str::to_owned), seen: 0 }
    }

    #[test]
    fn the_form_of_one_browser_is_not_taken_from_another() {
        let (one, other) = (cookies::new_form(), cookies::new_form());
        let ours = cookies(None, Some(&one));
        let token = token(&ours).unwrap();
        assert!(is_genuine(&ours, &token));
        assert!(!is_genuine(&cookies(None, Some(&other)), &token));
        assert!(!is_genuine(&cookies(Some(&cookies::new_login().0), Some(&one)), &token));
        assert!(!is_genuine(&cookies(None, None), &token), "a browser without cookies");
    }

    #[test]
    fn nothing_but_the_token_itself_will_do() {
        let login = cookies::new_login().0;
        let ours = cookies(Some(&login), None);
        let token = token(&ours).unwrap();
        assert!(is_genuine(&ours, &token));
        let longer = format!("{token}A");
        let other_case = token.to_ascii_lowercase();
        for sent in ["", &token[1..], &token[..token.len() - 1], &longer, &login, &other_case] {
            assert!(!is_genuine(&ours, sent), "{sent}");
        }
        for sent in ["", "A", &token_of("")] {
            assert!(!is_genuine(&cookies(None, None), sent));
        }
    }

    #[test]
    fn the_token_is_the_same_on_every_node() {
        // printf 'bowline form\0AAAAAAAAAAAAAAAAAAAAAA' | openssl dgst -sha256 -binary | base64 | tr '+/' '-_'
        assert_eq!(
            token_of("AAAAAAAAAAAAAAAAAAAAAA"),
            "o85murWEitmBCKtl1p3MLeWuklFqxn37uwhzoxTLB2Y"
        );
    }
}
