//! What a browser keeps for the board, in three cookies.
//!
//! None of them is of JavaScript's business (`HttpOnly`), and none goes with a request that another
//! site makes the browser send (`SameSite=Lax`), but for plain links. What a browser sends is anybody's
//! invention: whatever has not the shape of what was given out is as good as nothing.
//!
//! Behind TLS their names begin with `__Host-`: browsers take such cookies only from this very host and
//! over TLS, so that whoever has another name below the same domain cannot put his own in their place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::super::wire::Head;
use crate::ids;
use crate::state::board::LoginId;

/// What names begin with behind TLS (RFC 6265bis, section 4.1.3.2).
const HOST_ONLY: &str = "__Host-";
/// The token of a log-in: 32 random bytes.
const LOGIN: &str = "bowline_login";
/// The index that the state must have come to before this browser is shown a page.
const SEEN: &str = "bowline_seen";
/// What the forms of somebody who is not logged in are tied to: 16 random bytes.
const FORM: &str = "bowline_form";

/// How long a browser keeps a log-in that it does not use, in seconds: as long as the state does. Each
/// act begins that time anew, there and here.
const LOGIN_SECONDS: u64 = crate::state::board::LOGIN_MS / 1000;
/// How long it remembers what it has seen: by then any node has that.
const SEEN_SECONDS: u64 = 24 * 3600;

/// The cookies of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Cookies {
    /// The token of a log-in, as text.
    pub login: Option<String>,
    /// See [`seen`].
    pub seen: u64,
    /// What forms are tied to, as text.
    pub form: Option<String>,
}

impl Cookies {
    /// Those of a request. Of several with one name the first one counts that makes sense.
    pub(in crate::http) fn of(head: &Head, tls: bool) -> Self {
        let mut cookies = Self::default();
        let lines = head.headers("Cookie");
        for pair in lines.flat_map(|line| line.split(|byte| *byte == b';')) {
            let Ok(pair) = str::from_utf8(pair) else { continue };
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = unquoted(value.trim());
            let name = match (name.trim(), tls) {
                (name, false) => name,
                (name, true) => name.strip_prefix(HOST_ONLY).unwrap_or_default(),
            };
            match name {
                LOGIN if cookies.login.is_none() => cookies.login = token(value, 32),
                FORM if cookies.form.is_none() => cookies.form = token(value, 16),
                SEEN if cookies.seen == 0 => cookies.seen = decimal(value),
                _ => {}
            }
        }
        cookies
    }

