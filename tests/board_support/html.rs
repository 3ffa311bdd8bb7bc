//! Reads the board's pages as strictly as no browser does: what is not well formed, or lets a character
//! through that should be escaped, is a failure of the test that looks at it.

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A tag that begins an element; of some elements it is all there is.
    Open(Tag),
    /// The end of an element.
    Close(String),
    /// Text, as a reader sees it.
    Text(String),
}

/// A tag with its attributes, in their order and as they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn has_class(&self, name: &str) -> bool {
        self.get("class").is_some_and(|classes| classes.split_whitespace().any(|it| it == name))
    }
}

/// Elements that have no end.
const VOID: [&str; 7] = ["meta", "link", "input", "br", "hr", "img", "wbr"];

/// The tokens of a page or of a part of one, all elements of which end.
pub fn tokens(html: &str) -> Vec<Token> {
    let declared = ["<!DOCTYPE html>", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"];
    let mut rest = declared.iter().find_map(|it| html.strip_prefix(it)).unwrap_or(html);
    let (mut tokens, mut open) = (Vec::new(), Vec::<String>::new());
    while !rest.is_empty() {
        let Some(inside) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            tokens.push(Token::Text(meant(&rest[..end])));
            rest = &rest[end..];
            continue;
        };
        if let Some(name) = inside.strip_prefix('/') {
            let (name, after) = name.split_once('>').expect("an end tag ends");
            assert_eq!(open.pop().as_deref(), Some(name), "in the wrong order: {html}");
            tokens.push(Token::Close(name.to_owned()));
            rest = after;
        } else {
            let (tag, after) = tag(inside);
            let name = tag.name.clone();
            tokens.push(Token::Open(tag));
            if let Some(after) = after.strip_prefix("/>") {
                // Only XML ends an element so.
                tokens.push(Token::Close(name));
                rest = after;
                continue;
            }
            if html.starts_with("<?xml") || !VOID.contains(&name.as_str()) {
                open.push(name);
            }
            rest = after.strip_prefix('>').expect("a tag ends");
        }
    }
    assert!(open.is_empty(), "{open:?} never end: {html}");
    tokens
}

/// A tag behind its `<`, and what follows it.
fn tag(inside: &str) -> (Tag, &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
    let name_of = |text: &str| {
        let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
        assert!(end > 0, "no name: {:?}", text.chars().take(60).collect::<String>());
        text[..end].to_owned()
    };
    let name = name_of(inside);
    let (mut rest, mut attributes) = (&inside[name.len()..], Vec::new());
    loop {
        rest = rest.trim_start();
        if rest.starts_with(['>', '/']) {
            return (Tag { name, attributes }, rest);
        }
        let attribute = name_of(rest);
        rest = &rest[attribute.len()..];
        let mut value = "";
        if let Some(quoted) = rest.strip_prefix("=\"") {
            (value, rest) = quoted.split_once('"').expect("a value ends");
        }
        let value = meant(value);
        assert!(!attributes.iter().any(|(it, _)| *it == attribute), "{attribute} twice: {name}");
        attributes.push((attribute, value));
    }
}

/// What an escaped text means. A character that ought to be escaped must be.
fn meant(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, after) = part.split_once(';').unwrap_or_else(|| panic!("a bare & in {text}"));
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" | "apos" => '\'',
            other => panic!("&{other}; in {text}"),
        });
        plain.push_str(after);
    }
    assert!(!text.contains(['<', '>', '"']), "not escaped: {text}");
    plain
}

/// The shape of a page: all tags with the names of their attributes. What users typed must not show in it.
pub fn shape(html: &str) -> Vec<String> {
    let described = tokens(html).into_iter().filter_map(|token| match token {
        Token::Open(tag) => {
            let names: Vec<_> = tag.attributes.iter().map(|(name, _)| name.as_str()).collect();
            Some(format!("{} {}", tag.name, names.join(" ")))
        }
        Token::Close(name) => Some(format!("/{name}")),
        Token::Text(_) => None,
    });
    described.collect()
}

/// What a reader sees.
pub fn text(html: &str) -> String {
    let mut text = String::new();
    for token in tokens(html) {
        match token {
            Token::Text(part) => text.push_str(&part),
            // So that words of neighbours do not run together.
            Token::Open(tag) if tag.name != "bdi" => text.push(' '),
            Token::Close(name) if name != "bdi" => text.push(' '),
            _ => {}
        }
    }
    text
}

/// The text within the first element that fits.
pub fn text_in(html: &str, fits: impl Fn(&Tag) -> bool) -> Option<String> {
    let tokens = tokens(html);
    let begin = tokens.iter().position(|token| matches!(token, Token::Open(tag) if fits(tag)))?;
    Some(inner(&tokens[begin..]))
}

/// The text up to the end of the element that these tokens begin with.
fn inner(tokens: &[Token]) -> String {
    let (mut depth, mut text) = (0, String::new());
    for token in tokens {
        match token {
            Token::Open(tag) if !VOID.contains(&tag.name.as_str()) => depth += 1,
            Token::Close(_) => depth -= 1,
            Token::Text(part) => text.push_str(part),
            Token::Open(_) => {}
        }
        if depth == 0 {
            break;
        }
    }
    text
}

/// A form of a page, and what would be sent if its button were pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Where it is sent.
    pub action: String,
    /// Names and values of its fields, without its buttons.
    pub fields: Vec<(String, String)>,
    /// What its buttons say, and what they send.
    pub buttons: Vec<(String, Option<(String, String)>)>,
}

