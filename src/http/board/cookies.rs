//! What a browser keeps for the board, in three cookies.
//!
//! None of them is of JavaScript's business (`HttpOnly`), and none goes with a request that another
//! site makes the browser send (`SameSite=Lax`), but for plain links. What a browser sends is anybody's
//! invention: whatever has not the shape of what was given out is as good as nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::super::wire::Head;
use crate::ids;
use crate::state::board::LoginId;

/// The token of a log-in: 32 random bytes.
const LOGIN: &str = "bowline_login";
/// The index that the state must have come to before this browser is shown a page.
const SEEN: &str = "bowline_seen";
/// What the forms of somebody who is not logged in are tied to: 16 random bytes.
const FORM: &str = "bowline_form";

/// How long a browser keeps a log-in that it does not use, in seconds.
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
    pub(in crate::http) fn of(head: &Head) -> Self {
        let mut cookies = Self::default();
        let lines = head.headers("Cookie");
        for pair in lines.flat_map(|line| line.split(|byte| *byte == b';')) {
            let Ok(pair) = str::from_utf8(pair) else { continue };
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = unquoted(value.trim());
            match name.trim() {
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
    let secure = if tls { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{lasts}{secure}")
}