    /// The log-in that the token is of, if there is one.
    pub(in crate::http) fn login_id(&self) -> Option<LoginId> {
        let bytes = URL_SAFE_NO_PAD.decode(self.login.as_ref()?).ok()?;
        Some(Sha256::digest(bytes).into())
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// The value, if it is so many bytes written as we write them.
fn token(value: &str, bytes: usize) -> Option<String> {
    let decoded = URL_SAFE_NO_PAD.decode(value).ok()?;
    (decoded.len() == bytes).then(|| value.to_owned())
}

fn decimal(value: &str) -> u64 {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    if digits { value.parse().unwrap_or(0) } else { 0 }
}

/// A new log-in: its token, for [`login`], and its name in the state.
pub(in crate::http) fn new_login() -> (String, LoginId) {
    let token: [u8; 32] = ids::random();
    (URL_SAFE_NO_PAD.encode(token), Sha256::digest(token).into())
}

/// A new text to tie forms to.
pub(super) fn new_form() -> String {
    URL_SAFE_NO_PAD.encode(ids::random::<16>())
}

/// `Set-Cookie`: this browser is logged in.
pub(in crate::http) fn login(token: &str, tls: bool) -> String {
    set(LOGIN, token, Some(LOGIN_SECONDS), tls)
}

/// `Set-Cookie`: it is not any more.
pub(in crate::http) fn no_login(tls: bool) -> String {
    set(LOGIN, "", Some(0), tls)
}

/// Whether a `Set-Cookie` is one of these two.
pub(super) fn is_login(set_cookie: &str) -> bool {
    let name = set_cookie.strip_prefix(HOST_ONLY).unwrap_or(set_cookie);
    name.strip_prefix(LOGIN).is_some_and(|rest| rest.starts_with('='))
}

/// `Set-Cookie`: what is shown to it from now on must be the state at this index or later.
pub(super) fn seen(index: u64, tls: bool) -> String {
    set(SEEN, &index.to_string(), Some(SEEN_SECONDS), tls)
}

/// `Set-Cookie`: any state will do.
pub(super) fn nothing_seen(tls: bool) -> String {
    set(SEEN, "", Some(0), tls)
}

/// `Set-Cookie`: what forms are tied to, until the browser is closed.
pub(super) fn form(text: &str, tls: bool) -> String {
    set(FORM, text, None, tls)
}

fn set(name: &str, value: &str, max_age: Option<u64>, tls: bool) -> String {
    let lasts = max_age.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
    let (host_only, secure) = if tls { (HOST_ONLY, "; Secure") } else { ("", "") };
    format!("{host_only}{name}={value}; Path=/; HttpOnly; SameSite=Lax{lasts}{secure}")
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::Limits;
    use super::*;
    use crate::http::routes;

    fn of(lines: &[&[u8]]) -> Cookies {
        parsed(lines, false)
    }

    fn parsed(lines: &[&[u8]], tls: bool) -> Cookies {
        let mut head = b"GET /b HTTP/1.1\r\nHost: test\r\n".to_vec();
        for line in lines {
            head.extend_from_slice(b"Cookie: ");
            head.extend_from_slice(line);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let limits: Limits = routes::limits();
        Cookies::of(&Head::parse(&head, &limits).unwrap(), tls)
    }

    #[test]
    fn what_was_given_out_is_read_again() {
        let (token, id) = new_login();
        let form_text = new_form();
        let line =
            format!("a=b; bowline_login={token};bowline_seen=77 ; bowline_form=\"{form_text}\"");
        let cookies = of(&[line.as_bytes()]);
        assert_eq!(cookies.login.as_ref(), Some(&token));
        assert_eq!(cookies.login_id(), Some(id));
        assert_eq!(cookies.seen, 77);
        assert_eq!(cookies.form, Some(form_text));
        assert_ne!(new_login().1, id);
    }

    #[test]
    fn behind_tls_only_those_count_that_no_other_host_can_set() {
        let (ours, theirs) = (new_form(), new_form());
        let line = format!("bowline_form={theirs}; __Host-bowline_form={ours}; bowline_seen=7");
        let cookies = parsed(&[line.as_bytes()], true);
        assert_eq!((cookies.form, cookies.seen), (Some(ours), 0));
        assert_eq!(parsed(&[line.as_bytes()], false).form, Some(theirs));
    }

    #[test]
    fn several_lines_are_one_and_the_first_that_makes_sense_counts() {
        let (one, two) = (new_form(), new_form());
        let lines = [
            "bowline_seen=x; bowline_form=short".to_owned(),
            format!("bowline_form={one}; bowline_seen=5"),
            format!("bowline_form={two}; bowline_seen=6"),
        ];
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        assert_eq!(of(&lines), Cookies { login: None, seen: 5, form: Some(one) });
    }

    #[test]
    fn garbage_is_as_good_as_nothing() {
        let long = format!("bowline_login={}", "A".repeat(4000));
        let padded = format!("bowline_login={}A=", "A".repeat(42));
        for line in [
            &b""[..],
            b";;; = ;=; bowline_login",
            b"bowline_login=; bowline_form=; bowline_seen=",
            b"bowline_login=\"; bowline_form=\"\"",
            b"bowline_login=\xff\xfe; bowline_seen=\xff",
            b"bowline_seen=-1",
            b"bowline_seen=+1",
            b"bowline_seen=99999999999999999999999999",
            b"Bowline_Seen=7; xbowline_seen=7",
            b"bowline_form=!!!!!!!!!!!!!!!!!!!!!!",
            long.as_bytes(),
            padded.as_bytes(),
        ] {
            assert_eq!(of(&[line]), Cookies::default(), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn cookies_are_kept_from_scripts_and_other_sites() {
        assert_eq!(
            login("t", true),
            "__Host-bowline_login=t; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000; Secure"
        );
        assert!(
            is_login(&login("t", true)) && is_login(&no_login(false)) && !is_login(&seen(1, true))
        );
        assert_eq!(no_login(false), "bowline_login=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
        assert_eq!(seen(9, false), "bowline_seen=9; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400");
        assert_eq!(
            form("f", true),
            "__Host-bowline_form=f; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
