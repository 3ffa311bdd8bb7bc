//! Forms that only our own pages can send.
//!
//! Each form carries a token that is computed from a cookie, so that whoever cannot read this browser's
//! cookies cannot make a form that it would send in its user's name. Nothing is stored, and any node
//! checks the forms of any other.
//!
//! Somebody may be able to write cookies here that he cannot read: whoever has another name below the
//! same domain. With a cookie and a form of his own he could log a browser in as himself. So cookies have
//! names that others cannot write where there is TLS ([`cookies`](super::cookies)), and a form that the
//! browser itself says comes from elsewhere is none of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::wire::Head;
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

/// Whether the browser says that it was another site's doing (Fetch Metadata, `Sec-Fetch-Site`). Old ones
/// say nothing, and none does without TLS.
pub(super) fn is_foreign(head: &Head) -> bool {
    head.headers("Sec-Fetch-Site").any(|site| site == b"cross-site" || site == b"same-site")
}

#[cfg(test)]
mod tests {
    use super::super::super::routes;
    use super::super::cookies;
    use super::*;

    #[test]
    fn what_another_site_sends_is_foreign() {
        let is_foreign = |fields: &str| {
            let text = format!("POST /b/login HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            is_foreign(&Head::parse(text.as_bytes(), &routes::limits()).unwrap())
        };
        for site in ["cross-site", "same-site"] {
            assert!(is_foreign(&format!("Sec-Fetch-Site: {site}\r\n")), "{site}");
        }
        for fields in ["", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"] {
            assert!(!is_foreign(fields), "{fields}");
        }
    }

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
