//! What somebody may say: titles, comments, reasons. The words that tell what is wrong stand beside the
//! field, so they speak to the person who typed.

use crate::state::board::{TEXT_LEN_MAX, TITLE_LEN_MAX};

/// A title: one line, with single blanks.
///
/// # Errors
/// What is wrong with it.
pub(super) fn title(typed: &str) -> Result<String, String> {
    let words = typed.split(|it: char| it.is_whitespace() || it.is_control());
    let title = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let title = limited(title, "title", TITLE_LEN_MAX)?;
    if has_ink(&title) { Ok(title) } else { Err("Give it a title.".to_owned()) }
}

/// A comment, or why a moderator does something: lines of text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn text(typed: &str) -> Result<String, String> {
    let text = limited(lines(typed), "comment", TEXT_LEN_MAX)?;
    if has_ink(&text) { Ok(text) } else { Err("Say something.".to_owned()) }
}

/// Why a moderator does something; nothing will do.
///
/// # Errors
/// What is wrong with it.
pub(super) fn reason(typed: &str) -> Result<String, String> {
    limited(lines(typed), "reason", TEXT_LEN_MAX)
}

/// The text with one kind of line end, without other control characters, and nothing around it.
fn lines(typed: &str) -> String {
    let text = typed.replace("\r\n", "\n").replace('\r', "\n");
    let text: String =
        text.chars().filter(|it| matches!(it, '\n' | '\t') || !it.is_control()).collect();
    text.trim().to_owned()
}

fn limited(text: String, what: &str, max: usize) -> Result<String, String> {
    match text.chars().count() {
        count if count <= max => Ok(text),
        count => {
            let (count, max) = (grouped(count), grouped(max));
            Err(format!("The {what} has {count} characters; at most {max} are allowed."))
        }
    }
}

/// A number as people read it: `12,345`.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(str::from_utf8).collect();
    groups.into_iter().map(|it| it.expect("digits are ASCII")).collect::<Vec<_>>().join(",")
}

/// Whether anything of it can be seen: a title of blanks of no width could not be clicked.
fn has_ink(text: &str) -> bool {
    text.chars().any(|it| !it.is_whitespace() && !it.is_control() && !is_invisible(it))
}

/// Characters that are there only for those beside them, or for nobody.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_with_single_blanks() {
        for (typed, is) in [
            ("A title", "A title"),
            (" \r\n A\t\ttitle\u{2028}of \u{a0} words\0 ", "A title of words"),
            ("<script>alert('1')</script>", "<script>alert('1')</script>"),
            ("\u{202e}elttil", "\u{202e}elttil"),
            ("\u{1f40d}\u{fe0f}", "\u{1f40d}\u{fe0f}"),
        ] {
            assert_eq!(title(typed).as_deref(), Ok(is));
        }
        for typed in ["", " \n\t ", "\u{200b}\u{feff}", "\u{202e}", "\0\u{7f}"] {
            assert_eq!(title(typed), Err("Give it a title.".to_owned()), "{typed:?}");
        }
    }

    #[test]
    fn lengths_are_of_characters() {
        let snakes = "\u{1f40d}".repeat(TITLE_LEN_MAX);
        assert_eq!(title(&snakes).as_deref(), Ok(&*snakes));
        assert_eq!(title(&format!("  {snakes}  ")).as_deref(), Ok(&*snakes));
        let why = title(&format!("{snakes}.")).unwrap_err();
        assert_eq!(why, "The title has 151 characters; at most 150 are allowed.");
        let why = text(&"x".repeat(10_000)).unwrap_err();
        assert_eq!(why, "The comment has 10,000 characters; at most 5,000 are allowed.");
        assert!(text(&"\u{e9}".repeat(TEXT_LEN_MAX)).is_ok());
        assert!(reason(&"x".repeat(TEXT_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_comment_keeps_its_lines() {
        assert_eq!(text("\r\na\r\n\r\n b\tc\rd\0\u{1b}[1m\n").as_deref(), Ok("a\n\n b\tc\nd[1m"));
        assert_eq!(text(" \r\n "), Err("Say something.".to_owned()));
        assert_eq!(reason("  ").as_deref(), Ok(""));
    }
}
