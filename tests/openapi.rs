//! The OpenAPI document says what the table of routes says: every path and method is in it and no
//! other, and it is whole in itself.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use bowline::error::{Failure, Reason};
use bowline::http::routes::limits;
use bowline::http::wire::{Head, Request};
use bowline::http::{Options, ROUTES, Step};
use bowline::metrics::HttpRequests;
use http_support::{Api, Front, Mood, Node};
use serde_json::Value;

/// The kinds of components that may be referred to.
const COMPONENTS: [&str; 4] = ["headers", "parameters", "responses", "schemas"];
/// What an item of a path may hold, all of it methods in our document.
const METHODS: [&str; 5] = ["get", "head", "put", "post", "delete"];

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../docs/openapi.json")).unwrap());

/// An operation of the document.
struct Operation {
    path: &'static str,
    method: &'static str,
    body: &'static Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Its parameters, looked up.
    fn parameters(&self) -> Vec<&'static Value> {
        let listed = self.body["parameters"].as_array();
        listed.into_iter().flatten().map(resolve).collect()
    }

    fn statuses(&self) -> BTreeSet<u16> {
        let responses = self.body["responses"].as_object().unwrap();
        responses.keys().map(|status| status.parse().unwrap()).collect()
    }
}

fn operations() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, body) in item.as_object().unwrap() {
            assert!(METHODS.contains(&method.as_str()), "{path} has {method}");
            operations.push(Operation { path, method, body });
        }
    }
    operations
}

/// What stands at a place of the document, behind a reference if there is one.
fn resolve(place: &'static Value) -> &'static Value {
    let Some(reference) = place["$ref"].as_str() else { return place };
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads away"));
    DOCUMENT.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// The variable parts of a path.
fn variables(path: &str) -> BTreeSet<&str> {
    path.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect()
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let mut routes = BTreeSet::new();
    for route in ROUTES {
        for method in route.methods {
            routes.insert((route.path.replace("*}", "}"), method.name().to_lowercase()));
        }
    }
    let documented: BTreeSet<_> =
        operations().iter().map(|it| (it.path.to_owned(), it.method.to_owned())).collect();
    let missing: Vec<_> = routes.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&routes).collect();
    assert!(missing.is_empty() && invented.is_empty(), "no {missing:?}, but {invented:?}");
}

#[test]
fn the_document_is_of_this_version() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    assert_eq!(DOCUMENT["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(DOCUMENT["info"]["title"].is_string());
}

#[test]
fn every_operation_says_what_it_is() {
    let tags = DOCUMENT["tags"].as_array().unwrap();
    let tags: BTreeSet<_> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for operation in operations() {
        let name = operation.name();
        let summary = operation.body["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with('.'), "{name} has no summary");
        let id = operation.body["operationId"].as_str().unwrap_or_else(|| panic!("{name}: no id"));
        assert!(ids.insert(id), "{id} stands twice");
        for tag in operation.body["tags"].as_array().unwrap() {
            assert!(tags.contains(tag.as_str().unwrap()), "{name}: {tag} is not listed");
            used.insert(tag.as_str().unwrap());
        }
        let writes = ["put", "post"].contains(&operation.method);
        assert!(writes || operation.body["requestBody"].is_null(), "{name} takes no body");
    }
    assert_eq!(tags, used, "a tag is there to be used");
}

#[test]
fn every_answer_has_a_status_and_a_meaning() {
    for operation in operations() {
        let name = operation.name();
        let statuses = operation.statuses();
        assert!(statuses.iter().any(|status| *status < 400), "{name} never succeeds");
        for status in &statuses {
            assert!(HttpRequests::STATUSES.contains(status), "{name}: nobody answers {status}");
            let response = resolve(&operation.body["responses"][status.to_string()]);
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{name}: {status} means nothing");
            let content = &response["content"];
            assert!(operation.method != "head" || content.is_null(), "{name} has no body");
        }
    }
}

#[test]
fn parameters_are_declared_once_and_those_of_the_path_are_in_the_path() {
    for operation in operations() {
        let name = operation.name();
        let mut seen = BTreeSet::new();
        for parameter in operation.parameters() {
            let place = parameter["in"].as_str().unwrap();
            assert!(["path", "query", "header"].contains(&place), "{name}: {place}");
            let own = parameter["name"].as_str().unwrap();
            assert!(seen.insert((place, own)), "{name}: {own} stands twice");
            assert!(parameter["description"].is_string(), "{name}: {own} means nothing");
            assert!(parameter["schema"].is_object(), "{name}: {own} is of no kind");
            assert_eq!(place == "path", parameter["required"] == true, "{name}: {own}");
        }
        let declared: BTreeSet<_> =
            seen.iter().filter(|(place, _)| *place == "path").map(|(_, own)| *own).collect();
        assert_eq!(declared, variables(operation.path), "{name}");
    }
}

/// Everything that is referred to, anywhere.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(reference) if name == "$ref" => drop(found.insert(reference.to_owned())),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn references_lead_to_components_and_all_of_these_are_used() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    let components = DOCUMENT["components"].as_object().unwrap();
    let kinds: Vec<_> = components.keys().map(String::as_str).collect();
    assert_eq!(kinds, COMPONENTS, "in the order of the alphabet");
    let mut there = BTreeSet::new();
    for (kind, named) in components {
        for name in named.as_object().unwrap().keys() {
            there.insert(format!("#/components/{kind}/{name}"));
        }
    }
    assert_eq!(there, found);
}

/// The handlers' text, without their tests.
fn handlers(below: &Path, text: &mut String) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            handlers(&path, text);
        } else if !path.ends_with("tests.rs") {
            let whole = std::fs::read_to_string(&path).unwrap();
            text.push_str(whole.split("#[cfg(test)]").next().unwrap());
        }
    }
}