impl Form {
    /// The forms of a page; all of them are to be sent with POST, and have a token.
    pub fn all(html: &str) -> Vec<Self> {
        let tokens = tokens(html);
        let (mut forms, mut others, mut inside) = (Vec::<Self>::new(), Vec::new(), false);
        for (at, token) in tokens.iter().enumerate() {
            let Token::Open(tag) = token else {
                inside &= *token != Token::Close("form".to_owned());
                continue;
            };
            let name = || tag.get("name").unwrap_or_else(|| panic!("no name: {tag:?}")).to_owned();
            let value = || tag.get("value").unwrap_or_default().to_owned();
            match tag.name.as_str() {
                "form" => {
                    assert!(!inside, "a form in a form");
                    assert_eq!(tag.get("method").map(str::to_lowercase).as_deref(), Some("post"));
                    let action = tag.get("action").unwrap_or_default().to_owned();
                    forms.push(Self { action, fields: Vec::new(), buttons: Vec::new() });
                    inside = true;
                }
                // What was typed into a form that is not there any more, to be copied.
                "textarea" if !inside => assert!(tag.has("readonly"), "no form: {tag:?}"),
                "input" => forms.last_mut().unwrap().fields.push((name(), value())),
                "textarea" => {
                    // A line break right behind the tag is not part of the text.
                    let text = inner(&tokens[at..]);
                    let text = text.strip_prefix('\n').unwrap_or(&text).to_owned();
                    forms.last_mut().unwrap().fields.push((name(), text));
                }
                "button" => {
                    let sends = tag.has("name").then(|| (name(), value()));
                    let button = (inner(&tokens[at..]).trim().to_owned(), sends);
                    match tag.get("formaction") {
                        Some(action) => others.push((forms.len() - 1, action.to_owned(), button)),
                        None => forms.last_mut().unwrap().buttons.push(button),
                    }
                }
                _ => {}
            }
            assert!(inside || !["input", "button"].contains(&tag.name.as_str()));
        }
        // A button that goes elsewhere is as good as a form of its own.
        for (of, action, button) in others {
            let fields = forms[of].fields.clone();
            forms.push(Self { action, fields, buttons: vec![button] });
        }
        forms.retain(|form| !form.buttons.is_empty());
        for form in &forms {
            assert!(form.action.starts_with("/b/"), "it goes nowhere: {form:?}");
            assert!(form.fields.iter().any(|(name, _)| name == "csrf"), "no token: {form:?}");
        }
        forms
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    /// With something typed into a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let field = self.fields.iter_mut().find(|(it, _)| it == name);
        let Some((_, field)) = field else { panic!("no field {name}: {self:?}") };
        value.clone_into(field);
        self
    }

    /// With a button pressed.
    #[must_use]
    pub fn press(mut self, says: &str) -> Self {
        let button = self.buttons.iter().find(|(it, _)| it == says);
        let (_, sends) = button.unwrap_or_else(|| panic!("no button {says}: {self:?}")).clone();
        self.fields.extend(sends);
        self
    }

    /// As it is sent.
    pub fn encode(&self) -> String {
        let pairs: Vec<_> = self
            .fields
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.join("&")
    }
}

/// A text as it stands in a form that is sent.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What is true of every page: it has a title and a language, nothing that runs, nothing from elsewhere,
/// and a label for everything that can be filled in.
pub fn sound(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
    let tags: Vec<Tag> = tokens(html)
        .into_iter()
        .filter_map(|token| if let Token::Open(tag) = token { Some(tag) } else { None })
        .collect();
    let root = tags.first().expect("there is something");
    assert_eq!((root.name.as_str(), root.get("lang")), ("html", Some("en")), "{html}");
    let title = text_in(html, |tag| tag.name == "title").unwrap_or_default();
    assert!(!title.trim().is_empty(), "no title: {html}");
    for only_one in ["title", "h1", "main", "body", "head"] {
        assert_eq!(tags.iter().filter(|tag| tag.name == only_one).count(), 1, "{only_one}: {html}");
    }
    let viewport = |tag: &Tag| tag.get("name") == Some("viewport");
    assert!(tags.iter().any(viewport), "not for phones: {html}");
    let mut ids: Vec<_> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "an id twice: {ids:?}: {html}");
    for tag in &tags {
        element(tag, &tags, html);
    }
    Form::all(html);
}

fn element(tag: &Tag, tags: &[Tag], html: &str) {
    let banned = ["script", "style", "iframe", "object", "embed", "base", "svg", "template"];
    assert!(!banned.contains(&tag.name.as_str()), "{tag:?} in {html}");
    for (name, value) in &tag.attributes {
        assert!(!name.starts_with("on") && name != "style", "{tag:?} in {html}");
        if ["href", "src", "action", "formaction"].contains(&name.as_str()) {
            let leads_out =
                tag.name == "a" && ["http://", "https://"].iter().any(|it| value.starts_with(it));
            let own = value.starts_with('/') && !value.starts_with("//");
            let within = value.starts_with('#') || value.starts_with('?');
            assert!(own || within || leads_out, "{tag:?} in {html}");
        }
        if ["for", "aria-describedby", "aria-labelledby"].contains(&name.as_str()) {
            for id in value.split_whitespace() {
                assert!(tags.iter().any(|it| it.get("id") == Some(id)), "{tag:?} in {html}");
            }
        }
    }
    let typed = match tag.name.as_str() {
        "textarea" | "select" => true,
        "input" => !matches!(tag.get("type"), Some("hidden" | "submit")) && !tag.has("hidden"),
        _ => false,
    };
    if typed {
        let labelled = tag.has("aria-label")
            || tag.get("id").is_some_and(|id| {
                tags.iter().any(|it| it.name == "label" && it.get("for") == Some(id))
            });
        assert!(labelled, "no label: {tag:?} in {html}");
    }
}
