//! What a name and a password may be, and what is said when they are not.
//!
//! Lengths and letters are looked at here, where somebody can still be told beside the field; applying
//! only bounds them.

use std::ops::RangeInclusive;

use crate::state::board::NAME_LEN;

/// Bytes of a password. The lower bound is the one piece of advice that helps; the upper one is there
/// because somebody has to hash it.
pub(super) const PASSWORD_LEN: RangeInclusive<usize> = 8..=1024;

/// A name as it is meant: the white space that a keyboard or a clipboard put around it is none of it.
pub(super) fn name(typed: &str) -> &str {
    typed.trim()
}

/// What is wrong with a name, if anything is. Nobody can have one that is wrong, so saying so tells
/// nothing about who has an account.
pub(super) fn wrong_with_name(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() {
        return Some("A name is needed.".into());
    }
    if !name.bytes().all(fits) {
        return Some(
            "A name is made of the letters a to z, digits, hyphens and underscores.".into(),
        );
    }
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Some("A name begins with a letter or a digit.".into());
    }
    if !NAME_LEN.contains(&name.len()) {
        let (least, most) = (NAME_LEN.start(), NAME_LEN.end());
        return Some(format!(
            "A name has {least} to {most} characters; this one has {}.",
            name.len()
        ));
    }
    None
}

/// What is wrong with a password that somebody wants to have from now on, if anything is.
pub(super) fn wrong_with_password(password: &str) -> Option<String> {
    let (least, most) = (PASSWORD_LEN.start(), PASSWORD_LEN.end());
    match password.len() {
        0 => Some("A password is needed.".into()),
        length if length < *least => Some(format!("A password has at least {least} characters.")),
        length if length > *most => {
            Some(format!("A password has at most {most} bytes; this one has {length}."))
        }
        _ => None,
    }
}

/// What is wrong with a password that is to be checked, if anything is. One that is merely too short is
/// wrong like any other.
pub(super) fn wrong_to_check(password: &str) -> Option<String> {
    let is_short = !password.is_empty() && password.len() < *PASSWORD_LEN.start();
    if is_short { None } else { wrong_with_password(password) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_begin_well() {
        for fine in ["ab", "Ada", "0x", "a-_", &"n".repeat(24)] {
            assert_eq!(wrong_with_name(fine), None, "{fine}");
        }
        for (wrong, why) in [
            ("", "needed"),
            ("a", "2 to 24"),
            (&*"n".repeat(25), "this one has 25"),
            ("-ab", "begins"),
            ("_ab", "begins"),
            ("a b", "made of"),
            ("ad\u{e9}", "made of"),
            ("\u{202e}ada", "made of"),
            ("ada@example.com", "made of"),
            ("a/b", "made of"),
            ("a\0b", "made of"),
        ] {
            let told = wrong_with_name(wrong).unwrap();
            assert!(told.contains(why), "{wrong:?}: {told}");
        }
        assert_eq!(name(" Ada\t\n"), "Ada");
    }

    #[test]
    fn passwords_have_a_length_and_nothing_else() {
        for fine in ["12345678", "        ", "\u{1f9f5}\u{1f9f5}", &"p".repeat(1024)] {
            assert_eq!((wrong_with_password(fine), wrong_to_check(fine)), (None, None));
        }
        for (wrong, why) in
            [("", "needed"), ("1234567", "at least 8"), (&*"p".repeat(1025), "this one has 1025")]
        {
            assert!(wrong_with_password(wrong).unwrap().contains(why), "{}", wrong.len());
        }
        assert_eq!(wrong_to_check("1234567"), None, "it is wrong like any other");
        assert!(wrong_to_check("").is_some() && wrong_to_check(&"p".repeat(1025)).is_some());
    }
}