/// The names that the handlers look for in a query: `query::value(…, "name")` and the like.
fn names_looked_for(text: &str) -> BTreeSet<&str> {
    let calls = ["query::value(", "query::flag(", "query::bytes(", "number("];
    let mut names = BTreeSet::new();
    for call in calls {
        for after in text.split(call).skip(1) {
            // The arguments end with the name, if it stands there as it is.
            let Some((arguments, _)) = after.split_once("\")") else { continue };
            let Some((before, name)) = arguments.rsplit_once('"') else { continue };
            let plain = before.len() < 40 && !before.contains([';', '{', '"']);
            if plain && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn the_parameters_of_queries_are_those_that_handlers_look_for() {
    let mut text = String::new();
    handlers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut text);
    let looked_for = names_looked_for(&text);
    assert!(looked_for.contains("pretty") && looked_for.len() > 5, "{looked_for:?}");
    let parameters = operations().into_iter().flat_map(|operation| operation.parameters());
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    let documented: BTreeSet<_> = queries.map(|it| it["name"].as_str().unwrap()).collect();
    let silent: Vec<_> = looked_for.difference(&documented).collect();
    assert!(silent.is_empty(), "nothing is said of {silent:?}");
    let nobody: Vec<_> =
        documented.iter().filter(|name| !text.contains(&format!("\"{name}\""))).collect();
    assert!(nobody.is_empty(), "nobody looks for {nobody:?}");
}

/// Requests for an operation: as it should be, and with every parameter of its query right and wrong.
fn targets(operation: &Operation) -> Vec<String> {
    let mut path = operation.path.to_owned();
    for (name, value) in [
        ("{key}", "a%2Fkey"),
        ("{id}", "00000000-1111-2222-3333-444444444444"),
        ("{node}", "n1"),
        ("{address}", "127.0.0.1:1"),
        ("{list}", "newest"),
        ("{span}", "day"),
        ("{name}", "ann"),
        ("{host}", "example.com"),
        ("{post}", "AAAAAAAA"),
    ] {
        path = path.replace(name, value);
    }
    let mut targets = vec![path.clone()];
    for parameter in operation.parameters() {
        let name = parameter["name"].as_str().unwrap();
        // With these an answer waits, or has no end.
        if parameter["in"] == "query" && name != "watch" {
            targets.extend(["x", ""].map(|value| format!("{path}?{name}={value}")));
            targets.extend((name != "index").then(|| format!("{path}?{name}=1")));
        }
    }
    targets
}

/// Asks for everything that is documented, and compares the answers with what is said of them.
fn answers_are_as_documented(api: &Api, methods: &[&str]) {
    for operation in operations().iter().filter(|it| methods.contains(&it.method)) {
        let statuses = operation.statuses();
        // The stand-in has nobody who restores; the tests of backups ask real nodes.
        if operation.name() == "put /v1/snapshot" {
            continue;
        }
        let mut wire = api.connect();
        for target in targets(operation) {
            for body in ["", "http://a.example/", "[{}]"] {
                let method = operation.method.to_uppercase();
                let answer = wire.ask(&method, &target, body);
                let said = format!("{method} {target} with {body:?}: {answer:?}");
                assert!(statuses.contains(&answer.status), "{said}");
                let response = resolve(&operation.body["responses"][answer.status.to_string()]);
                if let Some(kind) = answer.header("Content-Type").filter(|_| method != "HEAD") {
                    let kind = kind.split(';').next().unwrap();
                    let kinds = response["content"].as_object();
                    assert!(kinds.is_some_and(|kinds| kinds.contains_key(kind)), "{said}");
                }
                let headers = response["headers"].as_object();
                for name in headers.into_iter().flat_map(|headers| headers.keys()) {
                    if name.starts_with("X-Consul-") && answer.status < 400 {
                        assert!(answer.header(name).is_some(), "{said} has no {name}");
                    }
                }
                if answer.header("Connection") == Some("close") {
                    wire = api.connect();
                }
            }
        }
    }
}

#[test]
fn a_node_answers_as_documented() {
    let api = Api::start(Front::Mio);
    answers_are_as_documented(&api, &METHODS);
    for failure in [Failure::not_applied(Reason::NoLeader), Failure::unknown(Reason::Deadline)] {
        api.node.set_mood(Mood::Fails(failure));
        answers_are_as_documented(&api, &METHODS);
    }
    // Only what writes is refused for that.
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::DiskFull)));
    answers_are_as_documented(&api, &["put", "post", "delete"]);
}

#[test]
fn a_node_serves_the_document() {
    let node = Node::start(Options::default());
    let head = Head::parse(b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n", &limits()).unwrap();
    let Step::Reply(response) = node.service.call(&Request::new(head, "".into())) else {
        panic!("it need not ask anybody")
    };
    assert_eq!((response.status, response.content_type), (200, "application/json"));
    let bowline::http::reply::Body::Static(text) = response.body else { panic!("it is constant") };
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), *DOCUMENT);
}
